"""Search: Optuna chooses the values."""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from hydra_plugins.resnet_lab.grid import BaseSweeper
from resnet_lab.core.configuration.config import check_integer


@dataclass(eq=False)
class Search(BaseSweeper):
    """Let Optuna choose what each trial tries; see `resnet_lab.sweeps.searching.search`."""

    params: dict[str, str] | None  # ranges by key, as an option of the group `sweep` names them
    n_trials: int  # of the whole search, those of earlier launches too
    n_jobs: int | None  # trials at once; None: as many as the launcher has slots for
    sampler: str | DictConfig
    pruner: str | DictConfig | None
    seed: int | None  # of the sampler

    def sweep(self, arguments: list[str]) -> Any:
        import resnet_lab.sweeps.searching.search
        from resnet_lab.sweeps.searching.space import Space
        from resnet_lab.sweeps.searching.study import Options

        check_integer("hydra.sweeper.n_trials", self.n_trials)
        check_integer("hydra.sweeper.n_jobs", self.n_jobs, null=True)
        if self.seed is not None and type(self.seed) is not int:
            raise ValueError(f"hydra.sweeper.seed={self.seed}: must be an integer, or null")
        if not getattr(self.launcher, "waits", True):
            raise ValueError(
                "hydra.launcher.wait=false: a search waits for its trials; leave it out"
            )
        n_jobs = self.n_jobs if hasattr(self.launcher, "runner") else self.n_jobs or 1
        space = Space.read(self.overrides(arguments))
        options = Options(self.sampler, self.pruner, self.seed)
        search = resnet_lab.sweeps.searching.search.Search(
            self.config, self.context, self.launcher, space, options, self.n_trials, n_jobs
        )
        return search.run()
