"""Published CIFAR weights reach their published accuracy, where the files and the data are.

RESNET_LAB_WEIGHTS names the directory `pretrained_models` of akamaster/pytorch_resnet_cifar10,
RESNET_LAB_DATA the one of CIFAR-10.
"""

import os
from pathlib import Path

import pytest
import torch

from resnet_lab.runs.trained.run import Run
from resnet_lab.training.weights.pretrained import load_pretrained
from tests.helpers import REAL_DATA

FILES = Path(os.environ.get("RESNET_LAB_WEIGHTS", "nowhere")).absolute()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES.is_dir(), reason="RESNET_LAB_WEIGHTS names no directory"),
    pytest.mark.skipif(
        not (REAL_DATA / "cifar-10-batches-py").is_dir(), reason="CIFAR-10 is not there"
    ),
]


@pytest.mark.parametrize(
    ("depth", "digest", "accuracy"),
    [
        (20, "12fca82f", 91.73),
        (32, "d509ac18", 92.63),
        (44, "014dd654", 93.10),
        (56, "4bfd9763", 93.39),
    ],
)
def test_published_weights_reach_their_accuracy(
    depth: int, digest: str, accuracy: float, composed
) -> None:
    cfg = composed(
        "data=cifar10", f"model.depth={depth}", "trainer.accelerator=cpu",
        "data.mean=[0.485,0.456,0.406]", "data.std=[0.229,0.224,0.225]",  # ImageNet's
    )  # fmt: skip
    run = Run(Path(), cfg, {})
    task, data = run.build_task().eval(), run.build_data()
    load_pretrained(task.net, str(FILES / f"resnet{depth}-{digest}.th"))
    data.setup("test")
    with torch.inference_mode():
        for batch in data.test_dataloader():
            task.test_step(data.finish(batch, augment=False), 0)
    assert round(100 * float(task.test_sums.compute()["acc"]), 2) == accuracy
