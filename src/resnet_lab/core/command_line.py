"""What a person types: mended where the meaning is clear, refused in one line where it is not."""

import re
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString, ValueType
from hydra.errors import HydraException
from omegaconf import OmegaConf

from resnet_lab.core.config import CONF, closest, override_key

PLACES = ("data_dir", "log_dir", "run_dir", "sweep_dir")
SINGLE = ("data", "model", "optimizer", "scheduler", "trainer")  # groups of one option
ONE_MORE = ("experiment", "sweep")  # groups of one option that is none at first
RESUME = "use --resume DIRECTORY [--trust], and nothing else: the rest is in the run directory"


def resumed(arguments: Sequence[str]) -> tuple[str, bool] | None:
    """Return the run directory of `--resume` and whether it is trusted; None without that option.

    Raises:
        ValueError: something else is given too.
    """
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

    Values with letters that Hydra takes only in quotes (`name=föö`) are quoted.

    Raises:
        ValueError: an option or an override is wrong.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # else a page of usage, and exit code 2
    try:
        parsed = parser.parse_intermixed_args(list(arguments))
    except _Refused as refused:
        raise ValueError(f"{refused}; see --help") from None
    options = list(arguments)
    for item in parsed.overrides:
        options.remove(item)
        _check_read(item, parsed.overrides)
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


def _check_read(item: str, items: Sequence[str]) -> None:
    """Refuse an addition that nothing reads: `+trainers.max_epochs=5` would be dropped in silence.

    Args:
        item: an override.
        items: all of them: another one may refer to a key that this one adds.
    """
    name = re.split(r"[.@=]", override_key(item))[0]
    known = [*OmegaConf.load(CONF / "train.yaml"), *(path.name for path in CONF.iterdir())]
    if not item.startswith("+") or not name or name in known:
        return
    texts = [*items, *(path.read_text(encoding="utf-8") for path in CONF.rglob("*.yaml"))]
    if not any(f"${{{name}" in text for text in texts):
        groups = [key for key in known if not key.endswith(".yaml") and key != "defaults"]
        raise ValueError(f"{item}: nothing reads {name}; {closest(name, sorted({*groups}))}")


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


class _Refused(Exception):
    pass


def _refuse(message: str) -> NoReturn:
    raise _Refused(message)
