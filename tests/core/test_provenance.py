"""What a run records of the code and the packages that made it."""

import hashlib
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from resnet_lab.core import provenance


@pytest.fixture
def repository(tmp_path: Path, monkeypatch):
    """A git repository that the source seems to be in; forgets what was asked of another."""

    def git(*arguments: str) -> None:
        author = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        subprocess.run(["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "code.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "code.py"))
    provenance._git.cache_clear()
    yield tmp_path
    provenance._git.cache_clear()


def test_code_that_is_committed_has_no_difference(repository: Path, tmp_path_factory) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / "code.diff").write_text("of an earlier part of the run")
    assert set(provenance.record_code(run)) == {"packages.txt"}
    assert [path.name for path in run.iterdir()] == ["packages.txt"]
    assert len(provenance.commit()) == 40


def test_a_change_and_a_new_file_are_recorded(repository: Path, tmp_path_factory) -> None:
    run = tmp_path_factory.mktemp("run")
    (repository / "code.py").write_text("x = 2\n")
    (repository / "new.py").write_text("secret")
    found = provenance.record_code(run)
    text = (run / "code.diff").read_text()
    assert provenance.commit().endswith("+")
    assert "-x = 1\n+x = 2\n" in text
    assert "# ?? new.py\n" in text
    assert "secret" not in text
    assert found["code.diff"] == hashlib.sha256(text.encode()).hexdigest()
    (repository / "code.py").write_text("x = 1\n")
    subprocess.run(["git", "apply", str(run / "code.diff")], cwd=repository, check=True)
    assert (repository / "code.py").read_text() == "x = 2\n"


def test_a_large_change_is_cut(repository: Path, monkeypatch) -> None:
    monkeypatch.setattr(provenance, "LARGEST", 100)
    (repository / "code.py").write_text("x = 2\n" * 1000)
    text = provenance.code_diff()
    assert 100 < len(text) < 150
    assert text.splitlines()[-1].startswith("# cut: 7,")


def test_all_packages_have_their_versions() -> None:
    lines = provenance.packages().splitlines()
    assert f"torch=={metadata.version('torch')}" in lines
    assert len(lines) > 50


def test_a_directory_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    assert provenance.record_code(tmp_path / "nowhere") == {}
