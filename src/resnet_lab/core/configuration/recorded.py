"""Read the configuration that a run recorded, as data, and rename its old targets.

A recorded configuration has no `${...}` in it: one that has is refused, never resolved.
"""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Modules of version 0.1, and where their classes and functions are today.
MOVED = {
    "resnet_lab.data.augment": "resnet_lab.data.transforms",
    "resnet_lab.data.auto_augment": "resnet_lab.data.transforms",
    "resnet_lab.data.erase": "resnet_lab.data.transforms",
    "resnet_lab.data.image_folder": "resnet_lab.data.sources",
    "resnet_lab.data.torchvision_source": "resnet_lab.data.sources",
    "resnet_lab.loggers": "resnet_lab.runs.loggers",
    "resnet_lab.mixing": "resnet_lab.training.mixing",
    "resnet_lab.schedulers": "resnet_lab.training.schedulers",
    "resnet_lab.sharding": "resnet_lab.training.sharding",
    "resnet_lab.task": "resnet_lab.training.task",
}

GONE = {"resnet_lab.profiler.NoProfiler": "lightning.pytorch.profilers.PassThroughProfiler"}


def read_config(path: Path) -> DictConfig:
    """Read the configuration of a run as data: nothing in it is resolved.

    Raises a ValueError if it is no configuration, or holds an interpolation.
    """
    try:
        refuse_aliases(path.read_text(encoding="utf-8"), str(path))
        config = OmegaConf.load(path)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(config, DictConfig):
        raise ValueError(f"{path} is not the configuration of a run")
    plain = OmegaConf.to_container(config, resolve=False)
    refuse_interpolations(plain, str(path))
    return DictConfig(with_new_names(plain))


def refuse_aliases(text: str, place: str) -> None:
    """Raise a ValueError if YAML has aliases, of which a few lines can grow to billions."""
    events = yaml.parse(text, LOADER) if "*" in text else ()
    if any(isinstance(event, yaml.AliasEvent) for event in events):
        raise ValueError(f"{place}: what a run records has no aliases (*name)")


def refuse_interpolations(node: Any, place: str, key: str = "") -> None:
    """Raise a ValueError if a plain value of a configuration would be resolved when it is read."""
    if isinstance(node, dict):
        for name, value in node.items():
            refuse_interpolations(name, place, f"{key}.{name}" if key else str(name))
            refuse_interpolations(value, place, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            refuse_interpolations(value, place, f"{key}.{number}")
    elif isinstance(node, str) and "${" in node:
        raise ValueError(f"{place}: {key}={node}: what a run records holds no ${{...}}")


def with_new_names(node: Any) -> Any:
    """Return a plain configuration in which each `_target_` has the name that it has today."""
    if isinstance(node, list):
        return [with_new_names(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: with_new_names(value) for name, value in node.items()}
    if isinstance(node.get("_target_"), str):
        target = node["_target_"]
        module, _, name = target.rpartition(".")
        node["_target_"] = (
            f"{MOVED[module]}.{name}" if module in MOVED else GONE.get(target, target)
        )
    return node
