"""What README, CONTRIBUTING and docs/ say: commands compose or parse, links and excerpts hold."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from resnet_lab import benchmark, reproduce, train
from resnet_lab.core.configuration.command_line import resumed
from resnet_lab.core.configuration.config import CONF
from tests.helpers import REPOSITORY, Compose

PACKAGE = train.__name__.partition(".")[0]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *REPOSITORY.glob("docs/*.md")]
OWN = {"extending.md"}  # its commands use files that it makes: tests/test_extending.py runs them
COMMAND = re.compile(rf"(?:python3? -m {PACKAGE}\.|[\w-]+-)(\w+)((?: .*)?)")


OTHERS = (
    "evaluate",
    "analyse",
    "predict",
    "report",
    "compare",
    "reproduce",
    "benchmark",
)  # commands besides train


def commands(page: Path) -> list[tuple[str, str]]:
    """Return name and arguments of every command of ours, in blocks and within `...`."""
    text = page.read_text().replace("\\\n", " ")
    lines = [
        line.partition("  #")[0].strip()
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [match for line in lines if (match := COMMAND.fullmatch(line))]
    names = ("train", *OTHERS)
    # A name alone is a mention, except of the command that needs no more.
    used = [match for match in found if match[1] in names and (match[2] or match[1] == "train")]
    return [(match[1], match[2].strip()) for match in used]


COMMANDS = [(page, *found) for page in PAGES if page.name not in OWN for found in commands(page)]


def of(*names: str) -> list[tuple[str, str]]:
    found = ((name, arguments) for _, name, arguments in COMMANDS if name in names)
    return sorted(set(found))


def test_the_readme_shows_how_to_train_and_evaluate() -> None:
    shown = [name for page, name, _ in COMMANDS if page.name == "README.md"]
    assert shown.count("train") >= 5
    assert "evaluate" in shown


@pytest.mark.parametrize("arguments", [arguments for _, arguments in of("train")])
def test_every_training_command_composes(arguments: str, composed: Compose) -> None:
    words = shlex.split(re.sub("<(\\w+)>", "\\1", arguments))
    if resumed(words) or words in (["--help"], ["--version"]):
        return
    first, last = [], []  # values of a sweep
    overrides = [word for word in words if word not in ("-m", "--cfg", "job")]
    for override in OverridesParser.create().parse_overrides(overrides):
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
    for chosen in (first, last):
        assert composed(*chosen).trainer.max_epochs > 0


def overrides_in(page: str) -> list[str]:
    """Return what a page shows within `...` that consists of overrides alone."""
    shown = re.findall(r"`([^`\n]+)`", (REPOSITORY / "docs" / page).read_text())
    whole = [text for text in shown if all(re.match(r"'?[\w.]+=.", word) for word in text.split())]
    return sorted({text for text in whole if "..." not in text and "key=" not in text})


@pytest.mark.parametrize("overrides", overrides_in("training.md"))
def test_what_the_page_of_techniques_says_composes(overrides: str, composed: Compose) -> None:
    assert composed(*shlex.split(overrides)).trainer.max_epochs > 0


@pytest.mark.parametrize(("name", "arguments"), of(*OTHERS))
def test_every_other_command_parses(
    name: str, arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("the parser has done its work")

    monkeypatch.setattr(benchmark, "benchmark", refuse)
    monkeypatch.setattr(reproduce, "reproduce", refuse)
    words = shlex.split(re.sub("<(\\w+)>", "\\1", arguments))
    with pytest.raises(SystemExit) as end:  # argparse exits with 2, a run that is missing with 1
        importlib.import_module(f"{PACKAGE}.{name}").main(words)
    assert end.value.code == 1, capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path = link.partition("#")[0]
        assert "://" in link or not path or (page.parent / path).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(
        re.findall(r"^([\w-]+):.*##", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    )
    named = re.findall(r"^(?:.*`)?make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert set(named) <= targets


def test_the_tour_leads_to_what_is_there() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    places = [REPOSITORY, REPOSITORY / "src", REPOSITORY / "src" / PACKAGE]
    for path in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text):
        assert any((place / path).exists() for place in places), path


def test_excerpts_are_the_files() -> None:
    for page in PAGES:
        for name, text in re.findall(
            r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", page.read_text(), re.S
        ):
            assert text == (REPOSITORY / name).read_text(), f"{page.name}: copy {name} anew"
