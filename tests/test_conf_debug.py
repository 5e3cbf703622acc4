"""The groups `debug`, `logger` and `callbacks`: short runs, and runs without."""

from pathlib import Path

import pytest
import torch

from resnet_lab import report
from resnet_lab.evaluate import main as evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.helpers import TINY, column

OF_THE_NETWORK = TINY[0], *TINY[2:4], *TINY[5:]  # without lengths


def test_fast_goes_through_everything_once(composed, tmp_path: Path) -> None:
    cfg = composed(
        *OF_THE_NETWORK, "debug=fast", "test=best", "+callbacks.early_stopping="
        "{_target_: resnet_lab.callbacks.early_stopping.EarlyStopping, monitor: val/acc}",
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.done
    assert (run.status["epochs"], run.status["steps"]) == (1, 1)
    assert run.status["test"]["images"] == 32
    assert {"train/loss", "val/acc"} <= run.status["metrics"].keys()
    assert run.status["best"]["value"] == run.status["metrics"]["val/acc"]
    assert not [*run.directory.glob("metrics.csv"), *run.directory.glob("events*")]
    weights = torch.load(run.checkpoint("best"), weights_only=True)
    assert weights["global_step"] == 1
    evaluate([str(run.directory), "--checkpoint", "best"])  # an ordinary run otherwise


def test_a_number_of_batches_is_as_fast(tiny, tmp_path: Path) -> None:
    train(tiny("trainer.fast_dev_run=2", "trainer.max_epochs=9"), tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert (run.done, run.status["epochs"], run.status["steps"]) == (True, 1, 2)
    assert run.status["test"]["images"] == 64


@pytest.mark.parametrize("wrong", ["-1", "1.5", "often"])
def test_a_wrong_number_of_batches_is_named(wrong: str, command) -> None:
    code, _, err = command(f"trainer.fast_dev_run={wrong}")
    assert code == 1
    text = f"error: trainer.fast_dev_run={wrong}: must be true, false, or a number of batches"
    assert err.strip() == text


@pytest.mark.parametrize("debug", ["fast", "limit"])
@pytest.mark.parametrize("experiment", ["he2015_resnet110", "wrn28_10", "mnist_best"])
def test_an_experiment_is_tried_out(debug: str, experiment: str, composed) -> None:
    cfg = composed(f"experiment={experiment}", f"debug={debug}")
    assert cfg.expected is None  # a trial is not held to it
    with torch.device("meta"):
        task = Run(Path(), cfg, {}).build_task()
    steps = 200 if cfg.scheduler.interval == "epoch" else 3
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    task.scheduler(opt, total_steps=1 if debug == "fast" else steps)


def test_a_report_sets_trials_aside(composed, tmp_path: Path, capsys) -> None:
    whole = ("trainer.max_epochs=1", "trainer.threads=1")
    for name, choice in (("whole", whole), ("fast", ("debug=fast",)), ("limit", ("debug=limit",))):
        overrides = (*OF_THE_NETWORK, *choice)
        train(composed(*overrides), tmp_path / name, overrides)
    capsys.readouterr()
    report.main([str(tmp_path)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "set aside: 1 limited job (trainer.fast_dev_run=true)" in shown
    assert "set aside: 1 limited job (trainer.limit_train_batches=3" in shown


def test_overfit_learns_three_batches_by_heart(composed, tmp_path: Path) -> None:
    train(composed(*OF_THE_NETWORK, "debug=overfit"), tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.status["steps"] == 60
    assert run.status["best"]["value"] < 0.3
    assert "test" not in run.status


def test_profile_says_where_the_time_goes(composed, tmp_path: Path) -> None:
    short = "trainer.limit_train_batches=2"
    train(composed(*OF_THE_NETWORK, "debug=profile", short), tmp_path / "run")
    assert "run_training_epoch" in (tmp_path / "run/profile/fit-simple.txt").read_text()


@pytest.mark.parametrize(
    ("option", "csv", "events"),
    [("none", 0, 0), ("csv", 1, 0), ("tensorboard", 0, 1), ("[csv,tensorboard]", 1, 1)],
)
def test_a_run_has_the_loggers_that_were_chosen(option, csv, events, tiny, tmp_path: Path) -> None:
    cfg = tiny(f"logger={option}", "trainer.max_epochs=1", "callbacks.tensorboard=null")
    train(cfg, tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.done
    assert (run.directory / "metrics.csv").exists() == bool(csv)
    assert bool([*run.directory.glob("events*")]) == bool(events)
    if csv:
        assert column(run.directory, "val/acc") == [run.status["metrics"]["val/acc"]]


def test_a_run_does_without_callbacks(composed, tmp_path: Path) -> None:
    without = [item for item in TINY if not item.startswith("callbacks")]
    train(composed(*without, "callbacks=none", "logger=none"), tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.done
    assert run.status["best"]["monitor"] == "val/acc"
    names = {path.name for path in run.directory.glob("[!.]*")} - {"code.diff"}
    assert names == {"config.yaml", "status.json", "train.log", "packages.txt"}


def test_what_networks_share_is_no_option(command) -> None:
    _, out, _ = command("--help")
    (line,) = [line for line in out.splitlines() if line.startswith("model: ")]
    options = line.removeprefix("model: ").split(", ")
    assert "resnet20" in options
    assert "residual" not in options


def test_networks_begin_with_what_they_share(composed) -> None:
    shared = {"shortcut", "residual", "stochastic_depth", "checkpoint_activations"}
    for name, own in (("resnet20", "A"), ("resnet18", "B"), ("wrn", "B")):
        model = composed(f"model={name}").model
        assert shared <= model.keys()
        assert model.shortcut == own
