"""The grid: every combination of the values that were given."""

from typing import Any

from hydra_plugins.resnet_lab.sweeper import BaseSweeper


class Grid(BaseSweeper):
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
        super().__init__(params)
        if max_failures is not None and (type(max_failures) is not int or max_failures < 1):
            raise ValueError(
                f"hydra.sweeper.max_failures={max_failures}: must be an integer >= 1, or null"
            )
        if dirname not in ("long", "short"):
            raise ValueError(f"hydra.sweeper.dirname={dirname}: use long or short")
        self.zip = zip
        self.jobs = jobs

    def sweep(self, arguments: list[str]) -> Any:
        """Run every job that is not done yet."""
        from resnet_lab.sweeps.grid import combinations
        from resnet_lab.sweeps.launch import run_jobs

        jobs = combinations(self.overrides(arguments), self.zip, self.jobs)
        return run_jobs(self.config, self.context, self.launcher, jobs)
