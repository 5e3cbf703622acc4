"""A project that depends on ours, word for word as docs/extending.md has it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_lab.core.configuration.trust import TRUSTED, locate
from tests.helpers import REPOSITORY, Command

_PAGE = (REPOSITORY / "docs/extending.md").read_text()
FILES = re.findall(r"<!-- own file: (\S+) -->\n```\w+\n(.*?)```", _PAGE, re.DOTALL)
NETWORK = {"_target_": "my_package.networks.TwoConvs"}
OWN = ("--config-dir", "my_package/conf", "experiment=first")
ON_PATH = ("hydra.searchpath=[pkg://my_package.conf]", "experiment=first")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in a directory with the files of the page, and with its package on the path."""
    for name, text in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # as `pip install -e .` does
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(TRUSTED, raising=False)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


@pytest.mark.parametrize("found_by", [OWN, ON_PATH], ids=["--config-dir", "searchpath"])
def test_its_configuration_is_found(found_by: tuple[str, ...], own: None, command: Command) -> None:
    code, out, err = command(*found_by, "--cfg", "job")
    assert (code, err) == (0, "")
    assert "_target_: my_package.networks.TwoConvs" in out
    assert "_target_: my_package.sources.Stripes" in out


def test_a_run_directory_may_not_name_it_unasked(own: None) -> None:
    with pytest.raises(ValueError, match=f"if the package is your own, list it in {TRUSTED}"):
        locate("model", NETWORK, trust=False)
    assert "my_package" not in sys.modules


@pytest.mark.parametrize("value", ["my_package", "other, my_package", "my_package,other"])
def test_a_run_directory_may_name_what_the_user_trusts(
    value: str, own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUSTED, value)
    assert locate("model", NETWORK, trust=False).__name__ == "TwoConvs"
    source = {"_target_": "my_package.sources.Stripes"}
    assert locate("data.source", source, trust=False).__name__ == "Stripes"


@pytest.mark.parametrize("target", ["my_package.sources.torch.load", "my_package._private.run"])
def test_to_trust_a_package_is_not_to_trust_what_it_imports(
    target: str, own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUSTED, "my_package")
    with pytest.raises(ValueError, match="may name only"):
        locate("model", {"_target_": target}, trust=False)


def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"resnet_lab.{module}", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.slow
def test_it_trains_and_is_evaluated_from_the_run_directory_alone(own: None) -> None:
    trained = run("train", *OWN, "trainer.max_epochs=1", "run_dir=mine")
    assert (trained.returncode, trained.stderr) == (0, "")
    refused = run("evaluate", "mine")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    evaluated = run("evaluate", "mine", **{TRUSTED: "my_package"})
    assert evaluated.returncode == 0, evaluated.stderr
    assert "upright" in evaluated.stdout


@pytest.mark.slow
def test_it_sweeps_in_processes_of_their_own(own: None) -> None:
    given = ("trainer.max_epochs=1", "model.width=8,16", "hydra/launcher=local_pool")
    swept = run("train", "-m", *OWN, *given, "sweep_dir=sweep")
    assert swept.returncode == 0, swept.stderr
    assert len(list(Path("sweep").glob("*/checkpoints/last.ckpt"))) == 2
