"""Build the objects that a configuration names, as Hydra's `instantiate` does; nothing else does.

The arguments of a node are checked against the signature of its `_target_` before it is built.
`resnet_lab.core.configuration.trust` decides what may be a target. Hydra's own function makes
configurations of what is built, which took a quarter of the time of a tiny job.
"""

import collections.abc
import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.recorded import with_new_names
from resnet_lab.core.configuration.signatures import hints_of, parameters_of
from resnet_lab.core.configuration.trust import import_target, locate
from resnet_lab.core.errors import RENAMED, closest, one_line

# What to do instead of setting an argument that the code sets itself, by its key.
SET_BY = {
    "data.seed": "it follows seed",
    "task.interval": "set scheduler.interval",
    "task.monitor": "set monitor",
    "task.net": "set model",
    "task.num_classes": "set data.num_classes",
    "task.optimizer": "set optimizer",
    "task.scheduler": "set scheduler",
    "task.seed": "it follows seed",
    "trainer.callbacks": "add to the group callbacks, with +callbacks.NAME._target_=...",
    "trainer.default_root_dir": "set run_dir or log_dir",
    "trainer.enable_progress_bar": "callbacks.progress=null leaves the bar out",
    "save_dir": "loggers write into the run directory; set run_dir or log_dir",
    "_partial_": "leave it out",
    "_convert_": "leave it out",
}

SCALARS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
}
LISTS = (list, tuple, set, collections.abc.Sequence, collections.abc.Iterable,
         collections.abc.Collection)  # fmt: skip
HYDRAS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")  # instantiate's own
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def build(
    cfg: DictConfig,
    key: str,
    *,
    trust: bool = False,
    without: tuple[str, ...] = (),
    **arguments: Any,
) -> Any:
    """Build the object that `cfg[key]` describes by its `_target_`.

    Args:
        cfg: the whole configuration, for interpolations.
        key: dotted path of the node; a node that is null or absent gives None.
        trust: whether the configuration may name anything; see `core.configuration.trust`.
        without: entries of the node that other nodes read but the target does not take.
        **arguments: further arguments of the target, which the node must not give.

    Raises:
        ValueError: the target is not trusted, or an argument has the wrong type, is unknown, is
            given by the code or is refused by the target; the message names the key.
    """
    node = OmegaConf.select(cfg, key)
    if node is None:
        return None
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(plain, dict) or "_target_" not in plain:
        raise ValueError(f"{key}={plain}: must be an object, by its _target_, or null")
    plain = with_new_names({name: item for name, item in plain.items() if name not in without})
    for name in (*arguments, "_convert_", "_partial_"):
        if name in plain:
            way = SET_BY.get(f"{key}.{name}") or SET_BY.get(name, "leave it out")
            raise ValueError(f"{key}.{name} is set by resnet-lab itself: {way}")
    _check(key, plain, trust, arguments)
    try:
        return _made(plain, **arguments)
    except Exception as error:  # of the target
        raise _naming(key, error) from error


