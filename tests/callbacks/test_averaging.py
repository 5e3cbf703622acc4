"""EMA and SWA: what is averaged; that it is validated, kept and tested; that it goes on alike."""

import os
import signal
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim.swa_utils import update_bn
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_lab.callbacks.averaging import EMA
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.task import ImageClassifier
from tests.helpers import TINY, Killed, column, slow

State = dict[str, Tensor]
QUIET = (*TINY, "callbacks.tensorboard=null")


@pytest.fixture
def averaged(composed) -> Callable[..., Any]:
    """A function that composes the tiny run with averaging and further overrides."""
    return lambda which, *more: composed(f"callbacks={which}", *QUIET, "optimizer.lr=0.1", *more)


def checkpoint(run: Path, which: str = "last") -> dict[str, Any]:
    return torch.load(Run.load(run).checkpoint(which), weights_only=True)


def observe(monkeypatch: pytest.MonkeyPatch, *, every: str) -> list[State]:
    """Return a list that fills with the weights before training and after each step or epoch."""
    seen: list[State] = []

    def note(task: ImageClassifier) -> None:
        seen.append({name: value.clone() for name, value in task.state_dict().items()})

    whole = ImageClassifier.on_train_start

    def on_train_start(self: ImageClassifier) -> None:
        whole(self)
        note(self)

    def on_train_batch_end(self: ImageClassifier, outputs: Any, batch: Any, batch_idx: int) -> None:
        if every == "step" or self.trainer.is_last_batch:
            note(self)

    monkeypatch.setattr(ImageClassifier, "on_train_start", on_train_start)
    monkeypatch.setattr(ImageClassifier, "on_train_batch_end", on_train_batch_end)
    return seen


def learned(state: State) -> set[str]:
    return {name for name in state if "running_" not in name and "num_batches" not in name}


@pytest.mark.parametrize(("decay", "cap"), [("0.999", 0.999), ("0.3", 0.3)])
def test_ema_is_the_moving_average_of_the_steps(
    decay: str, cap: float, averaged, tmp_path: Path, monkeypatch
) -> None:
    seen = observe(monkeypatch, every="step")
    train(averaged("ema", f"callbacks.ema.decay={decay}"), tmp_path / "run")
    last = checkpoint(tmp_path / "run")
    assert len(seen) == 1 + 6
    expected = seen[0]
    for step, state in enumerate(seen[1:]):
        weight = min(cap, (1 + step) / (10 + step))
        expected = {
            name: weight * expected[name] + (1 - weight) * value for name, value in state.items()
        }
    for name, value in last["state_dict"].items():
        if name.endswith("num_batches_tracked"):
            assert value == 6
        else:
            torch.testing.assert_close(value, expected[name])
            assert torch.equal(last["current_model_state"][name], seen[-1][name])


