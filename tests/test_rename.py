"""`scripts/rename.py`: the template becomes a project of another name, or nothing changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import REPOSITORY

FILES = {
    "pyproject.toml": 'name = "resnet-lab"\nresnet-train = "resnet_lab.train:main"\n',
    "constraints.txt": "torch==2.14.1\nscikit-learn==1.9.1\n",
    "README.md": "resnet-train, or python -m resnet_lab.train; RESNET_LAB_DATA; a resnet-20\n",
    "LICENSE": "The resnet-lab contributors\n",
    "src/resnet_lab/train.py": "import resnet_lab\n",
    "src/hydra_plugins/resnet_lab/grid.py": "from resnet_lab import train\n",
    "docs/picture.png": b"\x89PNG\xff resnet_lab",
}


def git(place: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.invalid")
    command = ["git", "-C", str(place), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def commit(place: Path) -> Path:
    git(place, "init", "--quiet")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "-m", "as cloned")
    return place


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A small repository with the script in it."""
    for name, content in FILES.items():
        path = tmp_path / "clone" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "clone/scripts")
    return commit(tmp_path / "clone")


def rename(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(place / "scripts/rename.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_form_of_the_name_is_renamed(clone: Path) -> None:
    done = rename(clone, "some_project")
    assert (done.returncode, done.stderr) == (0, "")
    assert (clone / "pyproject.toml").read_text() == (
        'name = "some-project"\nsome-project-train = "some_project.train:main"\n'
    )
    assert (clone / "README.md").read_text() == (
        "some-project-train, or python -m some_project.train; SOME_PROJECT_DATA; a resnet-20\n"
    )
    assert "contributors" in (clone / "LICENSE").read_text()
    assert (clone / "LICENSE").read_text() == FILES["LICENSE"]
    assert (clone / "docs/picture.png").read_bytes() == FILES["docs/picture.png"]
    assert (
        clone / "src/hydra_plugins/some_project/grid.py"
    ).read_text() == "from some_project import train\n"
    assert not list(clone.glob("src/**/resnet_lab"))


def test_a_renamed_project_can_be_renamed_again(clone: Path) -> None:
    rename(clone, "some_project")
    commit(clone)
    assert rename(clone, "other").returncode == 0
    assert 'other-train = "other.train:main"' in (clone / "pyproject.toml").read_text()
    assert (clone / "src/other/train.py").read_text() == "import other\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["My-Lab"], "My-Lab: must be lower-case letters, digits and single underscores"),
        (["class"], "class: is taken"),
        (["json"], "json: is taken"),
        (["torch"], "torch: is taken"),
        (["resnet_lab"], "resnet_lab: is taken"),
        (["tests"], "tests: is taken"),
        ([], "usage"),
        (["a", "b"], "usage"),
    ],
)
def test_a_bad_name_is_refused_in_one_line(clone: Path, arguments: list[str], said: str) -> None:
    done = rename(clone, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
    assert git(clone, "status", "--porcelain") == ""


def test_a_work_tree_with_changes_is_refused_in_one_line(clone: Path) -> None:
    (clone / "README.md").write_text("mine\n")
    done = rename(clone, "some_project")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: README.md is not committed: commit or stash it first\n"
    assert (clone / "src/resnet_lab").is_dir()


@pytest.mark.slow
def test_the_renamed_template_passes_its_tests(tmp_path: Path) -> None:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a clone")
    place = tmp_path / "clone"
    for name in git(REPOSITORY, "ls-files", "-z").split("\0")[:-1]:
        if (REPOSITORY / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, place / name)
    commit(place)
    done = rename(place, "some_project")
    assert done.returncode == 0, done.stderr
    mentions = subprocess.run(
        ["git", "-C", str(place), "grep", "-il", r"resnet[_-]lab"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert set(mentions.stdout.split()) <= {"LICENSE", "CHANGELOG.md", "CITATION.cff"}
    some = (
        "core/test_building.py",
        "core/test_command_line.py",
        "test_conf.py",
        "sweeps/test_composing.py",
        "test_installed.py",
        "test_own_project.py",
    )
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *(f"tests/{name}" for name in some)],
        capture_output=True, text=True, check=False, cwd=place,
        env={**os.environ, "PYTHONPATH": f"{place}/src"},
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout[-5000:]
