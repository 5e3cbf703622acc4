"""A run that was killed or interrupted ends with the numbers that it would have had."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.task import ImageClassifier
from tests.helpers import Killed, column, slow

CASES = {
    "steps": ["trainer.max_steps=11", "trainer.max_epochs=9", "model.stochastic_depth=0.5"],
    "steps alone": ["trainer.max_steps=11", "trainer.max_epochs=-1", "model.stochastic_depth=0.5"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "+scheduler.threshold=10"],
    "plateau, half validated": [
        "scheduler=plateau", "scheduler.patience=0", "+scheduler.threshold=10",
        "trainer.check_val_every_n_epoch=2",
    ],
    "validation within": ["trainer.val_check_interval=2"],
}  # fmt: skip


def kill(method: str, when: Callable[..., bool], patch: pytest.MonkeyPatch) -> None:
    whole = getattr(ImageClassifier, method)

    def killed(self: ImageClassifier, *arguments: Any) -> Any:
        if when(self, *arguments):
            raise Killed
        return whole(self, *arguments)

    patch.setattr(ImageClassifier, method, killed)


def interrupt(when: Callable[..., bool], patch: pytest.MonkeyPatch) -> None:
    step = ImageClassifier.training_step

    def asked(self: ImageClassifier, batch: Any, batch_idx: int) -> Any:
        if when(self, batch, batch_idx):
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    patch.setattr(ImageClassifier, "training_step", asked)


def alike(one: Path, other: Path) -> None:
    whole, parts = Run.load(one), Run.load(other)
    for key in ("state", "test", "best", "metrics", "epochs", "steps"):
        assert parts.status[key] == whole.status[key], key
    for which in ("last", "best"):
        states = [
            torch.load(run.checkpoint(which), weights_only=True)["state_dict"]
            for run in (whole, parts)
        ]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0]), which
    for name in ("train/loss", "train/acc", "val/acc", "train/loss_step", "lr"):
        assert column(other, name) == column(one, name), name


def at(epoch: int, batch: int) -> Callable[..., bool]:
    return lambda task, _, batch_idx: (task.current_epoch, batch_idx) == (epoch, batch)


def configured(tiny: Callable[..., DictConfig], case: str) -> DictConfig:
    overrides = CASES[case]
    length = [] if any("max_epochs" in item for item in overrides) else ["trainer.max_epochs=4"]
    return tiny(*overrides, *length, "trainer.log_every_n_steps=1")


@pytest.mark.parametrize(
    ("case", "how"),
    [
        *((case, "killed") for case in CASES),
        ("validation within", "interrupted"),
        *(slow(case, "interrupted") for case in CASES if case != "validation within"),
    ],
)
def test_a_run_goes_on_exactly(case: str, how: str, tiny, tmp_path: Path, monkeypatch) -> None:
    cfg = configured(tiny, case)
    train(cfg.copy(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        if how == "killed":
            kill("training_step", at(2, 1), patch)
        else:
            interrupt(at(2, 1), patch)
        with pytest.raises((Killed, KeyboardInterrupt)):
            train(cfg.copy(), tmp_path / "parts")
    assert Run.load(tmp_path / "parts").status["state"] == "interrupted"
    train(cfg.copy(), tmp_path / "parts")
    alike(tmp_path / "whole", tmp_path / "parts")


def test_a_run_goes_on_from_its_best_checkpoint_too(tiny, tmp_path: Path, monkeypatch) -> None:
    cfg = tiny("trainer.max_epochs=4", "model.stochastic_depth=0.5")
    train(cfg.copy(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill("training_step", at(2, 1), patch)
        with pytest.raises(Killed):
            train(cfg.copy(), tmp_path / "parts")
    checkpoints = tmp_path / "parts/checkpoints"
    shutil.copy(checkpoints / "best.ckpt", checkpoints / "last.ckpt")
    train(cfg.copy(), tmp_path / "parts")
    alike(tmp_path / "whole", tmp_path / "parts")


def test_a_run_that_had_stopped_early_is_not_trained_any_further(
    tiny, tmp_path: Path, monkeypatch
) -> None:
    cfg = tiny(
        "callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.max_epochs=20",
        "optimizer.lr=0", "callbacks.progress=null", "callbacks.summary=null", "test=last",
    )  # fmt: skip
    train(cfg.copy(), tmp_path / "whole")
    assert Run.load(tmp_path / "whole").status["epochs"] < 20
    with monkeypatch.context() as patch:
        kill("on_test_epoch_start", lambda task: True, patch)
        with pytest.raises(Killed):
            train(cfg.copy(), tmp_path / "parts")
    train(cfg.copy(), tmp_path / "parts")
    alike(tmp_path / "whole", tmp_path / "parts")


def test_an_accumulation_that_changes_is_refused(tiny, tmp_path: Path) -> None:
    node = "{_target_: lightning.pytorch.callbacks.GradientAccumulationScheduler, scheduling: {}}"
    cfg = tiny(f"+callbacks.accumulation={node}")
    cfg.callbacks.accumulation.scheduling = {0: 1, 1: 2}
    with pytest.raises(ValueError, match=r"^callbacks.accumulation: .*accumulate_grad_batches"):
        train(cfg, tmp_path / "run")
