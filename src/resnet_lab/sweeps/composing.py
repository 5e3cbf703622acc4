"""Compose the configurations of the jobs of a sweep.

Hydra composes one in 75 ms, most of it for the choice of groups. So each choice of groups is
composed once, and the values that a job overrides are set in a copy.
"""

from collections.abc import Sequence
from copy import deepcopy

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from resnet_lab.core.errors import one_line


class Composer:
    """Compose the jobs of a sweep, which have `config` in common, with Hydra's own node."""

    def __init__(self, config: DictConfig, context: HydraContext) -> None:
        self._config = config
        self._context = context
        self._groups: dict[str, bool] = {}  # whether a key is a group
        self._parser = OverridesParser.create(config_loader=context.config_loader)
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], DictConfig] = {}  # by what chooses groups

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration of a job, without Hydra's own node."""
        try:
            for item in overrides:
                if item not in self._parsed:
                    self._parsed[item] = self._parser.parse_override(item)
            parsed = [self._parsed[item] for item in overrides]
            values = [override for override in parsed if self._is_value(override)]
            structure = tuple(item for item in overrides if not self._is_value(self._parsed[item]))
            if structure not in self._bases:
                loader = self._context.config_loader
                base = loader.load_sweep_config(self._config, list(structure))
                with read_write(base), open_dict(base):
                    base.pop("hydra")
                self._bases[structure] = base
            job = deepcopy(self._bases[structure])
            for override in values:
                _apply(override, job)
        except Exception as error:
            raise ValueError(one_line(error)) from error
        return job

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets a value, whatever groups are chosen."""
        key = override.key_or_group
        if override.is_add() or override.is_delete():
            return False
        if "/" in key or override.package is not None or key.startswith("hydra"):
            return False
        if key not in self._groups:
            self._groups[key] = bool(self._context.config_loader.get_group_options(key))
        return not self._groups[key]


def _apply(override: Override, config: DictConfig) -> None:
    """Set the value of an override, as Hydra does."""
    key, value = override.key_or_group, override.value()
    try:
        OmegaConf.update(config, key, value, merge=True, force_add=override.is_force_add())
    except OmegaConfBaseException as error:
        raise ConfigCompositionException(f"Error merging override {override.input_line}") from error
