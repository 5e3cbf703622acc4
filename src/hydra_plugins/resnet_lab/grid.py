"""The grid: every combination of the values that were given."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Grid(Sweeper):
    """Try every combination, in a directory that can be resumed; see `resnet_lab.sweeps.launch`.

    Args:
        params: values to try by key, as an option of the group `sweep` names them.
        zip: keys whose values are taken together, see `resnet_lab.sweeps.grid`.
        jobs: a list of jobs, or the path of one, see `resnet_lab.sweeps.grid`.
        max_failures: failed jobs after which no further one is started; None: no limit.
        dirname: "long" or "short" names of the jobs' directories.
    """

    def __init__(
        self,
        params: dict[str, str] | None = None,
        zip: Any = None,
        jobs: Any = None,
        max_failures: int | None = None,
        dirname: str = "long",
    ) -> None:
        if max_failures is not None and (type(max_failures) is not int or max_failures < 1):
            raise ValueError(
                f"hydra.sweeper.max_failures={max_failures}: must be an integer >= 1, or null"
            )
        if dirname not in ("long", "short"):
            raise ValueError(f"hydra.sweeper.dirname={dirname}: use long or short")
        self.params = params or {}
        self.zip = zip
        self.jobs = jobs
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
        from resnet_lab.sweeps.grid import combinations
        from resnet_lab.sweeps.launch import refuse_swept_sweeps, run_jobs

        assert self.config is not None
        assert self.context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        params = [f"{key}={value}" for key, value in self.params.items()]
        overrides = parser.parse_overrides([*params, *arguments])
        refuse_swept_sweeps(overrides)
        jobs = combinations(overrides, self.zip, self.jobs)
        return run_jobs(self.config, self.context, self.launcher, jobs)
