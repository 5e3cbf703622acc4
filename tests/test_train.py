"""The main job, from a composed configuration to its records."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.helpers import DRAWN, Killed, column, compose, rows


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """One finished tiny run, shared by the tests that only read it."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    cfg = compose(*DRAWN, "optimizer.lr=0.05", "seed=3")
    value = train(cfg, directory, ["optimizer.lr=0.05", "seed=3"])
    (directory / "returned").write_text(str(value))
    return directory


def test_the_run_directory_is_complete(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {"config.yaml", "status.json", "metrics.csv", "train.log", "checkpoints"}
    assert "hparams.yaml" not in names
    assert {path.name for path in (finished / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
    }
    status = json.loads((finished / "status.json").read_text())
    assert status["state"] == "done"
    assert status["epochs"] == 2
    assert status["precision"] == "32-true"
    assert status["images_per_second"] > 0
    assert status["seconds"] > 0
    assert status["test"]["images"] == 360
    assert status["test"]["acc_low"] < status["test"]["acc"] < status["test"]["acc_high"]


def test_a_short_job_learns_the_digits(trained: Path) -> None:
    assert Run.load(trained).status["test"]["acc"] > 0.5  # 0.1 by chance


def test_the_best_value_is_returned_and_recorded(finished: Path) -> None:
    best = Run.load(finished).status["best"]
    assert float((finished / "returned").read_text()) == best["value"]
    assert best["value"] == pytest.approx(max(column(finished, "val/acc")))


def test_checkpoints_hold_plain_things_only(finished: Path) -> None:
    for path in (finished / "checkpoints").iterdir():
        assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
        state = torch.load(path, weights_only=True)
        assert state["data"]["classes"] == list("0123456789")
        assert all(not key.startswith("_orig_mod") for key in state["state_dict"])


def test_tensorboard_shows_curves_images_graph_text_and_hyperparameters(finished: Path) -> None:
    events = EventAccumulator(str(finished), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) >= {
        "loss/train", "step/loss", "acc/train", "step/acc", "loss/val", "acc/val",
        "test/acc", "test/loss", "optimizer/lr", "optimizer/grad_norm", "result/best acc/val",
        "progress/epoch", "progress/images_per_second", "progress/seconds_per_epoch",
    }  # fmt: skip
    assert "hp_metric" not in tags["scalars"]
    assert set(tags["images"]) == {"train/images", "val/mistakes", "val/confusion"}
    assert tags["graph"]
    assert {"config/text_summary", "summary/text_summary", "val/0"} <= set(tags["tensors"])
    hparams = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optimizer.lr" in hparams
    assert b"seed" in hparams
    accuracy = Run.load(finished).status["test"]["acc"]
    assert events.Scalars("test/acc")[-1].value == pytest.approx(accuracy)


def test_a_finished_run_is_returned_and_not_trained_again(
    finished: Path, tiny, monkeypatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "fit", never)
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != ".lock"}
    value = train(tiny("optimizer.lr=0.05", "seed=3"), finished)
    assert value == Run.load(finished).status["best"]["value"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_evaluate_finds_what_the_run_recorded(finished: Path) -> None:
    recorded = Run.load(finished).status
    found = evaluate(Run.load(finished))
    assert found["acc"] == recorded["test"]["acc"]
    assert found["loss"] == pytest.approx(recorded["test"]["loss"], rel=1e-5)
    assert sum(entry["images"] for entry in found["classes"].values()) == 360
    validated = evaluate(Run.load(finished), "val", "best")
    assert validated["acc"] == pytest.approx(recorded["best"]["value"])


def test_evaluate_takes_the_checkpoint_of_another_network_apart(
    finished: Path, tmp_path: Path
) -> None:
    run = Run.load(finished)
    run.config.model.depth = 14
    with pytest.raises(ValueError, match=r"last.ckpt is of another network: missing: net.layer1.1"):
        evaluate(run)


def test_the_same_seed_gives_the_same_losses_and_another_does_not(tiny, tmp_path: Path) -> None:
    losses = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(ord(name))
        train(tiny(f"seed={seed}", "trainer.max_epochs=1"), tmp_path / name)
        losses[name] = (
            column(tmp_path / name, "train/loss_step"),
            column(tmp_path / name, "val/loss"),
        )
    assert losses["a"] == losses["b"]
    assert losses["a"] != losses["c"]


def test_the_last_checkpoint_is_of_the_last_epoch_whatever_the_best(
    worse_is_best, tiny, tmp_path
) -> None:
    cfg = tiny("trainer.max_epochs=3", "optimizer.lr=0.5", "scheduler=none", "monitor=train/loss")
    train(cfg, tmp_path / "run")
    epochs = {
        which: torch.load(Run.load(tmp_path / "run").checkpoint(which), weights_only=True)["epoch"]
        for which in ("best", "last")
    }
    assert epochs["last"] == 2
    assert epochs["best"] < 2


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    interval, tiny, tmp_path: Path, monkeypatch
) -> None:
    from resnet_lab.training.task import ImageClassifier

    cfg = tiny(
        "trainer.max_epochs=4", f"scheduler.interval={interval}", "model.stochastic_depth=0.5"
    )
    train(cfg.copy(), tmp_path / "whole")

    step = ImageClassifier.training_step

    def killed(self: ImageClassifier, batch: object, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 2 and batch_idx == 1:
            raise Killed
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", killed)
        with pytest.raises(Killed):
            train(cfg.copy(), tmp_path / "parts")
    assert Run.load(tmp_path / "parts").status["state"] == "interrupted"
    last = torch.load(tmp_path / "parts/checkpoints/last.ckpt", weights_only=True)
    assert last["epoch"] == 1  # nothing but the interrupted epoch is lost
    (tmp_path / "parts").rename(tmp_path / "moved")  # a run may move in between
    train(cfg.copy(), tmp_path / "moved")

    whole, parts = Run.load(tmp_path / "whole"), Run.load(tmp_path / "moved")
    assert parts.status["best"] == whole.status["best"]
    assert parts.status["test"] == whole.status["test"]
    states = [
        torch.load(run.checkpoint("last"), weights_only=True)["state_dict"]
        for run in (whole, parts)
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    for name in ("train/loss", "val/acc", "train/loss_step", "lr"):
        assert column(tmp_path / "moved", name) == column(tmp_path / "whole", name), name
    curves = [
        [
            (event.step, event.value)
            for event in EventAccumulator(str(path)).Reload().Scalars("loss/val")
        ]
        for path in (tmp_path / "whole", tmp_path / "moved")
    ]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("number", "accumulate"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1)]
)
def test_ctrl_c_saves_the_step_and_the_run_goes_on_within_the_epoch(
    number, accumulate, tiny, tmp_path: Path, monkeypatch
) -> None:
    from resnet_lab.training.task import ImageClassifier

    cfg = tiny(
        "trainer.max_epochs=3", "trainer.limit_train_batches=6", "model.stochastic_depth=0.5",
        f"trainer.accumulate_grad_batches={accumulate}", "trainer.log_every_n_steps=1",
    )  # fmt: skip
    train(cfg.copy(), tmp_path / "whole")

    step = ImageClassifier.training_step

    def asked(self: ImageClassifier, batch: object, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1 and batch_idx == 2:
            os.kill(os.getpid(), number)
        return step(self, batch, batch_idx)

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", asked)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), tmp_path / "parts")
    assert signal.getsignal(signal.SIGINT) is handler
    assert Run.load(tmp_path / "parts").status["state"] == "interrupted"
    last = torch.load(tmp_path / "parts/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == (9 if accumulate == 1 else 5)  # the step that was under way
    assert torch.serialization.get_unsafe_globals_in_checkpoint(
        tmp_path / "parts/checkpoints/last.ckpt"
    ) == []  # fmt: skip
    train(cfg.copy(), tmp_path / "parts")

    whole, parts = Run.load(tmp_path / "whole"), Run.load(tmp_path / "parts")
    states = [
        torch.load(run.checkpoint("last"), weights_only=True)["state_dict"]
        for run in (whole, parts)
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert parts.status["test"] == whole.status["test"]
    assert parts.status["metrics"] == whole.status["metrics"]
    for name in ("train/loss", "train/acc", "val/acc", "lr"):
        assert column(tmp_path / "parts", name) == column(tmp_path / "whole", name), name
    steps = [column(tmp_path / name, "train/loss_step") for name in ("whole", "parts")]
    assert steps[1] == steps[0]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_logged_of_a_step_is_of_that_step(accumulate, tiny, tmp_path: Path) -> None:
    class Losses(Callback):
        def __init__(self) -> None:
            self.by_step: dict[int, float] = {}

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if (batch_idx + 1) % accumulate == 0 or trainer.is_last_batch:
                loss = float(outputs["loss"]) * accumulate  # Lightning's share of the sum
                self.by_step[trainer.global_step - 1] = loss

    losses = Losses()
    cfg = tiny(
        "trainer.max_epochs=3", "trainer.limit_train_batches=7", "trainer.log_every_n_steps=3",
        f"trainer.accumulate_grad_batches={accumulate}",
    )  # fmt: skip
    with ActiveRun.open(tmp_path / "run", cfg) as run:
        fit_and_test(run, losses)
    logged = [row for row in rows(tmp_path / "run") if row["train/loss_step"]]
    steps = len(losses.by_step)
    assert [int(row["step"]) for row in logged] == list(range(2, steps, 3))  # epochs are of 7 or 4
    for row in logged:
        assert float(row["train/loss_step"]) == pytest.approx(losses.by_step[int(row["step"])])


@pytest.mark.parametrize(
    ("every", "batches", "steps"), [(50, 8, [1, 3, 5]), (1, 7, list(range(6))), (2, 8, [1, 3, 5])]
)
def test_steps_are_logged_as_often_with_accumulation_as_without(
    every: int, batches: int, steps: list[int], tiny, tmp_path: Path
) -> None:
    """Every so many steps of the optimizer, two of which are an epoch here; at least once in it."""
    cfg = tiny(
        "trainer.max_epochs=3", f"trainer.limit_train_batches={batches}",
        f"trainer.log_every_n_steps={every}", "trainer.accumulate_grad_batches=4",
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    for name in ("train/loss_step", "train/acc_step", "lr"):
        logged = [int(row["step"]) for row in rows(tmp_path / "run") if row[name]]
        assert logged == steps, name


def test_without_checkpoints_the_last_weights_are_tested(tiny, tmp_path: Path) -> None:
    train(tiny("callbacks.checkpoint=null", "trainer.max_epochs=1"), tmp_path / "run")
    assert Run.load(tmp_path / "run").status["test"]["images"] == 360
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.mark.parametrize("which", ["last", "best"])
def test_the_epoch_that_was_asked_for_is_tested(
    which: str, worse_is_best, tiny, tmp_path: Path
) -> None:
    cfg = tiny(
        "trainer.max_epochs=3", "optimizer.lr=0.5", "monitor=train/loss", f"test={which}",
        "callbacks.checkpoint.keep=all",
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    run = Run.load(tmp_path / "run")
    measured = {name: evaluate(run, "test", name)["loss"] for name in ("last", "best")}
    assert measured["last"] != measured["best"]
    assert run.status["test"]["loss"] == pytest.approx(measured[which], rel=1e-5)
    assert evaluate(run)["checkpoint"] == which


def test_the_test_can_be_left_out(tiny, tmp_path: Path) -> None:
    train(tiny("test=null", "trainer.max_epochs=1"), tmp_path / "run")
    assert "test" not in Run.load(tmp_path / "run").status


def test_early_stopping_stops(tiny, tmp_path: Path) -> None:
    cfg = tiny(
        "callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.max_epochs=20",
        "optimizer.lr=0", "callbacks.progress=null", "callbacks.summary=null",
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    assert Run.load(tmp_path / "run").status["epochs"] < 20


def test_training_without_validation_monitors_training(tiny, tmp_path: Path) -> None:
    cfg = tiny("data.val_size=0", "monitor=train/loss", "trainer.max_epochs=2")
    value = train(cfg, tmp_path / "run")
    assert value == pytest.approx(min(column(tmp_path / "run", "train/loss")))
    assert (tmp_path / "run/checkpoints/best.ckpt").exists()


def test_a_diverged_run_says_so(tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loss is nan .*lower optimizer.lr"):
        train(tiny("optimizer.lr=1e30", "scheduler=none"), tmp_path / "run")
    assert Run.load(tmp_path / "run").status["state"] == "failed"


@pytest.mark.slow
def test_the_default_job_learns_the_digits(composed, tmp_path: Path) -> None:
    """98.5 % is promised of the full job; eight of its thirty epochs must come near."""
    cfg = composed("trainer.max_epochs=8", "callbacks.progress=null", "callbacks.summary=null")
    train(cfg, tmp_path / "run")
    assert Run.load(tmp_path / "run").status["test"]["acc"] > 0.95
