"""The bridge between Hydra and the package: resolvers, building objects, errors for people.

This is the one place that instantiates what a configuration names.
"""

import difflib
import errno
import inspect
import math
import operator
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException, MissingConfigException, OverrideParseException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from resnet_lab.distributed import launched_together

# These say where things go and how they are shown; results do not depend on them. Jobs that differ
# in nothing else are one job, and a run that goes on may have other values of them than it had.
NOT_OF_THE_RESULT = (
    "callbacks.progress", "callbacks.summary", "callbacks.tensorboard", "callbacks.lr",
    "callbacks.checkpoint.keep", "logger", "name", "optimizer.fused", "trainer.profiler",
    "trainer.logger", "trainer.enable_progress_bar", "trainer.enable_model_summary",
    "trainer.log_every_n_steps", "trainer.threads", "data.workers", "data.source.cache",
    "data.source.download", "data.source.mirrors", "data_dir", "log_dir", "run_dir", "sweep_dir",
    "preflight", "hydra",
)  # fmt: skip

WAYS_OUT = {
    errno.ENOSPC: "; free some space, or name another log_dir",
    errno.EROFS: "; name another log_dir",
    errno.EACCES: "; name a place that you may write to, as log_dir or data_dir",
}

_made: set[Path] = set()  # directories that this process has made for a run or a sweep

CONF = Path(__file__).resolve().parents[2] / "conf"  # absolute: works from any working directory


def register_resolvers() -> None:
    """Teach OmegaConf the functions that `conf/` uses in `${...}`; safe to call again."""
    for name, resolver, cached in (
        ("best_precision", _best_precision, False),
        ("is_null", _is_null, False),
        ("job_dir", _job_dir, False),
        ("mode_of", mode_of, False),
        ("not", operator.not_, False),
        ("new_dir", new_dir, True),  # cached per configuration: a sweep's jobs share their folder
        ("num_classes_in", _num_classes_in, False),
    ):
        OmegaConf.register_new_resolver(name, resolver, replace=True, use_cache=cached)


# Whether a metric, whatever its split, is better when lower or higher.
DIRECTIONS = {"loss": "min", "acc": "max", "acc_top5": "max"}


def mode_of(monitor: str, given: str | None = None) -> str:
    """Return whether a metric is better when lower ("min") or higher ("max").

    Args:
        monitor: its name, such as val/loss.
        given: what `monitor_mode` says; needed for a metric that is not in `DIRECTIONS`.

    Raises:
        ValueError: the direction is not known, or the one that was given is wrong.
    """
    if given not in (None, "min", "max"):
        raise ValueError(f"monitor_mode={given}: use min, max or null")
    known = DIRECTIONS.get(str(monitor).split("/")[-1])
    if known is None and given is None:
        raise ValueError(
            f"monitor={monitor}: not one of our metrics ({', '.join(DIRECTIONS)}); if the task has "
            "it, say whether it is better when lower or higher: monitor_mode=min or "
            "monitor_mode=max"
        )
    if None not in (known, given) and known != given:
        better = "lower" if known == "min" else "higher"
        raise ValueError(
            f"monitor_mode={given}: {monitor} is better when {better}; leave monitor_mode out"
        )
    return known or str(given)


def monitor_mode(config: DictConfig) -> str:
    """Return the direction of the metric that a configuration monitors; see `mode_of`."""
    return mode_of(str(config.monitor), config.get("monitor_mode"))


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


def _best_precision(accelerator: str) -> str:
    from resnet_lab.device import best_precision  # imports torch: only where it is needed

    return best_precision(accelerator)


def _job_dir(overrides: Sequence[str], sweep_dir: str | None = None) -> str:
    from resnet_lab.job_directory import job_dir  # it needs this module

    return job_dir(overrides, sweep_dir)


def _is_null(value: object) -> bool:
    return value is None


def _num_classes_in(root: str) -> int:
    from resnet_lab.data.image_folder import class_names

    return len(class_names(root))


def build(cfg: DictConfig, key: str, *, without: tuple[str, ...] = (), **arguments: Any) -> Any:
    """Make the object that `cfg[key]` describes by its `_target_`.

    Args:
        cfg: the whole configuration, for interpolations.
        key: dotted path of the node; a node that is null or absent gives None.
        without: entries of the node that other nodes read but the target does not take.
        **arguments: further arguments of the target.

    Raises:
        ValueError: an argument has the wrong type, is unknown or is refused by the target; the
            message begins with the key.
    """
    node = OmegaConf.select(cfg, key)
    if node is None:
        return None
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    plain = {name: value for name, value in plain.items() if name not in without}
    _check_types(key, plain)
    try:
        return instantiate(plain, **arguments, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, ValueError | OSError):
            raise type(cause)(*cause.args) from cause
        raise ValueError(f"{key}: {one_line(cause)}") from cause


def _check_types(key: str, node: Any) -> None:
    """Hold the scalars of a node to the annotations of its target, before anything is built."""
    if isinstance(node, list):
        for number, item in enumerate(node):
            _check_types(f"{key}.{number}", item)
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        _check_types(f"{key}.{name}", value)
    if "_target_" not in node:
        return
    try:
        target = get_object(node["_target_"])
    except Exception as error:
        raise ValueError(f"{key}._target_={node['_target_']}: {one_line(error)}") from error
    function = target.__init__ if inspect.isclass(target) else target
    parameters = inspect.signature(target).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for name in node:
            if name not in parameters and not name.startswith("_"):
                raise ValueError(
                    f"{key}.{name}: {target.__name__} takes no such argument; "
                    + closest(name, list(parameters))
                )
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # annotations that cannot be read outside their module
        return
    for name, value in node.items():
        if name in hints and not _admits(hints[name], value):
            expected = getattr(hints[name], "__name__", None) or str(hints[name])
            if isinstance(hints[name], types.UnionType) or typing.get_origin(hints[name]):
                expected = str(hints[name]).replace("typing.", "")
            raise ValueError(f"{key}.{name}={value}: expected {expected}")


def _admits(hint: Any, value: Any) -> bool:
    """Whether a plain number, string or bool fits an annotation; True where that is not known."""
    if not isinstance(value, str | int | float):
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_admits(option, value) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is not None:  # list[int] is a class to Python 3.10, but nothing to isinstance
        return origin not in (list, tuple, dict, set)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool):
        return isinstance(value, hint)
    if hint is type(None) or inspect.isclass(hint):
        return isinstance(value, hint) if hint is not object else True
    return True


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
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option}: no such option; {closest(option, list(error.options))}"
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
        known = [str(name) for name in cause.parent_node or () if name != "hydra"]
        if "is not in struct" in str(cause):
            return f"{where}: no such key; {closest(str(cause.key), known)}"
        if "Missing mandatory value" in str(cause):
            return f"{where} has no value yet: set it with {where}=..."
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not a valid override: {error.message.splitlines()[0]}"
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename2 or error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}{WAYS_OUT.get(error.errno or 0, '')}"
    text = " ".join(str(error).split()) or type(error).__name__
    expected = isinstance(error, ValueError | OSError) or "hydra" in type(error).__module__
    return text if expected else f"{type(error).__name__}: {text}"


def closest(name: str, known: list[str]) -> str:
    """Say the way out of a name that is not known."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "there are " + ", ".join(sorted(known)) if known else "there are none"


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number that JSON and TensorBoard can hold."""
    return isinstance(value, int | float) and math.isfinite(value)
