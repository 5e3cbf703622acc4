"""The bridge between Hydra and the package: resolvers, keys, errors for people."""

import difflib
import errno
import inspect
import math
from pathlib import Path
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)

from resnet_lab.core.processes import launched_together

# These say where things go and how they are shown; results do not depend on them. Jobs that differ
# in nothing else are one job, and a run that goes on may have other values of them than it had.
NOT_OF_THE_RESULT = (
    "callbacks.progress", "callbacks.summary", "callbacks.tensorboard", "callbacks.lr",
    "callbacks.checkpoint.keep", "logger", "name", "optimizer.fused", "trainer.profiler",
    "trainer.logger", "trainer.enable_progress_bar", "trainer.enable_model_summary",
    "trainer.log_every_n_steps", "trainer.threads", "data.workers", "data.source.cache",
    "data.source.download", "data.source.mirrors", "data_dir", "log_dir", "run_dir", "sweep_dir",
    "lean", "preflight", "hydra",
)  # fmt: skip

NOT_OF_THE_NETWORK = ("name", "weights", "replace_classifier")  # under `model`, for other readers
RENAMED = {"task.trunk_lr": "task.backbone_lr"}  # keys of earlier releases

WAYS_OUT = {
    errno.ENOSPC: "; free some space, or name another log_dir",
    errno.EROFS: "; name another log_dir",
    errno.EACCES: "; name a place that you may write to, as log_dir or data_dir",
}

_made: set[Path] = set()  # directories that this process has made for a run or a sweep

# Absolute, so that every working directory will do. A wheel holds conf/ inside the package; in a
# checkout it stands at the top.
_PACKAGE = Path(__file__).resolve().parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1] / "conf"


def new_dir(given: str | None, parent: str, name: str) -> str:
    """Return `given`, or make a directory `parent/name` that is this process's alone.

    Making it here, atomically, is what keeps two launches in the same second apart: the second
    finds the name taken and gets `name-2`.
    """
    if given is not None:
        if not Path(given).exists():  # Hydra is about to make it
            _made.add(Path(given).resolve())
        return str(given)
    if launched_together():
        raise ValueError("torchrun and srun start several processes of one run: say run_dir=...")
    if "/" in name or "\0" in name or len(name.encode()) > 240:
        raise ValueError(f"{name}: cannot be a directory; give a short name=... without a slash")
    Path(parent).mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        path = Path(parent) / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        _made.add(path.resolve())
        return str(path)
    raise ValueError(f"{parent} holds 10,000 directories called {name}: clear it")


def made_here(directory: Path) -> bool:
    """Whether this process made a directory for its run, rather than found it there."""
    return directory.resolve() in _made


def bears_on_result(key: str) -> bool:
    """Whether results depend on a key, given in full or as it was overridden."""
    return not any(key == name or key.startswith(f"{name}.") for name in NOT_OF_THE_RESULT)


def override_key(override: str) -> str:
    """Return the key of an override as a person types it: `+a.b=1` gives `a.b`."""
    return override.lstrip("+~").partition("=")[0]


def flat(cfg: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    """Return every leaf of a configuration by its dotted key, as plain types.

    Args:
        cfg: the configuration.
        resolve: whether interpolations are followed; never in a file from elsewhere, which may
            name a secret of the environment.
    """
    leaves: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict) and node:
            for name, value in node.items():
                walk(f"{prefix}.{name}" if prefix else str(name), value)
        else:
            leaves[prefix] = node

    walk("", OmegaConf.to_container(cfg, resolve=resolve))
    return leaves


def one_line(error: BaseException) -> str:
    """Say in one line what went wrong and, where it is known, the way out."""
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
    expected = (
        isinstance(error, ValueError | OSError)
        or "hydra" in type(error).__module__
        or type(error).__name__ == "MisconfigurationException"  # Lightning's, for people
    )
    return text if expected else f"{type(error).__name__}: {text}"


def _way_to_key(where: str, node: Any) -> str:
    """Say the way out of a key that a configuration does not have.

    Args:
        where: dotted path of the key.
        node: that lacks it.
    """
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
    from resnet_lab.core.trust import locate  # imports the target: only when something is wrong

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
    """Say the way out of a name that is not known."""
    lower = {each.lower(): each for each in known}
    near = [lower[each] for each in difflib.get_close_matches(name.lower(), lower, cutoff=0.5)]
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "there are " + ", ".join(sorted(known)) if known else "there are none"


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number that JSON and TensorBoard can hold."""
    return isinstance(value, int | float) and math.isfinite(value)