def _made(node: Any, **arguments: Any) -> Any:
    """Build a checked node and those in it."""
    if isinstance(node, list):
        return [_made(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {name: item for name, item in node.items() if name not in HYDRAS}
    if node.get("_recursive_", True):
        inner = {name: _made(item) for name, item in inner.items()}
    if "_target_" not in node:
        return inner
    given = {"_partial_": node.get("_partial_"), **inner, **arguments}
    target, positional = import_target(node["_target_"]), _made(node.get("_args_", []))
    if given.pop("_partial_"):
        return functools.partial(target, *positional, **given)
    return target(*positional, **given)


@contextmanager
def errors_of(key: str) -> Iterator[None]:
    """Add the key of an object to the errors raised while it is built outside of `build`."""
    try:
        yield
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise _naming(key, error) from error


def _naming(key: str, error: Exception) -> Exception:
    """Return an error that names the key, unless its message begins with one already."""
    if isinstance(error, OSError):
        return type(error)(*error.args)
    told = TypeError | RuntimeError | ImportError  # whose messages are for people, without a type
    known = isinstance(error, told) or "Misconf" in type(error).__name__
    text = " ".join(str(error).split()) if known else one_line(error)
    return ValueError(text if re.match(r"(\w+\.)+\w+[=: ]", text) else f"{key}: {text}")


def _check(key: str, node: Any, trust: bool, given: Mapping[str, Any] | None = None) -> None:
    """Check a node, and those in it, against the signatures of their targets."""
    if isinstance(node, list):
        for number, item in enumerate(node):
            _check(f"{key}.{number}", item, trust)
    if isinstance(node, float) and not math.isfinite(node):
        raise ValueError(f"{key}={node}: must be a finite number")
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        _check(f"{key}.{name}", value, trust)
    if "_target_" not in node:
        return
    target = locate(key, node, trust=trust)
    for name in ("_partial_", "_recursive_"):
        if not isinstance(node.get(name, True), bool):
            raise ValueError(f"{key}.{name}={node[name]}: must be true or false")
    _check_names(key, node, target, given or {})
    parameters = parameters_of(target)
    try:
        hints = hints_of(target)
    except (NameError, TypeError):  # annotations that cannot be read outside their module
        return
    for name, value in node.items():
        if name not in hints or name not in parameters or parameters[name].kind not in NAMED:
            continue
        if value is None and parameters[name].default is None:
            continue
        if not _admits(hints[name], value):
            said = "null" if value is None else value
            raise ValueError(f"{key}.{name}={said}: must be {_words(hints[name])}")


def _check_names(key: str, node: Mapping[str, Any], target: Any, given: Mapping[str, Any]) -> None:
    parameters = parameters_of(target)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for name in node:
            if name not in parameters and name not in HYDRAS:
                new = RENAMED.get(f"{key}.{name}")
                others = [name for name in parameters if name not in given]
                way_out = f"it is called {new} now" if new else closest(name, others)
                raise ValueError(
                    f"{key}.{name}: {target.__name__} takes no such argument; {way_out}"
                )
    if "_args_" in node or node.get("_partial_") or given.get("_partial_"):
        return
    for name, parameter in inspect.signature(target).parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind in NAMED
        if needed and name not in node and name not in given:
            raise ValueError(f"{key}.{name} has no value: set it with +{key}.{name}=...")


def _admits(hint: Any, value: Any) -> bool:
    """Whether a plain value fits an annotation; True where that cannot be told."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, object) or isinstance(hint, typing.TypeVar):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_admits(option, value) for option in options)
    if origin is typing.Literal:
        return value in options
    if isinstance(value, list):
        if origin is tuple and options and options[-1] is not Ellipsis:
            return len(value) == len(options) and all(map(_admits, options, value))
        if origin in LISTS and options:
            return all(_admits(options[0], item) for item in value)
        return hint not in SCALARS
    if isinstance(value, dict):
        if "_target_" in value:
            return hint not in SCALARS
        return hint in MAPPINGS or origin in MAPPINGS or typing.is_typeddict(hint)
    if origin is not None:  # list[int] is a class to Python 3.10, but nothing to isinstance
        return False
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in SCALARS:
        return isinstance(value, hint)
    try:
        return not inspect.isclass(hint) or isinstance(value, hint)
    except TypeError:  # a protocol, which no plain value follows
        return False


def _words(hint: Any) -> str:
    """Describe in words what an annotation asks for."""
    options = _options(hint)
    plain = [option for option in options if not option.startswith("an object")]
    if "a number" in plain and "an integer" in plain:
        plain.remove("an integer")
    kept = plain if set(plain) - {"null"} else options
    if len(kept) > 3:
        return f"one of {', '.join(kept)}"
    return (", or " if any("," in option for option in kept) else " or ").join(kept)


def _options(hint: Any) -> list[str]:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return list(dict.fromkeys(word for option in options for word in _options(option)))
    if origin is typing.Literal:
        return [str(option) for option in options]
    if hint in SCALARS:
        return [SCALARS[hint]]
    if origin is tuple and options and options[-1] is not Ellipsis:
        return [f"a list of {len(options)}, each {_words(options[0])}"]
    if hint in LISTS or origin in LISTS:
        return [f"a list, each {_words(options[0])}" if options else "a list"]
    if hint in MAPPINGS or origin in MAPPINGS:
        return ["a mapping"]
    name = getattr(hint, "__name__", str(hint))
    return [f"an object, by its _target_: {name}"]
