"""The grid: every combination of the values that were given."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override


class Grid(BasicSweeper):
    """Hydra's own basic sweeper, in a directory that can be resumed; see `sweeps.launch`.

    Args:
        params: values to try by key, as an option of the group `sweep` names them.
    """

    def __init__(self, params: dict[str, str] | None = None) -> None:
        super().__init__(max_batch_size=None, params=params)

    def sweep(self, arguments: list[str]) -> Any:
        """Run every job that is not done yet."""
        from resnet_lab.sweeps.launch import refuse_swept_sweeps, run_jobs

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        refuse_swept_sweeps(overrides)
        for override in overrides:
            _refuse_no_values(override)
        (jobs,) = self.split_arguments(overrides, None)
        return run_jobs(self.config, self.hydra_context, self.launcher, jobs)


def _refuse_no_values(override: Override) -> None:
    """Raise a ValueError for a sweep that a grid cannot try, or that has nothing to try."""
    if not override.is_sweep_override():
        return
    text = override.input_line
    if not override.is_discrete_sweep():
        raise ValueError(
            f"{text}: a grid cannot try every number there; name the values, as in "
            f"{override.get_key_element()}=0.1,0.2, or search with hydra/sweeper=optuna"
        )
    if next(override.sweep_iterator(), None) is None:
        raise ValueError(f"{text}: there is no value to try in it")
