"""The commands as a person meets them: results, and one-line errors."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resnet_lab import evaluate, train
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.trained.run import Run
from tests.helpers import REPOSITORY, TINY


def runs(kind: str = "runs") -> list[Path]:
    return sorted(path for path in Path("logs", kind).glob("*") if path.is_dir())


def test_a_run_ends_with_its_result_and_what_to_do_next(command) -> None:
    code, out, err = command(*TINY)
    assert (code, err) == (0, "")
    (run,) = runs()
    assert re.search(r"test accuracy +\d+\.\d\d %  \(95 % interval .*, 360 images\)", out)
    assert re.search(r"epochs +2 in .* s, .* images/s", out)
    assert f"python -m resnet_lab.evaluate {run}" in out
    assert "tensorboard --logdir logs/runs" in out
    assert out.count("python -m") + out.count("tensorboard --logdir") == 3
    assert "test accuracy" in (run / "train.log").read_text()


def test_two_launches_in_one_second_get_two_directories(command) -> None:
    for _ in range(2):
        assert command(*TINY, "name=same")[0] == 0
    first, second = runs()
    assert {Run.load(path).status["state"] for path in (first, second)} == {"done"}


def test_a_run_goes_on_from_its_directory_alone(command) -> None:
    assert command(*TINY, "run_dir=mine")[0] == 0
    Path("mine/status.json").write_text('{"state": "interrupted"}')
    Path("mine").rename("moved")
    code, out, _ = command("--resume", "moved")
    assert code == 0
    assert "test accuracy" in out
    assert Run.load("moved").done


# What a person gets wrong -> what the one line must say.
WRONG = {
    "option": (["data=cifar11"], "data=cifar11: no such option; did you mean cifar10 or cifar100"),
    "group": (["modle=resnet20"], "modle: no such key; did you mean model"),
    "key": (["optimizer.lrr=0.1"], "optimizer.lrr: no such key; did you mean lr"),
    "type": (["optimizer.lr=fast"], "optimizer.lr=fast: must be a number >= 0"),
    "whole number": (["trainer.max_epochs=1.5"], "trainer.max_epochs=1.5: must be an integer >= 1"),
    "yes or no": (["task.channels_last=maybe"], "task.channels_last=maybe: must be true or false"),
    "compile mode": (
        ["task.compile=maybe"],
        "task.compile=maybe: must be true, false or one of default",
    ),
    "seed": (["seed=abc"], "seed=abc"),
    "syntax": (["optimizer.lr=[0.1"], "optimizer.lr=[0.1"),
    "unknown argument": (
        ["+optimizer.momentun=1"],
        "optimizer.momentun: SGD takes no such argument; did you mean momentum",
    ),
    "missing value": (["data=image_folder"], "data.root has no value yet: set it with data.root="),
    "missing folder": (["data=image_folder", "data.root=photos"], "photos"),
    "monitor": (
        ["monitor=val/kappa"],
        "monitor=val/kappa: not one of our metrics (loss, acc, acc_top5, f1, mae, rmse",
    ),
    "accelerator": (["trainer=gpu"], "trainer.accelerator=gpu: .*use trainer=auto or trainer=cpu"),
    "depth": (["model.depth=21"], "depth 21"),
    "classes": (["data.num_classes=7"], "data.num_classes=7, but digits has 10 classes"),
    "channels": (["data.channels=3", "data.mean=[0,0,0]", "data.std=[1,1,1]"], "data.channels=3"),
    "outputs": (["model.num_classes=5"], "model.num_classes=5: data.num_classes is 10"),
    "reference": (["optimizer.lr=${nope}"], "optimizer.lr: Interpolation key 'nope' not found"),
    "too small a share": (
        ["trainer.limit_train_batches=0.001"],
        "^error: You requested .* Try at least `limit_train_batches=0.025`",
    ),
    "batch of nothing": (["data.batch_size=0"], "data.batch_size=0"),
    "batch too large": (["data.batch_size=9999"], "data.batch_size=9999 is larger"),
    "precision": (["trainer.precision=7"], "trainer.precision=7"),
    "warm-up": (["scheduler.warmup=2.5"], "scheduler.warmup=2.5"),
    "target": (["optimizer._target_=torch.optim.Nothing"], "torch.optim.Nothing"),
    "place of a file": (["log_dir=afile"], "afile/runs: Not a directory"),
    "sweep or run": (
        ["sweep_dir=x"],
        "sweep_dir=x is not for one run: name its directory by run_dir",
    ),
    "test of what": (["test=true"], "test=True: use last, best or null"),
    "key of a group": (
        ["max_epochs=3"],
        "max_epochs: no such key; did you mean trainer.max_epochs?",
    ),
    "key that is not there yet": (
        ["optimizer=adam", "optimizer.amsgrad=true"],
        "optimizer.amsgrad: no such key; to add it, put a + before it: +optimizer.amsgrad=...",
    ),
    "several options": (
        ["augment=[nope]"],
        "augment=nope: no such option; there are cutmix, erasing",
    ),
    "object": (["data.source=foo"], "data.source=foo: must be an object, by its _target_"),
    "not finite": (["data.val_size=nan"], "data.val_size=nan: must be a finite number"),
    "too many for validation": (["data.val_size=-1"], "data.val_size: cannot set -1 of 1437"),
    "place of a run": (["name=a/b"], "a/b: cannot be a directory; give a short name=..."),
    "set by the code": (["+data.seed=1"], "data.seed is set by resnet-lab itself: it follows seed"),
    "trainer's directory": (
        ["+trainer.default_root_dir=x"],
        "trainer.default_root_dir is set by resnet-lab itself: set run_dir or log_dir",
    ),
    "trainer's callbacks": (["+trainer.callbacks=[]"], "add to the group callbacks"),
    "trainer's logger": (["+trainer.logger={a:1}"], "trainer.logger: add to the group logger"),
    "trainer's plugins": (["+trainer.plugins=true"], "trainer.plugins: must be a list"),
    "trainer's checkpoints": (
        ["+trainer.plugins=[{_target_:resnet_lab.callbacks.checkpoint.AtomicCheckpointIO}]"],
        "trainer.plugins: a CheckpointIO is set by resnet-lab itself",
    ),
    "part that is made later": (["optimizer.momentum=-1"], "optimizer: Invalid momentum value"),
    "not a run": (["--resume", "nowhere"], "nowhere: no such directory"),
}


@pytest.mark.parametrize("group", ["callbacks", "logger"])
@pytest.mark.parametrize("form", ["{}=[]", "~{}"])
def test_a_run_does_without_callbacks_or_loggers(group: str, form: str, command) -> None:
    tiny = [item for item in TINY if not item.startswith("callbacks")]
    assert command(*tiny, form.format(group), "run_dir=mine")[0] == 0
    assert Run.load("mine").done
    assert Path("mine/metrics.csv").exists() == (group != "logger")


def test_a_sweep_tries_no_callbacks(command) -> None:
    tiny = [item for item in TINY if not item.startswith("callbacks")]
    assert command("-m", *tiny, "callbacks=[],default")[0] == 0
    (sweep,) = runs("sweeps")
    assert len(list(sweep.glob("*/status.json"))) == 2
    assert len(list(sweep.glob("*/checkpoints/best.ckpt"))) == 1


def test_the_trainer_s_own_switches_are_honoured(command) -> None:
    plugin = "{_target_:lightning.pytorch.plugins.environments.LightningEnvironment}"
    added = ("+trainer.logger=false", f"+trainer.plugins=[{plugin}]")
    assert command(*TINY, *added, "run_dir=mine")[0] == 0
    assert Run.load("mine").done
    assert not Path("mine/metrics.csv").exists()
    assert Path("mine/checkpoints/last.ckpt").exists()


@pytest.mark.parametrize("name", ["föö", "föö bär", "näme (2)"])
def test_a_name_has_any_letters(name: str, command) -> None:
    given = f"name='{name}'" if "(" in name else f"name={name}"
    assert command(*TINY, given)[0] == 0
    (run,) = runs()
    assert run.name.endswith(f"_{name}")
    assert Run.load(run).config.name == name


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_gets_one_line(name: str, command) -> None:
    overrides, expected = WRONG[name]
    tiny = (
        []
        if overrides[0] == "--resume"
        else [item for item in TINY if "precision" not in item or name != "precision"]
    )
    if name == "accelerator":
        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
        tiny = [item for item in tiny if "accelerator" not in item]
    tiny = [
        item
        for item in tiny
        if item.partition("=")[0] not in {o.partition("=")[0] for o in overrides}
    ]
    Path("afile").touch()
    code, _, err = command(*tiny, *overrides)
    assert code == 1
    assert re.search(expected if "*" in expected else re.escape(expected), err), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert err[:-1].isprintable()
    assert "Traceback" not in err
    assert not Path("x").exists()
    assert runs() == []


def test_a_small_share_of_the_test_fails_no_trained_run(command) -> None:
    code, out, err = command(*TINY, "trainer.limit_test_batches=0.001", "run_dir=mine")
    assert (code, err) == (0, "")
    assert "limit_test_batches=0.001 of 12 is less than a batch: one" in out
    assert Run.load("mine").status["test"]["images"] == 32


def test_the_traceback_of_a_failure_is_in_the_log(command) -> None:
    assert command(*TINY, "optimizer.lr=1e30", "scheduler=none")[0] == 1
    (run,) = runs()
    assert "Traceback" in (run / "train.log").read_text()
    assert Run.load(run).status["state"] == "failed"
    assert "lower optimizer.lr" in Run.load(run).status["error"]


def test_a_refused_command_leaves_a_directory_as_it_was(command) -> None:
    Path("empty").mkdir()
    for wrong in ("data.batch_size=9999", "monitor=val/kappa", "scheduler.warmup=2.5", "seed=abc"):
        for directory in ("empty", "new"):
            code, _, err = command(*TINY, wrong, f"run_dir={directory}")
            assert (code, err.count("\n")) == (1, 1)
            assert not Path("new").exists()
            assert list(Path("empty").iterdir()) == []


def test_a_preflight_leaves_a_directory_as_it_was(command) -> None:
    Path("empty").mkdir()
    Path("mine").mkdir()
    Path("mine/config.yaml").write_text("model: {}")
    for directory in ("empty", "new", "mine"):
        code, out, err = command(*TINY, f"run_dir={directory}", "preflight=true")
        assert (code, err) == (0, "")
        assert "this run can start" in out
    assert command(*TINY, "preflight=true")[0] == 0
    assert list(Path("empty").iterdir()) == []
    assert [path.name for path in Path("mine").iterdir()] == ["config.yaml"]
    assert not Path("new").exists()
    assert runs() == []


def test_a_refusal_leaves_an_earlier_run_as_it_was(tiny, monkeypatch) -> None:
    with ActiveRun.open("mine", tiny(), ["seed=0"]) as run:
        run.begin()
        run.update(state="interrupted")
    Path("mine/code.diff").write_text("of that part")
    Path("mine/packages.txt").write_text("torch==1\n")
    before = {p.name: p.read_bytes() for p in Path("mine").iterdir() if p.name != "train.log"}

    def none(*_: object) -> None:
        raise ValueError("no such device")

    monkeypatch.setattr("resnet_lab.runs.fit.check_accelerator", none)
    with pytest.raises(ValueError, match="no such device"):
        train.train(tiny("log_dir=other"), "mine", ["log_dir=other"])
    assert before == {
        p.name: p.read_bytes() for p in Path("mine").iterdir() if p.name != "train.log"
    }


def test_a_full_disk_is_named(command, monkeypatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", "checkpoints/best.ckpt")

    monkeypatch.setattr(torch, "save", full)
    code, _, err = command(*TINY)
    assert code == 1
    assert not list(Path("logs").rglob("*.part"))
    assert "checkpoints/best.ckpt: No space left on device; free some space" in err
    assert err.count("\n") == 1


def test_a_sweep_runs_every_job_and_tells_of_the_broken_one(command) -> None:
    code, _, err = command("-m", *TINY, "optimizer.lr=0.05,1e30", "seed=0,1", "scheduler=none")
    assert code == 1
    (sweep,) = runs("sweeps")
    jobs = {path.name: Run.load(path) for path in sweep.iterdir() if path.is_dir()}
    assert len(jobs) == 4
    states = {name: job.status["state"] for name, job in jobs.items()}
    assert sorted(states.values()) == ["done", "done", "failed", "failed"]
    for name, job in jobs.items():
        assert ("optimizer.lr=1e+30" in name) == (job.status["state"] == "failed")
        assert ("Traceback" in (job.directory / "train.log").read_text()) == (
            job.status["state"] == "failed"
        )
    assert "2 of 4 jobs failed" in err.splitlines()[-1]


def test_evaluate_prints_a_table_and_json(command, capsys) -> None:
    assert command(*TINY, "run_dir=mine")[0] == 0
    evaluate.main(["mine"])
    table = capsys.readouterr().out
    assert "all" in table
    assert "360" in table
    evaluate.main(["mine", "--json", "--split", "val", "--checkpoint", "last"])
    found = json.loads(capsys.readouterr().out)
    assert found["split"] == "val"
    assert 0 <= found["acc_low"] <= found["acc"] <= found["acc_high"] <= 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "nowhere: no such directory"),
        (["mine", "--checkpoint", "other.ckpt"], "other.ckpt: no such checkpoint"),
    ],
)
def test_evaluate_says_in_one_line_what_is_wrong(arguments, expected, tiny, capsys) -> None:
    ActiveRun.open("mine", tiny()).close()
    with pytest.raises(SystemExit) as end:
        evaluate.main(arguments)
    assert end.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert expected in err
    assert err.count("\n") == 1


def test_help_and_configuration_answer_without_importing_torch() -> None:
    code = (
        "import sys; sys.argv = ['train.py', '--cfg', 'job']\n"
        "from resnet_lab.train import main; main()\n"
        "print('imported:', sorted({'torch', 'lightning', 'hydra'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "optimizer:" in result.stdout
    assert result.stdout.splitlines()[-1] == "imported: ['hydra']"


def test_the_module_runs_from_any_directory(tmp_path: Path) -> None:
    """One real process, as a person starts it: exit code, warnings, working tree."""
    before = set(REPOSITORY.glob("[!.]*"))  # other tests write caches meanwhile
    result = subprocess.run(
        [sys.executable, "-m", "resnet_lab.train", *TINY, "trainer.max_epochs=1"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "Warning" not in result.stdout
    assert "test accuracy" in result.stdout
    assert set(REPOSITORY.glob("[!.]*")) == before
