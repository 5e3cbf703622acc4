"""The package as it is installed: the wheel, its commands, Tab completion."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from resnet_lab import __version__
from resnet_lab.core.configuration.config import CONF
from resnet_lab.sweeps.resolvers import register_resolvers
from tests.helpers import REPOSITORY

COMMANDS = (
    "train", "evaluate", "analyse", "predict", "export", "report", "sweep", "compare",
    "reproduce", "benchmark",
)  # fmt: skip
INSTALLED = Path(torch.__file__).parents[1]  # where the packages are that ours depends on

Complete = Callable[[str], list[str]]


def pip(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_its_version(name: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--version"])
    with suppress(SystemExit):
        importlib.import_module(f"resnet_lab.{name}").main()
    assert capsys.readouterr().out == f"resnet-lab {__version__}\n"


def test_every_command_has_a_console_script() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text()
    scripts = re.findall(r'^[\w-]+-(\w+) = "resnet_lab\.(\w+):main"$', text, re.MULTILINE)
    assert set(scripts) == {(name, name) for name in COMMANDS}


def test_help_lists_every_group_and_our_own_options(command) -> None:
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    for path in CONF.glob("*/**/*.yaml"):  # at the top are the page to read and a base
        group = path.parent.relative_to(CONF)
        (line,) = [x for x in out.splitlines() if x.startswith(f"{group}: ")] or ["train"]
        assert path.stem in line
    for word in ("hydra/launcher: ", "hydra/sweeper: ", "--resume", "--trust", "--config-dir"):
        assert word in out


def test_the_configuration_is_found_inside_an_installed_package(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(REPOSITORY / "src", site)
    shutil.copytree(CONF, site / "resnet_lab" / "conf")
    code = "from resnet_lab.core.configuration.config import CONF; print(CONF)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert Path(found.stdout.strip()) == site / "resnet_lab" / "conf"


@pytest.fixture
def complete(command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Complete]:
    """A function that returns what a Tab at the end of a line offers."""

    def offered(line: str) -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        code, out, err = command("-sc", "query=bash")
        assert (code, err) == (0, "")
        return out.split()

    yield offered
    register_resolvers()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("resnet-train model=resnet2", ["model=resnet20"]),
        ("resnet-train -m seed=0,1 sched", ["scheduler.", "scheduler="]),
        ("bin/resnet-train 'name=a b' optimizer=adamw optimizer.be", ["optimizer.betas."]),
        ("resnet-train -m hydra/launcher=lo", ["hydra/launcher=local_pool"]),
        ("resnet-train --resume logs/ru", []),  # the shell then offers files
        ("resnet-train data=nothing mod", ["model="]),
    ],
)
def test_a_tab_offers_what_may_come(line: str, expected: list[str], complete: Complete) -> None:
    assert complete(line) == expected


def test_a_tab_offers_options_of_one_s_own(complete: Complete) -> None:
    Path("mine/model").mkdir(parents=True)
    Path("mine/model/resnet_of_mine.yaml").write_text("depth: 20\n")
    line = "resnet-train --config-dir mine model=resnet_"
    assert complete(line) == ["model=resnet_of_mine"]


def test_a_tab_makes_no_directory(complete: Complete) -> None:
    complete("resnet-train hydra.run.dir=")
    assert not Path("logs").exists()


@pytest.mark.slow
def test_a_tab_in_bash_completes_the_word(tmp_path: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    script = tmp_path / "resnet-train"  # as pip writes it
    script.write_text(f"#!{sys.executable}\nfrom resnet_lab.train import main\nmain()\n")
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb"}
    shell = pexpect.spawn(
        "bash", ["--norc", "--noprofile"], env=environment, encoding="utf-8", timeout=300
    )
    shell.sendline('eval "$(resnet-train -sc install=bash)"; echo in"stalled"')
    shell.expect("installed")
    shell.send("resnet-train model=uni\t")
    shell.expect("model=uniform_resnet")
    shell.close(force=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    environment = {}
    if find_spec("hatchling") is None:
        got = pip("install", "--quiet", "--target", str(directory / "backend"), "hatchling")
        if got.returncode:
            pytest.skip("hatchling, which builds the package, cannot be had here")
        environment["PYTHONPATH"] = str(directory / "backend")
    built = pip(
        "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory),
        str(REPOSITORY), **environment,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (path,) = directory.glob("*.whl")
    return path


@pytest.mark.slow
def test_an_installed_wheel_trains_in_an_empty_directory(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("RESNET_LAB_DATA", "RESNET_LAB_LOGS"):
        monkeypatch.delenv(variable)
    venv.create(tmp_path / "venv", symlinks=True)
    scripts = tmp_path / "venv/bin"
    installed = pip("--python", str(scripts / "python"), "install", "--no-deps", str(wheel))
    assert installed.returncode == 0, installed.stderr
    (site,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{INSTALLED}\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    trained = subprocess.run(
        [scripts / "resnet-train", "trainer.max_epochs=1"],
        capture_output=True, text=True, check=False, cwd=empty,
    )  # fmt: skip
    assert (trained.returncode, trained.stderr) == (0, "")
    (run,) = (empty / "logs/runs").iterdir()
    evaluated = subprocess.run(
        [scripts / "resnet-evaluate", run], capture_output=True, text=True, check=True, cwd=empty
    )
    assert "360" in evaluated.stdout
    assert {path.name for path in empty.iterdir()} <= {"logs", "data"}
