"""Register the functions that `conf/` calls in `${...}`."""

import operator
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.config import CONF, new_dir
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE, register_resolver
from resnet_lab.core.directions import entry_mode, mode_of
from resnet_lab.sweeps.job import job_dir


def register_resolvers() -> None:
    """Register the resolvers with OmegaConf; may be called again."""
    for name, resolver, cached in (
        ("best_precision", _best_precision, False),
        ("is_null", lambda value: value is None, False),
        ("job_dir", job_dir, False),
        ("mode_of", _mode_of, False),
        ("not", operator.not_, False),
        ("new_dir", new_dir, True),  # cached per configuration: a sweep's jobs share their folder
        ("num_classes_in", _num_classes_in, False),
    ):
        register_resolver(name, resolver, replace=True, use_cache=cached)


def composed(overrides: Sequence[str]) -> DictConfig:
    """Compose `conf/train.yaml` with overrides, and resolve it."""
    register_resolvers()
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        config = compose("train", list(overrides))
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    assert isinstance(resolved, DictConfig)
    return resolved


def _best_precision(accelerator: str) -> str:
    from resnet_lab.core.device import best_precision  # imports torch: only where it is needed

    return best_precision(accelerator)


def _mode_of(monitor: str, given: str | None, *, _root_: DictConfig) -> str:
    return mode_of(monitor, given, entry_mode(_root_, str(monitor), trust=True))


def _num_classes_in(root: str) -> int:
    if not isinstance(root, str):
        raise ValueError(f"data.root={root}: must be the path of a folder")

    from resnet_lab.data.sources.folders import class_names

    return len(class_names(root))
