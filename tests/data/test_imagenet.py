"""data=imagenet on a thousand generated JPEGs of about 500 x 375."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.streaming import generate
from resnet_lab.data.sources import ImageFolder
from resnet_lab.data.streaming import StreamLoader
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.task import ImageClassifier
from tests.helpers import Compose, column

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imagenet")
    generate(folder / "train", 800)
    generate(folder / "val", 200)
    return folder


def test_a_run_that_was_interrupted_in_an_epoch_ends_bit_for_bit(
    root: Path, composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(directory: str, workers: int) -> None:
        cfg = composed(
            "experiment=imagenet_resnet18", f"data.root={root}", "data.num_classes=10",
            "data.image_size=64", "data.batch_size=16", "data.val_size=32",
            f"data.workers={workers}", f"data.source.cache={tmp_path / 'index'}",
            "trainer.max_epochs=3", "trainer.limit_train_batches=5", "trainer.accelerator=cpu",
            "trainer.precision=32-true", "trainer.log_every_n_steps=1", "trainer.threads=1",
            "callbacks.progress=null", "callbacks.summary=null", "expected=null",
        )  # fmt: skip
        train(cfg, tmp_path / directory)

    run("whole", workers=2)
    step = ImageClassifier.training_step

    def asked_to_end(self: ImageClassifier, batch: Any, batch_idx: int) -> Any:
        if (self.current_epoch, batch_idx) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", asked_to_end)
        with pytest.raises(KeyboardInterrupt):
            run("parts", workers=1)
    run("parts", workers=1)
    whole, parts = (Run.load(tmp_path / name) for name in ("whole", "parts"))
    assert parts.status["test"] == whole.status["test"]
    assert whole.status["test"]["images"] == 200
    assert len(column(whole.directory, "train/loss_step")) == 15
    for name in ("train/loss_step", "train/loss", "val/loss"):
        assert column(parts.directory, name) == column(whole.directory, name)
    states = [
        torch.load(one.checkpoint("last"), weights_only=True)["state_dict"]
        for one in (whole, parts)
    ]
    assert all(value.equal(states[1][name]) for name, value in states[0].items())


def test_a_broken_file_is_named_counted_and_left_out(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = next((root / "train").rglob("*.jpg"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    try:
        source = ImageFolder(
            str(root), image_size=64, streaming=True, test_folder="val", on_error="skip",
            cache=str(tmp_path),
        )  # fmt: skip
        images = source.read("train")
        loader = StreamLoader(images, torch.arange(800), 64, shuffle=True, workers=2, crop=True)
        assert sum(len(batch.labels) for batch in loader) == 799
        assert caplog.text.count(f"1 left out so far: {broken} cannot be read") == 1
    finally:
        broken.write_bytes(whole)