@pytest.mark.parametrize(
    ("which", "tested"),
    [("ema", "last"), ("swa", "best"), slow("ema", "best"), slow("swa", "last")],
)
def test_the_average_is_validated_kept_and_tested(
    which: str, tested: str, worse_is_best, averaged, tmp_path: Path
) -> None:
    cfg = averaged(
        which, f"test={tested}", "trainer.max_epochs=4", "monitor=train/loss",
        "callbacks.checkpoint.keep=all",
        *(("callbacks.swa.start=1",) if which == "swa" else ()),
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    run = Run.load(tmp_path / "run")
    for name in ("last", "best"):
        path = run.checkpoint(name)
        assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    assert evaluate(run, "val", "last")["loss"] == pytest.approx(
        column(tmp_path / "run", "val/loss")[-1], rel=1e-5
    )
    measured = {name: evaluate(run, "test", name)["loss"] for name in ("last", "best")}
    assert run.status["test"]["loss"] == pytest.approx(measured[tested], rel=1e-5)
    assert measured["last"] != measured["best"]

    last = checkpoint(tmp_path / "run")
    raw = dict(last, state_dict=last["current_model_state"])
    torch.save(raw, tmp_path / "raw.ckpt")
    assert evaluate(run, "test", str(tmp_path / "raw.ckpt"))["loss"] != pytest.approx(
        measured["last"], rel=1e-3
    )


def kill(patch: pytest.MonkeyPatch, method: str, when: Callable[[ImageClassifier], bool]) -> None:
    whole = getattr(ImageClassifier, method)

    def killed(self: ImageClassifier, *arguments: Any) -> Any:
        if when(self):
            raise Killed
        return whole(self, *arguments)

    patch.setattr(ImageClassifier, method, killed)


def alike(one: Path, other: Path) -> None:
    whole, parts = checkpoint(one), checkpoint(other)
    for key in ("state_dict", "current_model_state", "averaging_state"):
        assert whole[key].keys() == parts[key].keys()
        assert all(torch.equal(whole[key][name], parts[key][name]) for name in whole[key]), key
    assert Run.load(one).status["test"] == Run.load(other).status["test"]
    for name in ("train/loss", "val/loss", "lr"):
        assert column(one, name) == column(other, name), name


@pytest.mark.parametrize(
    ("which", "interval", "epoch"),
    [("ema", "step", 2), ("swa", "step", 3), slow("swa", "step", 2), slow("swa", "epoch", 2)],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    epoch: int, which: str, interval: str, averaged, tmp_path: Path, monkeypatch
) -> None:
    cfg = averaged(
        which, "trainer.max_epochs=4", f"scheduler.interval={interval}",
        "model.stochastic_depth=0.5", *(("callbacks.swa.start=2",) if which == "swa" else ()),
    )  # fmt: skip
    train(cfg.copy(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill(patch, "on_train_epoch_end", lambda task: task.current_epoch == epoch)
        with pytest.raises(Killed):
            train(cfg.copy(), tmp_path / "parts")
    train(cfg.copy(), tmp_path / "parts")
    alike(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(("which", "accumulate"), [slow("ema", 1), ("ema", 2), ("swa", 1)])
def test_a_run_that_was_interrupted_within_an_epoch_goes_on_alike(
    which: str, accumulate: int, averaged, tmp_path: Path, monkeypatch
) -> None:
    cfg = averaged(
        which, "trainer.max_epochs=4", "trainer.limit_train_batches=6",
        f"trainer.accumulate_grad_batches={accumulate}",
        *(("callbacks.swa.start=2",) if which == "swa" else ()),
    )  # fmt: skip
    train(cfg.copy(), tmp_path / "whole")
    step = ImageClassifier.training_step

    def asked(self: ImageClassifier, batch: Any, batch_idx: int) -> Tensor:
        if self.current_epoch == 2 and batch_idx == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", asked)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), tmp_path / "parts")
    assert checkpoint(tmp_path / "parts")["global_step"] % (6 / accumulate) != 0
    train(cfg.copy(), tmp_path / "parts")
    alike(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("which", ["ema", "swa"])
def test_a_run_that_was_killed_before_its_test_tests_the_average(
    which: str, averaged, tmp_path: Path, monkeypatch
) -> None:
    cfg = averaged(which, "trainer.max_epochs=4")
    with monkeypatch.context() as patch:
        kill(patch, "on_test_epoch_start", lambda task: True)
        with pytest.raises(Killed):
            train(cfg.copy(), tmp_path / "run")
    train(cfg.copy(), tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.done
    assert run.status["test"]["loss"] == pytest.approx(evaluate(run)["loss"], rel=1e-5)


def test_ema_counts_the_optimizer_s_steps(averaged, tmp_path: Path) -> None:
    train(
        averaged("ema", "trainer.accumulate_grad_batches=3", "trainer.log_every_n_steps=1"),
        tmp_path / "run",
    )
    assert checkpoint(tmp_path / "run")["averaging_state"]["n_averaged"] == 2


def test_swa_is_the_mean_of_the_last_epochs(averaged, tmp_path: Path, monkeypatch) -> None:
    seen = observe(monkeypatch, every="epoch")
    cfg = averaged("swa", "trainer.max_epochs=5", "callbacks.swa.start=0.5")
    train(cfg, tmp_path / "run")
    last = checkpoint(tmp_path / "run")
    epochs = seen[-3:]  # half of five is two
    for name in learned(epochs[0]):
        mean = torch.stack([state[name] for state in epochs]).mean(0)
        torch.testing.assert_close(last["state_dict"][name], mean)
        assert not torch.equal(last["state_dict"][name], epochs[-1][name])


def test_swa_measures_the_statistics_of_batch_norm_again(averaged, tmp_path: Path) -> None:
    cfg = averaged("swa", "trainer.max_epochs=4", "seed=3")
    train(cfg, tmp_path / "run")
    run = Run.load(tmp_path / "run")
    task, facts = run.load_task("last")
    found = {name: value.clone() for name, value in task.state_dict().items()}
    data = run.build_data(facts)
    data.setup("fit")
    loader = data.train_dataloader()
    loader.set_epoch(3)
    images = [data.finish(batch, augment=True)[0] for batch in islice(loader, 3)]
    update_bn(images, task)
    for name, value in task.state_dict().items():
        torch.testing.assert_close(found[name], value)
    average = checkpoint(tmp_path / "run")["current_model_state"]
    assert any(not torch.allclose(found[n], average[n]) for n in found if "running_mean" in n)


def test_swa_has_the_weights_of_an_epoch_that_ended_early(averaged, tmp_path: Path) -> None:
    train(averaged("swa", "callbacks.swa.start=1", "trainer.max_steps=4"), tmp_path / "run")
    last = checkpoint(tmp_path / "run")
    assert last["global_step"] == 4
    for name in learned(last["state_dict"]):
        assert torch.equal(last["state_dict"][name], last["current_model_state"][name]), name


def test_before_swa_starts_the_weights_are_their_own(
    worse_is_best, averaged, tmp_path: Path
) -> None:
    cfg = averaged("swa", "callbacks.swa.start=3", "trainer.max_epochs=4", "monitor=train/loss")
    train(cfg, tmp_path / "run")
    best = checkpoint(tmp_path / "run", "best")
    assert best["epoch"] < 3
    for name, value in best["state_dict"].items():
        assert torch.equal(value, best["current_model_state"][name]), name


@pytest.mark.parametrize(
    ("hold", "interval"),
    [(True, "step"), (False, "epoch"), slow(True, "epoch"), slow(False, "step")],
)
def test_swa_holds_the_rate(hold: bool, interval: str, averaged, tmp_path: Path) -> None:
    train(
        averaged(
            "swa", "trainer.max_epochs=4", "callbacks.swa.start=2", f"callbacks.swa.hold_lr={hold}",
            f"scheduler.interval={interval}", "trainer.log_every_n_steps=1",
        ),
        tmp_path / "run",
    )  # fmt: skip
    rates = column(tmp_path / "run", "lr")
    begun = len(rates) // 2
    assert len(set(rates[:begun])) > 1
    assert (len(set(rates[begun:])) == 1) == hold
    assert rates[begun] < rates[begun - 1]


def test_swa_leaves_the_statistics_of_a_frozen_backbone(averaged, tmp_path: Path) -> None:
    train(averaged("ema", "trainer.max_epochs=1"), tmp_path / "first")
    weights = Run.load(tmp_path / "first").checkpoint("last")
    train(
        averaged("swa", f"model.weights={weights}", "task.freeze=backbone", "trainer.max_epochs=4"),
        tmp_path / "second",
    )
    before = checkpoint(tmp_path / "first")["state_dict"]
    for name, value in checkpoint(tmp_path / "second")["state_dict"].items():
        assert torch.equal(value, before[name]) != name.startswith("net.fc."), name


@pytest.mark.parametrize("which", ["ema", "swa"])
def test_a_network_without_batch_norm_is_averaged_too(which: str, composed, tmp_path: Path) -> None:
    cfg = composed(
        f"callbacks={which}", "model=small_resnet", "data.image_size=16", *QUIET[1:],
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    assert Run.load(tmp_path / "run").done


def test_the_end_may_come_early(averaged, tmp_path: Path) -> None:
    cfg = averaged(
        "[early_stopping,ema]", "callbacks.early_stopping.patience=1", "trainer.max_epochs=20",
        "optimizer.lr=0",
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.status["epochs"] < 20
    assert run.config.test == "best"
    assert "averaging_state" in checkpoint(tmp_path / "run", "best")


def test_two_averages_are_refused(averaged, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"callbacks.ema and callbacks.swa both .*: use one"):
        train(averaged("[ema,swa]"), tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("callbacks.ema.decay=1", r"callbacks.ema.decay=1: must be >= 0 and < 1"),
        ("callbacks.swa.start=2", r"callbacks.swa.start=2: .* below trainer.max_epochs=2"),
        ("callbacks.swa.start=1.5", r"callbacks.swa.start=1.5: must be a fra"),
        ("callbacks.swa.start=-1", r"callbacks.swa.start=-1: must be a fra"),
    ],
)
def test_senseless_arguments_are_refused(override: str, text: str, averaged, tmp_path) -> None:
    with pytest.raises(ValueError, match=text):
        train(averaged(override.split(".")[1], override), tmp_path / "run")


class Calls(TorchDispatchMode):
    """Note every operation by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def test_moving_and_swapping_the_average_take_a_few_kernels(averaged, tmp_path: Path) -> None:
    """One for each tensor is what a GPU would wait for."""
    names: dict[str, list[str]] = {}

    class Watching(EMA):
        def move(self, decay: float) -> None:
            with Calls() as calls:
                super().move(decay)
            names["move"] = calls.names

        def _swap_models(self, pl_module: LightningModule) -> None:
            with Calls() as calls:
                super()._swap_models(pl_module)
            names["swap"] = calls.names

    with ActiveRun.open(tmp_path / "run", averaged("ema", "callbacks.ema=null")) as run:
        fit_and_test(run, Watching())
    assert set(names["move"]) == {"aten::_foreach_lerp_.Scalar", "aten::_foreach_copy_"}
    assert len(names["move"]) == 2
    assert {name for name in names["swap"] if "empty" not in name} == {"aten::_foreach_copy_"}
