"""Decide which classes and functions a configuration may name as its `_target_`.

Building a `_target_` runs code, so the origin of a configuration decides what it may name:

- One that was composed from `conf/` and the command line may name anything: the user typed it.
- One from a run directory may come from anybody. It may name the targets that a file of `conf/`
  names; classes of `PACKAGES` that are of one of the `KINDS`; functions of `FUNCTIONS`, which
  return a network; and what is defined in the packages that the environment variable
  `RESNET_LAB_TRUSTED` lists. Nothing else is even imported. `--trust` lifts that for one command,
  `trust=True` in Python.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from resnet_lab.core.configuration.config import CONF

PACKAGES = ("resnet_lab", "torch", "torchvision", "torchmetrics", "lightning", "timm", "optuna")

TRUSTED = "RESNET_LAB_TRUSTED"  # environment variable: the user's own packages, separated by commas

# Modules whose functions return a network.
FUNCTIONS = ("resnet_lab.models", "torchvision.models", "timm.models._factory")

# Arguments by which timm unpickles a file.
UNPICKLED = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay")

# Sections whose objects write files or connect to services, and the names of arguments that say
# where.
WRITERS = ("callbacks", "logger", "trainer")
PLACE_NAMES = r"(dir|dirpath|directory|folder|path|uri|url|location|host)$"

# The base class that a key asks for: a network under `model`, and so on.
PLACES = {
    "model": "torch.nn.Module",
    "task": "lightning.pytorch.LightningModule",
    "optimizer": "torch.optim.Optimizer",
    "scheduler": "torch.optim.lr_scheduler.LRScheduler",
    "data": "lightning.pytorch.LightningDataModule",
    "loss": "torch.nn.Module",
    "metrics.*": "torchmetrics.Metric",
    "callbacks.*": "lightning.pytorch.Callback",
    "logger.*": "lightning.pytorch.loggers.Logger",
    "trainer": "lightning.pytorch.Trainer",
}

# Base classes of the parts of a run. Some are of packages that may not be installed, and none is
# imported before something is built.
KINDS = {
    *PLACES.values(),
    "lightning.pytorch.profilers.Profiler",
    "lightning.pytorch.strategies.Strategy",
    "lightning.pytorch.plugins.Precision",
    "lightning.pytorch.plugins.LayerSync",
    "lightning.fabric.plugins.ClusterEnvironment",
    "optuna.pruners.BasePruner",
    "optuna.samplers.BaseSampler",
}

TRUST = "build whatever its configuration names: that can run any code"  # help of --trust

REFUSAL = (
    "a configuration from a run directory may name only what conf/ names, and networks, callbacks "
    f"and the like of {', '.join(PACKAGES)}; if the package is your own, list it in {TRUSTED}; if "
    "you trust where the run comes from, add --trust"
)


def locate(key: str, node: Mapping[str, Any], *, trust: bool) -> Any:
    """Return the class or function that a node names as its `_target_`.

    Raises a ValueError if there is none, or it may not be named in a configuration from elsewhere.
    """
    target = node["_target_"]
    said = f"{key}._target_={target}"
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise ValueError(f"{said}: must be the dotted path of a class, such as torch.optim.SGD")
    if not trust:
        if target.startswith("timm."):
            _refuse_files(key, node)
        if key.startswith(WRITERS):
            _refuse_places(key, node)
    trust = trust or target in _named_in_conf()
    package, *parts = target.split(".")
    known = package in (*PACKAGES, *_own_packages())
    if not trust and (not known or any(part.startswith("_") for part in parts)):
        raise ValueError(f"{said}: {REFUSAL}")
    try:
        found = import_target(target)
    except Exception as error:  # an import runs code, which may raise anything
        raise ValueError(f"{said}: {' '.join(str(error).split())}") from error
    if not callable(found):
        raise ValueError(f"{said}: must be a class or a function")
    if not trust and not _of_a_kind(found):
        raise ValueError(f"{said}: {REFUSAL}")
    place = re.sub(r"^(callbacks|logger|metrics)\.[^.]+$", r"\1.*", key)
    kind = PLACES.get(place)
    if kind is not None and inspect.isclass(found) and kind not in _bases(found):
        raise ValueError(f"{said}: must be a subclass of {kind}")
    return found


def import_target(target: str) -> Any:
    """Import the object of a dotted path."""
    path, *rest = target.split(".")
    found: Any = importlib.import_module(path)
    for part in rest:
        path = f"{path}.{part}"
        if not hasattr(found, part):
            importlib.import_module(path)
        found = getattr(found, part)
    return found


def _refuse_files(key: str, node: Mapping[str, Any]) -> None:
    for name, value in node.items():
        if name in UNPICKLED or (isinstance(value, str) and ":" in value):
            raise ValueError(
                f"{key}.{name}={value}: timm would unpickle it, which runs code; if you trust "
                "where it comes from, add --trust"
            )


def _refuse_places(key: str, node: Any) -> None:
    """Raise a ValueError if a callback, a logger or a profiler would write elsewhere."""
    if isinstance(node, Mapping | list):
        entries = node.items() if isinstance(node, Mapping) else enumerate(node)
        for name, value in entries:
            _refuse_places(f"{key}.{name}", value)
        return
    if not isinstance(node, str):
        return
    path = PurePath(node)
    leaves = path.is_absolute() or ".." in path.parts or node[:1] in ("~", "\\") or ":/" in node
    if leaves or re.search(PLACE_NAMES, key):
        raise ValueError(
            f"{key}={node}: a run from elsewhere writes into its own directory alone; if you trust "
            "where it comes from, add --trust"
        )


def _own_packages() -> list[str]:
    return [name for name in re.split(r"[\s,]+", os.environ.get(TRUSTED, "")) if name]


def _of_a_kind(found: Any) -> bool:
    """Whether something is a part of a run: a class of `KINDS` or of the data, or a model."""
    module = str(getattr(found, "__module__", ""))
    if module.partition(".")[0] in _own_packages():
        return True
    if module.partition(".")[0] not in PACKAGES:  # reached through a module that imports it
        return False
    if not inspect.isclass(found):
        within = any(module == name or module.startswith(f"{name}.") for name in FUNCTIONS)
        return inspect.isfunction(found) and within
    if module.startswith("resnet_lab.data"):  # sources and augmentations have no base class
        return True
    return bool(_bases(found))


def _bases(found: type) -> set[str]:
    """Return the `KINDS` that a class derives from, of those that are imported."""
    derived = set()
    for kind in KINDS:
        module, _, name = kind.rpartition(".")
        base = getattr(sys.modules.get(module), name, None)
        if inspect.isclass(base) and issubclass(found, base):
            derived.add(kind)
    return derived


@lru_cache(maxsize=1)
def _named_in_conf() -> frozenset[str]:
    """Return every `_target_` that a file of `conf/` names; the user controls these files."""
    pattern = re.compile(r"_target_:\s*['\"]?([\w.]+)")
    texts = (path.read_text(encoding="utf-8") for path in CONF.rglob("*.yaml"))
    return frozenset(name for text in texts for name in pattern.findall(text))
