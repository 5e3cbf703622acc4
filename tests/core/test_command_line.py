import re
from pathlib import Path

import pytest

from resnet_lab.core.configuration.command_line import resumed, tidied
from tests.helpers import Command


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (["-m", "seed=0,1"], ["-m", "seed=0,1"]),
        (["data=mnist", "-m", "seed=0,1"], ["-m", "data=mnist", "seed=0,1"]),
        (["name=föö bär"], ["name='föö bär'"]),
        (["data.root=/home/zoë/my photos"], ["data.root='/home/zoë/my photos'"]),
        (["name='föö, bär'"], ["name='föö, bär'"]),
        (["callbacks=[]", "augment=[a,b]"], ["callbacks=[]", "augment=[a,b]"]),
        (["~callbacks", "optimizer={lr:1}"], ["~callbacks", "optimizer={lr:1}"]),
        (["+width=2", "model.width=${width}"], ["+width=2", "model.width=${width}"]),
        (["+model.dropout=0.3", "+augment=trivial"], ["+model.dropout=0.3", "+augment=trivial"]),
        (["--cfg", "job"], ["--cfg", "job"]),
    ],
)  # fmt: skip
def test_what_can_be_meant_is_understood(typed: list[str], kept: list[str]) -> None:
    assert tidied(typed) == kept


WRONG = {
    "callbacks=null": "callbacks=null: must be the name of an option; callbacks=[]",
    "logger=null": "logger=null: must be the name of an option; logger=[]",
    "scheduler=null": "scheduler=null: must be the name of an option; scheduler=none",
    "experiment=null": "experiment=null: must be the name of an option; leave experiment out",
    "optimizer=5": "optimizer=5: must be the name of an option",
    "data=[mnist,digits]": "data=['mnist', 'digits']: takes one option; -m data=a,b tries several",
    "log_dir=null": "log_dir=null: must be a path",
    "data_dir=5": "data_dir=5: must be a path",
    "run_dir=''": "run_dir=: must be a path, or null",
    "sweep_dir=[a]": "sweep_dir=['a']: must be a path, or null",
    "~model": "~model: a run needs one; choose another by model=...",
    "optimizer.lr=0.1,0.2": "optimizer.lr=0.1,0.2: several values; -m tries each of them",
    "optimizer.lr=[0.1": "optimizer.lr=[0.1: not a valid override",
    "name='unclosed": "name='unclosed: not a valid override",
    "optimizer.lr": "optimizer.lr: must be KEY=VALUE",
    "~": "~: must be KEY=VALUE",
    "~hydra=6": "~hydra=6: must be the name of the option that is to go",
    "++model=resnet20": "++model=resnet20: leave the + out: model=...",
    "+experiment=mnist_best": "+experiment=mnist_best: leave the + out: experiment=...",
    "+trainers.max_epochs=5": "+trainers.max_epochs=5: nothing reads trainers; did you",
    "++LOGGER.csv=null": "++LOGGER.csv=null: nothing reads LOGGER; did you mean logger",
    "+logger/csv=x": "+logger/csv=x: nothing reads logger/csv; did you mean logger",
    "=3": "=3: must be KEY=VALUE",
    "--foo": "unrecognized arguments: --foo; see --help",
    "--cfg": "argument --cfg/-c: expected one argument; see --help",
}


@pytest.mark.parametrize("argument", WRONG)
def test_what_cannot_be_meant_is_refused_in_one_line(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(WRONG[argument])}") as caught:
        tidied([argument])
    assert "\n" not in str(caught.value)


def test_resume_takes_a_directory_and_nothing_else() -> None:
    assert resumed(["data=mnist"]) is None
    assert resumed(["--resume", "logs/runs/a"]) == ("logs/runs/a", False)
    assert resumed(["--resume", "logs/runs/a", "--trust"]) == ("logs/runs/a", True)
    for wrong in (["--resume"], ["--resume", "a", "b"], ["--resume", "a", "seed=1"]):
        with pytest.raises(ValueError, match=r"^--resume: use --resume DIRECTORY"):
            resumed(wrong)
    with pytest.raises(ValueError, match=r"--trust is for --resume"):
        resumed(["--trust", "seed=0"])


def own_group(folder: Path) -> Path:
    """Make a configuration directory with a group that only it has."""
    (folder / "conf/recipe").mkdir(parents=True)
    (folder / "conf/recipe/short.yaml").write_text("# @package _global_\nname: of_my_own\n")
    return folder / "conf"


@pytest.mark.parametrize("sign", ["+", "++"])
@pytest.mark.parametrize(
    "found_by",
    ["--config-dir {}", "-cd={}", "--config-dir=conf", "hydra.searchpath=[file://{}]",
     "hydra.searchpath=[{}]", "hydra.searchpath=[pkg://own_lab.conf]"],
)  # fmt: skip
def test_a_group_of_the_user_may_be_added(
    found_by: str, sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = own_group(tmp_path / "own_lab") if "pkg" in found_by else own_group(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    typed = [*found_by.format(conf).split(), f"{sign}recipe=short"]
    assert f"{sign}recipe=short" in tidied(typed)
    with pytest.raises(ValueError, match="nothing reads recipes; did you mean recipe"):
        tidied([*typed, "+recipes=short"])


def test_a_run_takes_a_group_of_the_user(tmp_path: Path, command: Command) -> None:
    typed = ("--config-dir", str(own_group(tmp_path)), "+recipe=short", "--cfg", "job")
    code, out, err = command(*typed)
    assert (code, err) == (0, "")
    assert "name: of_my_own" in out
