"""Rename the whole template: package, commands, plugins, environment variables, documentation.

    python scripts/rename.py my_lab

Needs a clean git work tree, so that `git diff` shows what was done. Nothing is committed.
"""

import keyword
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLD = "resnet_lab"
KEPT = ("LICENSE", "CHANGELOG.md", "CITATION.cff")  # they speak of the template
# Names at the top level of this repository, and of packages whose import has another name.
TAKEN = (
    "benchmarks",
    "conf",
    "docs",
    "hydra",
    "hydra_plugins",
    "scripts",
    "sklearn",
    "src",
    "tests",
)


def main(arguments: list[str]) -> None:
    """Run the command line; end with one line where it is refused."""
    try:
        (name,) = arguments
        check_name(name)
    except ValueError as error:
        said = error if arguments[:1] and len(arguments) == 1 else "usage: rename.py NEW_NAME"
        sys.exit(f"error: {said}")
    if dirty := git("status", "--porcelain"):
        sys.exit(f"error: {dirty.splitlines()[0][3:]} is not committed: commit or stash it first")
    rename(name)
    print(
        f"{OLD} is now {name}; next: git diff, make test, and your own address in pyproject.toml "
        "([project.urls])"
    )


def check_name(name: str) -> None:
    """Raise a ValueError unless a package may have this name."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(f"{name}: must be lower-case letters, digits and single underscores")
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    taken = {*TAKEN, OLD, *(package.replace("-", "_") for package in pinned)}
    if keyword.iskeyword(name) or name in taken or find_spec(name) is not None:
        raise ValueError(f"{name}: is taken by Python, a package or this repository")


def rename(name: str) -> None:
    """Replace the old name in every file that git knows, and in the names of folders."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dashed = name.replace("_", "-")
    words = {
        command: f"{dashed}-{command.rpartition('-')[2]}"
        for command in re.findall(rf'^([\w-]+) = "{OLD}\.\w+:main"$', pyproject, re.MULTILINE)
    }
    words |= {OLD: name, OLD.upper(): name.upper(), OLD.replace("_", "-"): dashed}
    pattern = re.compile("|".join(words))
    for file in git("ls-files", "-z").split("\0"):
        path = ROOT / file
        if file in KEPT or not path.is_file():
            continue
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:  # a picture
            continue
        renamed = pattern.sub(lambda match: words[match[0]], text)
        if renamed != text:
            path.write_bytes(renamed.encode("utf-8"))
    for folder in sorted(ROOT.glob(f"src/**/{OLD}")):
        folder.rename(folder.with_name(name))
    tidy()


def tidy() -> None:
    """Sort imports and wrap lines anew where ruff is installed; other names have other lengths."""
    python = ROOT / ".venv/bin/python"
    for command in (["check", "--select", "I", "--fix"], ["format"]):
        subprocess.run(
            [python if python.exists() else sys.executable, "-m", "ruff", *command, "--quiet"],
            cwd=ROOT, check=False, capture_output=True,
        )  # fmt: skip


def git(*arguments: str) -> str:
    """Return what a git command prints about the repository."""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"error: {ROOT} is not a git repository: git clone it, or git init and commit")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
