"""The grid: every combination of the values that were given."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser


class Grid(BasicSweeper):
    """Hydra's own basic sweeper, in a directory that can be gone on with; see `resnet_lab.launch`.

    Args:
        params: values to try by key, as an option of the group `sweep` names them.
    """

    def __init__(self, params: dict[str, str] | None = None) -> None:
        super().__init__(max_batch_size=None, params=params)

    def sweep(self, arguments: list[str]) -> Any:
        """Run every job that is not done yet."""
        from resnet_lab.launch import run_jobs

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        (jobs,) = self.split_arguments(overrides, None)
        return run_jobs(self.config, self.hydra_context, self.launcher, jobs)
