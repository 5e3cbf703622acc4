"""Search: Optuna chooses the values."""

from typing import Any

from omegaconf import DictConfig

from hydra_plugins.resnet_lab.sweeper import BaseSweeper


class Search(BaseSweeper):
    """Let Optuna choose what each trial tries; see `resnet_lab.sweeps.searching.search`.

    Args:
        params: ranges by key, as an option of the group `sweep` names them.
        n_trials: of the whole search, those of earlier launches too.
        n_jobs: trials at once; None: as many as the launcher has slots for.
        sampler: chooses the values.
        pruner: ends trials that are worse than others.
        seed: of the sampler.
    """

    def __init__(
        self,
        params: dict[str, str],
        n_trials: int,
        n_jobs: int | None,
        sampler: str | DictConfig,
        pruner: str | DictConfig | None,
        seed: int | None,
    ) -> None:
        super().__init__(params)
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.sampler = sampler
        self.pruner = pruner
        self.seed = seed

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search until there are `n_trials`."""
        import resnet_lab.sweeps.searching.search
        from resnet_lab.sweeps.searching.space import Space
        from resnet_lab.sweeps.searching.study import Options

        given: dict[str, Any] = {"n_trials": self.n_trials}
        if self.n_jobs is not None or not hasattr(self.launcher, "runner"):
            given["n_jobs"] = 1 if self.n_jobs is None else self.n_jobs
        for name, value in given.items():
            if type(value) is not int or value < 1:
                raise ValueError(f"hydra.sweeper.{name}={value}: must be an integer >= 1")
        if self.seed is not None and type(self.seed) is not int:
            raise ValueError(f"hydra.sweeper.seed={self.seed}: must be an integer, or null")
        if not getattr(self.launcher, "waits", True):
            raise ValueError(
                "hydra.launcher.wait=false: a search waits for its trials; leave it out"
            )
        space = Space.read(self.overrides(arguments))
        options = Options(self.sampler, self.pruner, self.seed)
        search = resnet_lab.sweeps.searching.search.Search(
            self.config, self.context, self.launcher, space, options, **given
        )
        return search.run()
