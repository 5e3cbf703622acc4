"""Parse the command line: correct it where the meaning is clear, else refuse it in one line."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, suppress
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString, ValueType
from hydra.errors import HydraException
from omegaconf import OmegaConf

from resnet_lab import __version__
from resnet_lab.core.configuration.config import CONF, override_key
from resnet_lab.core.configuration.hydra_versions import register_resolver
from resnet_lab.core.configuration.trust import TRUST
from resnet_lab.core.errors import closest

PLACES = ("data_dir", "log_dir", "run_dir", "sweep_dir")
SINGLE = ("data", "model", "optimizer", "scheduler", "trainer")  # groups of one option
VERSION = f"resnet-lab {__version__}"
# Options of Hydra, of 1.3 and 1.4.
FLAGS = (("--help", "-h"), ("--hydra-help",), ("--version",), ("--run", "-r"), ("--resolve",),
         ("--multirun", "-m"), ("--shell-completion", "-sc"))  # fmt: skip
OPTIONS = (("--package", "-p"), ("--config-path", "-cp"), ("--config-name", "-cn"),
           ("--config-dir", "-cd"), ("--experimental-rerun",))  # fmt: skip
INFORMATION = ("all", "aliases", "config", "defaults", "defaults-tree", "plugins", "searchpath")

# Options of several commands.
SHARED: dict[str, dict[str, Any]] = {
    "run": {"help": "run directory"},
    "--split": {"choices": ("test", "val"), "default": "test"},
    "--checkpoint": {"help": "best, last or a path (default: the one that the run tested)"},
    "--calibrated": {
        "action": "store_true", "help": "use the temperature that resnet-analyse fitted",
    },
    "--data-dir": {"help": "where the data lies now"},
    "--trust": {"action": "store_true", "help": TRUST},
}  # fmt: skip

ONE_MORE = ("experiment", "sweep")  # groups of one option that is none at first
RESUME = "use --resume DIRECTORY [--trust], and nothing else: the rest is in the run directory"


def command_parser(name: str, description: str | None, *options: str) -> argparse.ArgumentParser:
    """Return the parser of a command other than `train`, by name and docstring of its module.

    It has those of the `SHARED` options that are named.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m resnet_lab.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    for option in options:
        parser.add_argument(option, **SHARED[option])
    return parser


def answered(job: Callable[[], object]) -> bool:
    """Answer `--version` or a Tab, which Hydra's `job` completes; return whether there was one."""
    if "--version" in sys.argv:
        print(VERSION)
        return True
    if sys.argv[1:] == ["-sc", "query=bash"]:
        _complete(job)
        return True
    return False


def _complete(job: Callable[[], object]) -> None:
    """Print the words that may end the line in `COMP_LINE`.

    Where Hydra cannot say (`--resume`, a mistake earlier in the line), nothing is printed, and the
    shell offers file names.
    """
    quoted = r"'[^']*'|\"[^\"]*\""  # Hydra knows no quotes
    os.environ["COMP_LINE"] = line = re.sub(quoted, "", os.environ.get("COMP_LINE", ""))
    if place := re.search(r"\s(?:--config-dir|-cd)[\s=](\S+)\s", line):
        sys.argv += ["--config-dir", place[1]]
    # A Tab after hydra.run.dir= resolves it, which must make no directory.
    register_resolver("new_dir", lambda *_: "", replace=True)
    with suppress(Exception, SystemExit), redirect_stderr(StringIO()):
        job()


def resumed(arguments: Sequence[str]) -> tuple[str, bool] | None:
    """Return the run directory of `--resume` and whether it is trusted; None without `--resume`."""
    if "--resume" not in arguments:
        if "--trust" in arguments:
            raise ValueError("--trust is for --resume: what you type yourself is trusted")
        return None
    rest = [argument for argument in arguments if argument not in ("--resume", "--trust")]
    if len(rest) != 1 or rest[0].startswith("-"):
        raise ValueError(f"--resume: {RESUME}")
    return rest[0], "--trust" in arguments


def tidied(arguments: Sequence[str]) -> list[str]:
    """Return the command line for Hydra: options first, and quotes where it asks for them.

    Values with letters that Hydra takes only in quotes (`name=föö`) are quoted. Raises a ValueError
    if an option or an override is wrong.
    """
    parsed = _parser().parse_intermixed_args(list(arguments))
    options = list(arguments)
    for item in parsed.overrides:
        options.remove(item)
    folders = [CONF, *_own_folders(parsed.config_dir, parsed.overrides)]
    for item in parsed.overrides:
        _check_read(item, parsed.overrides, folders)
    return options + [_tidied(item, sweeps=parsed.multirun) for item in parsed.overrides]


