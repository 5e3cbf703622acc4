"""The grid: every combination of the values that were given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from resnet_lab.core.configuration.config import check_integer


class BaseSweeper(Sweeper):
    """What the sweepers of this package share."""

    params: dict[str, str] | None  # values by key, as an option of the group `sweep` names them
    config: DictConfig
    context: HydraContext
    launcher: Launcher

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config, self.context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def overrides(self, arguments: Sequence[str]) -> list[Override]:
        """Parse `params` and the command line."""
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        params = [f"{key}={value}" for key, value in (self.params or {}).items()]
        overrides = parser.parse_overrides([*params, *arguments])
        for override in overrides:
            if override.key_or_group == "sweep" and override.is_sweep_override():
                raise ValueError(
                    f"{override.input_line}: one set of values at a time; run them one after the "
                    "other"
                )
        return overrides


@dataclass(eq=False)
class Grid(BaseSweeper):
    """Try every combination, in a directory that can be resumed; see `resnet_lab.sweeps.launch`."""

    params: dict[str, str] | None = None
    zip: Any = None  # keys whose values are taken together, see `resnet_lab.sweeps.grid`
    jobs: Any = None  # a list of jobs, or the path of one
    max_failures: int | None = None  # failed jobs after which no further one is started
    dirname: str = "long"  # or short: names of the jobs' directories

    def __post_init__(self) -> None:
        check_integer("hydra.sweeper.max_failures", self.max_failures, null=True)
        if self.dirname not in ("long", "short"):
            raise ValueError(f"hydra.sweeper.dirname={self.dirname}: use long or short")

    def sweep(self, arguments: list[str]) -> Any:
        from resnet_lab.sweeps.grid import combinations
        from resnet_lab.sweeps.launch import run_jobs

        jobs = combinations(self.overrides(arguments), self.zip, self.jobs)
        return run_jobs(self.config, self.context, self.launcher, jobs)
