"""What the README says: its commands compose, its excerpts and tables are those of the files."""

import re
import shlex
from pathlib import Path

import pytest

from resnet_lab import evaluate
from resnet_lab.config import CONF
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.partition("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]
TRAINING = [line for line in COMMANDS if "resnet_lab.train" in line]


def test_the_readme_trains() -> None:
    assert len(TRAINING) >= 5


@pytest.mark.parametrize("line", TRAINING)
def test_every_training_command_composes(line: str, composed, tmp_path: Path) -> None:
    words = shlex.split(line.replace("<run>", "RUN"))[3:]
    if words[0] == "--resume":
        assert len(words) == 2
        return
    overrides = [word for word in words if word != "-m"]
    for word in overrides:  # each value of a sweep
        name, _, values = word.partition("=")
        for value in values.split(",") if "-m" in words else [values]:
            others = [other for other in overrides if not other.startswith(f"{name}=")]
            others = [re.sub(r",.*", "", other) if "-m" in words else other for other in others]
            cfg = composed(*others, f"{name}={value}")
            assert cfg.trainer.max_epochs > 0


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
    for group in sorted(path.name for path in CONF.iterdir() if path.is_dir()):
        (row,) = re.findall(rf"^\| `{group}` \|.*$", README, re.MULTILINE)
        for option in CONF.glob(f"{group}/*.yaml"):
            assert re.search(rf"\b{option.stem}\b", row), f"{group}={option.stem}"


def test_pictures_and_files_exist() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (REPOSITORY / path).is_file(), path


def test_the_map_names_what_is_there() -> None:
    listing = README.partition("## Map")[2].partition("```")[2].partition("```")[0]
    for path in sorted((REPOSITORY / "src/resnet_lab").iterdir()):
        if path.name not in (
            "__init__.py",
            "__pycache__",
            "py.typed",
            "provenance.py",
            "summary.py",
        ):
            assert path.name in listing, path.name
