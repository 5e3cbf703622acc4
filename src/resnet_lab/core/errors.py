"""Turn errors into one line that says what is wrong and what to do."""

import difflib
import errno
import inspect
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)

from resnet_lab.core.configuration.config import CONF
from resnet_lab.core.configuration.trust import locate

RENAMED = {"task.trunk_lr": "task.backbone_lr"}  # keys of earlier releases

WAYS_OUT = {
    errno.ENOSPC: "; free some space, or name another log_dir",
    errno.EROFS: "; name another log_dir",
    errno.EACCES: "; name a place that you may write to, as log_dir or data_dir",
}


def one_line(error: BaseException) -> str:
    """Return one line that says what is wrong and, where it is known, what to do."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        known = error.options or [path.stem for path in (CONF / group).glob("*.yaml")]
        return f"{group}={option}: no such option; {closest(option, list(known))}"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(cause, InterpolationResolutionError):  # a resolver's own error lies behind it
        own: BaseException | None = cause
        while isinstance(own, OmegaConfBaseException):
            behind = own.__cause__ or own.__context__ or getattr(own, "cause", None)
            own = behind if behind is not own else None
        if isinstance(own, ValueError | OSError):
            return one_line(own)
    if isinstance(cause, OmegaConfBaseException) and cause.key is not None:
        where = cause.full_key or str(cause.key)
        if "is not in struct" in str(cause):
            return f"{where}: no such key; {_way_to_key(where, cause.parent_node)}"
        if "Missing mandatory value" in str(cause):
            where = str(cause).splitlines()[0].rpartition("Missing mandatory value: ")[2] or where
            return f"{where} has no value yet: set it with {where}=..."
        if isinstance(cause, InterpolationKeyError):
            return f"{where}: {str(cause).splitlines()[0]}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not a valid override: {error.message.splitlines()[0]}"
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename2 or error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}{WAYS_OUT.get(error.errno or 0, '')}"
    text = " ".join(str(error).split()) or type(error).__name__
    if text.startswith("Error merging override") and error.__cause__ is not None:
        text += f": {str(error.__cause__).splitlines()[0]}"
    told = is_for_the_user(error) or "hydra" in type(error).__module__
    return text if told else f"{type(error).__name__}: {text}"


def is_for_the_user(error: BaseException | None) -> bool:
    """Whether the message of an error tells a person what to change."""
    lightnings = type(error).__name__ == "MisconfigurationException"
    return isinstance(error, ValueError | OSError) or lightnings


def _way_to_key(where: str, node: Any) -> str:
    """Say what to type instead of a key (`where`) that a configuration does not have."""
    if where in RENAMED:
        return f"it is called {RENAMED[where]} now"
    name = where.rpartition(".")[2]
    known = [str(key) for key in node or () if key not in ("hydra", "_target_")]
    if "." not in where:
        deeper = [key for key in _keys(node) if key.endswith(f".{name}")]
        return f"did you mean {' or '.join(deeper[:3])}?" if deeper else closest(name, known)
    takes, more = _arguments(where.rpartition(".")[0], node)
    if name in takes:
        return f"to add it, put a + before it: +{where}=..."
    shown = {key: key if key in known else f"+{key}" for key in [*known, *takes]}
    near = [shown[key] for key in difflib.get_close_matches(name, shown, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return closest(name, known) + (f"; to add a new one, +{where}=..." if more else "")


def _arguments(key: str, node: Any) -> tuple[list[str], bool]:
    """Return the arguments that the target of a node takes, and whether it takes any others."""
    try:
        parameters = inspect.signature(locate(key, node, trust=True)).parameters.values()
    except (ValueError, TypeError, KeyError):
        return [], True
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = [parameter.name for parameter in parameters if parameter.kind not in variadic]
    return named, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _keys(node: Any, prefix: str = "") -> list[str]:
    """Return the dotted key of every entry of a configuration, resolving nothing."""
    keys = []
    for name in node or ():
        key = f"{prefix}{name}"
        keys.append(key)
        child = node._get_node(name)
        if OmegaConf.is_dict(child) and not child._is_none() and not child._is_interpolation():
            keys += _keys(child, f"{key}.")
    return [key for key in keys if not key.startswith("hydra")]


def closest(name: str, known: list[str]) -> str:
    """Say which known names are close to one that is not known."""
    lower = {each.lower(): each for each in known}
    near = [lower[each] for each in difflib.get_close_matches(name.lower(), lower, cutoff=0.5)]
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "there are " + ", ".join(sorted(known)) if known else "there are none"
