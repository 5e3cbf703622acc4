"""The grid: every combination of the values that were given."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Grid(Sweeper):
    """Try every combination, in a directory that can be resumed; see `resnet_lab.sweeps.launch`.

    Args:
        params: values to try by key, as an option of the group `sweep` names them.
    """

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self.params = params or {}
        self.config: DictConfig | None = None
        self.context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what the jobs are composed from, and make the launcher."""
        self.config, self.context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run every job that is not done yet."""
        from resnet_lab.sweeps.launch import refuse_swept_sweeps, run_jobs

        assert self.config is not None
        assert self.context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        params = [f"{key}={value}" for key, value in self.params.items()]
        overrides = parser.parse_overrides([*params, *arguments])
        refuse_swept_sweeps(overrides)
        return run_jobs(self.config, self.context, self.launcher, combinations(overrides))


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each job; the values of the last key change first.

    Args:
        overrides: of the command line; a later one replaces an earlier one of the same key.

    Raises:
        ValueError: a grid cannot try the values of a sweep, or it has none.
    """
    values = {override.get_key_element(): _values(override) for override in overrides}
    return [list(job) for job in product(*values.values())]


def _values(override: Override) -> list[str]:
    """Return what an override sets its key to in turn, as overrides of one value each."""
    key, text = override.get_key_element(), override.input_line
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ValueError(
            f"{text}: a grid cannot try every number there; name the values, as in "
            f"{key}=0.1,0.2, or search with hydra/sweeper=optuna"
        )
    values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    if not values:
        raise ValueError(f"{text}: there is no value to try in it")
    return values
