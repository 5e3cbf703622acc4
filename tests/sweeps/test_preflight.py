"""The figures of preflight, against numbers computed by hand."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from resnet_lab.sweeps.estimate import EpochTime
from resnet_lab.sweeps.preflight import Preflight, check_disk
from tests.data.fakes import write_folder
from tests.helpers import Command

# The mean of the one channel, then a linear layer of 10 weights and 10 biases, float32.
LINEAR = {
    "_target_": "benchmarks.speed.loops.free_network", "name": "free", "weights": None,
    "replace_classifier": False, "num_classes": 10, "in_channels": 1,
}  # fmt: skip
OWN = 4 * 20
SAVED = 4 * 32 * (1 + 10)  # the layer's input for its weights, its output for the loss


@pytest.mark.parametrize(
    ("overrides", "state", "saved"),
    [
        (["optimizer=sgd"], OWN, SAVED),  # one momentum for each parameter
        (["optimizer=sgd", "optimizer.momentum=0", "optimizer.nesterov=false"], 0, SAVED),
        (["optimizer=sgd", "data.batch_size=64"], OWN, 2 * SAVED),
        (["optimizer=sgd", "trainer.precision=bf16-mixed"], OWN, SAVED // 2),
        (["optimizer=adamw"], 2 * OWN + 2 * 4, SAVED),  # two moments, and a count for each tensor
    ],
)
def test_memory_and_checkpoints(overrides, state, saved, composed) -> None:
    cfg = composed("trainer=cpu", "trainer.precision=32-true", *overrides)
    cfg.model = LINEAR
    found = Preflight().check(cfg)
    assert found.parameters == 20
    assert found.memory == OWN + OWN + state + saved  # weights, gradients
    assert found.checkpoints == 2 * (OWN + state)  # best and last


def test_a_disk_that_is_too_small_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=3 * 2**20))
    check_disk(str(tmp_path / "not" / "yet"), 3 * 2**20)
    with pytest.raises(ValueError, match=r"take about 4 MiB, but .* has 3 MiB left"):
        check_disk(str(tmp_path / "not" / "yet"), 4 * 2**20)


def test_an_epoch_lasts_as_long_as_its_batches() -> None:
    assert EpochTime(100, load=2, step=1, workers=True).seconds == 200  # at once
    assert EpochTime(100, load=2, step=1, workers=False).seconds == 300  # one after the other


@pytest.mark.parametrize("streaming", [False, True])
def test_preflight_says_how_long_an_epoch_takes(
    streaming: bool, tmp_path: Path, command: Command
) -> None:
    write_folder(tmp_path / "photos", {"cat": 20, "dog": 20})
    code, out, err = command(
        "data=image_folder", "data.root=photos", f"data.streaming={str(streaming).lower()}",
        "data.source.cache=index", "data.image_size=16", "data.batch_size=4", "data.workers=1",
        "model.depth=8", "trainer=cpu", "preflight=true",
    )  # fmt: skip
    assert code == 0, err
    said = " ".join(out.split())
    assert "an epoch takes about" in said
    assert "without validation: 7 batches" in said  # 40 images, a fifth tests, a tenth validates
    assert ("while workers load the next in" if streaming else "and to load it in") in said