def _tidied(item: str, *, sweeps: bool) -> str:
    key, equals, value = item.partition("=")
    if not key.lstrip("+~") or not (equals or item.startswith("~")):
        raise ValueError(
            f"{item}: must be KEY=VALUE; one with spaces needs quotes around the whole"
        )
    parser = OverridesParser.create()
    try:
        try:
            override = parser.parse_override(item)
        except HydraException:
            if re.search(r"[\[\]{}()'\"$,\\]", value):
                raise
            item = f"{key}='{value}'"
            override = parser.parse_override(item)
    except HydraException as error:  # of a letter, or of the whole
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise ValueError(
            f"{item}: not a valid override ({reason}); text with special characters needs quotes "
            f"of its own: \"{key}='...'\""
        ) from error
    if override.is_sweep_override() and not sweeps:
        raise ValueError(f"{item}: several values; -m tries each of them, {key}=[...] is a list")
    if key in PLACES and not override.is_sweep_override():
        _check_place(key, override.value())
    _check_group(override)
    return item


def _own_folders(config_dir: str | None, items: Sequence[str]) -> list[Path]:
    """Return the configuration directories of the user: `--config-dir` and `hydra.searchpath`."""
    places = list(OmegaConf.select(OmegaConf.load(CONF / "train.yaml"), "hydra.searchpath") or ())
    for item in items:
        if override_key(item) == "hydra.searchpath":
            with suppress(HydraException):  # refused later, with the other wrong overrides
                value = OverridesParser.create().parse_override(item).value()
                places += value if isinstance(value, list) else []
    found = [] if config_dir is None else [Path(config_dir)]
    for place in map(str, places):
        scheme, _, path = place.rpartition("://")
        if scheme == "pkg":
            with suppress(ImportError, ValueError):  # Hydra warns of what is not there
                spec = find_spec(path.replace("/", "."))
                found += map(Path, (spec and spec.submodule_search_locations) or ())
        else:
            found.append(Path(path))
    return [folder for folder in found if folder.is_dir()]


def _check_read(item: str, items: Sequence[str], folders: Sequence[Path]) -> None:
    """Refuse an addition that nothing reads: Hydra would drop `+trainers.max_epochs=5` silently.

    Another one of the `items` may refer to a key that this one adds.
    """
    name = re.split(r"[.@=]", override_key(item))[0]
    if not item.startswith("+") or not name:
        return
    groups = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()}
    known = {*map(str, OmegaConf.load(CONF / "train.yaml")), *groups} - {"defaults"}
    if name in known or any((folder / name).is_dir() for folder in folders[1:]):
        return
    files = (path for folder in folders for path in folder.rglob("*.yaml"))
    texts = [*items, *(path.read_text(encoding="utf-8") for path in files)]
    if not any(f"${{{name}" in text for text in texts):
        raise ValueError(f"{item}: nothing reads {name}; {closest(name, sorted(known))}")


def _check_place(key: str, value: object) -> None:
    """Refuse what is no path, before Hydra makes a directory of that name."""
    optional = key in ("run_dir", "sweep_dir")
    text = value.text if isinstance(value, QuotedString) else value
    if (value is None and optional) or (isinstance(text, str) and text.strip()):
        return
    said = "null" if value is None else value
    raise ValueError(f"{key}={said}: must be a path" + (", or null" if optional else ""))


def _check_group(override: Override) -> None:
    """Refuse a choice that Hydra refuses in words that name no group, or takes for a mixture."""
    group = str(override.key_or_group)
    if not (CONF / group).is_dir():
        return
    value = override.value()
    if override.is_delete():
        if group in SINGLE and group != "scheduler":
            raise ValueError(f"~{group}: a run needs one; choose another by {group}=...")
        if value is not None and not isinstance(value, str):
            raise ValueError(f"~{group}={value}: must be the name of the option that is to go")
        return
    if override.is_force_add() or (override.is_add() and group in ONE_MORE):
        raise ValueError(f"{override.input_line}: leave the + out: {group}=...")
    if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        return  # it names what is there
    values = list(override.sweep_string_iterator()) if override.is_sweep_override() else [value]
    several = "[]" if group in ("augment", "callbacks", "logger") else None
    for value in values:
        if group in SINGLE and str(value).startswith("["):
            raise ValueError(f"{group}={value}: takes one option; -m {group}=a,b tries several")
        if value is None or value in ("", "null"):
            none = f"{group}={several}" if several else f"leave {group} out"
            none = "scheduler=none" if group == "scheduler" else none
            raise ValueError(f"{group}={value or 'null'}: must be the name of an option; {none}")
        if isinstance(value, bool | int | float):
            raise ValueError(f"{group}={value}: must be the name of an option")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Refuse in one line, where argparse prints a page and ends the process."""
        raise ValueError(f"{message}; see --help")


def _parser() -> _Parser:
    """Return a parser that tells Hydra's options from overrides; Hydra itself follows them."""
    parser = _Parser(add_help=False)
    parser.add_argument("overrides", nargs="*")
    for flags in FLAGS:
        parser.add_argument(*flags, action="store_true")
    for options in OPTIONS:
        parser.add_argument(*options)
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=INFORMATION)
    return parser
