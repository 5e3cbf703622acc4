"""Hold what the package knows of the configuration: keys, directories, directions of metrics."""

import math
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.processes import launched_together

# Keys that say where things go and how they are shown; results do not depend on them. Jobs that
# differ in nothing else are one job, and a resumed run may have other values of them.
NOT_OF_THE_RESULT = (
    "callbacks.progress", "callbacks.summary", "callbacks.tensorboard", "callbacks.images",
    "callbacks.histograms", "callbacks.gradient_norm", "callbacks.lr",
    "callbacks.checkpoint.keep", "logger", "name", "optimizer.fused", "trainer.profiler",
    "trainer.logger", "trainer.enable_progress_bar", "trainer.enable_model_summary",
    "trainer.log_every_n_steps", "trainer.threads", "data.workers", "data.source.cache",
    "data.source.download", "data.source.mirrors", "data_dir", "log_dir", "run_dir", "sweep_dir",
    "lean", "preflight", "analyse", "hydra",
)  # fmt: skip

NOT_OF_THE_NETWORK = ("name", "weights", "replace_classifier")  # under `model`, for other readers


_made: set[Path] = set()  # directories that this process has made for a run or a sweep

# Absolute, so that every working directory will do. A wheel holds conf/ inside the package; in a
# checkout it stands at the top.
_PACKAGE = Path(__file__).resolve().parents[2]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1] / "conf"


def new_dir(given: str | None, parent: str, name: str) -> str:
    """Return `given`, or make a new directory `parent/name` and return it.

    It is made here, atomically, so that two launches in the same second get two directories: the
    second one gets `name-2`.
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

    Never resolve a file from elsewhere, which may name a secret of the environment.
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


def check_integer(key: str, value: object, least: int = 1, *, null: bool = False) -> None:
    """Raise a ValueError unless a value is an integer >= `least`, or null where that may be."""
    if not ((value is None and null) or (type(value) is int and value >= least)):
        or_null = ", or null" if null else ""
        raise ValueError(f"{key}={value}: must be an integer >= {least}{or_null}")


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number that JSON and TensorBoard can hold."""
    return isinstance(value, int | float) and math.isfinite(value)
