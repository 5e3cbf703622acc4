"""What the README says: its commands compose, its excerpts and tables are those of the files."""

import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from resnet_lab import evaluate
from resnet_lab.core.config import CONF
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.partition("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]
TRAINING = [line for line in COMMANDS if "resnet_lab.train" in line]


def test_the_readme_trains() -> None:
    assert len(TRAINING) >= 5


@pytest.mark.parametrize("line", TRAINING)
def test_every_training_command_composes(line: str, composed) -> None:
    words = shlex.split(re.sub("<(\\w+)>", "\\1", line))[3:]
    if words[0] == "--resume":
        assert len(words) == 2
        return
    first, last = [], []  # values of a sweep
    for override in OverridesParser.create().parse_overrides([w for w in words if w != "-m"]):
        key, written = override.get_key_element(), override.input_line
        if key.startswith("hydra"):  # hydra/launcher, hydra.sweeper: of the sweep, not of a job
            assert "/" not in key or (CONF / f"{written.replace('=', '/')}.yaml").is_file(), written
        elif not override.is_sweep_override():
            first.append(written)
            last.append(written)
        elif override.is_discrete_sweep():
            values = list(override.sweep_string_iterator())
            first.append(f"{key}={values[0]}")
            last.append(f"{key}={values[-1]}")
        else:
            first.append(f"{key}={override.value().start}")
            last.append(f"{key}={override.value().end}")
    for overrides in (first, last):
        assert composed(*overrides).trainer.max_epochs > 0


@pytest.mark.parametrize("line", [line for line in COMMANDS if "resnet_lab.evaluate" in line])
def test_every_evaluate_command_parses(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "Run", None)  # past the parser is far enough
    with pytest.raises((AttributeError, SystemExit)) as end:
        evaluate.main(shlex.split(line.replace("<run>", "RUN"))[3:])
    assert getattr(end.value, "code", 1) == 1  # argparse would exit with 2


def test_every_module_named_in_a_command_exists() -> None:
    for name in set(re.findall(r"python -m resnet_lab\.(\w+)", README)):
        assert (REPOSITORY / f"src/resnet_lab/{name}.py").is_file(), name


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):.*##", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert {line.split()[1] for line in COMMANDS if line.startswith("make ")} <= targets


def test_excerpts_are_the_files() -> None:
    excerpts = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert excerpts
    for name, text in excerpts:
        assert text == (REPOSITORY / name).read_text(), name


def test_the_table_of_groups_lists_every_option() -> None:
    for folder in sorted({path.parent for path in CONF.glob("*/**/*.yaml")}):
        group = str(folder.relative_to(CONF))
        (row,) = re.findall(rf"^\| `{group}` \|.*$", README, re.MULTILINE)
        for option in folder.glob("*.yaml"):
            assert re.search(rf"\b{option.stem}\b", row), f"{group}={option.stem}"


def test_pictures_and_files_exist() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (REPOSITORY / path).is_file(), path
