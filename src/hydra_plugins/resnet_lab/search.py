"""Search: Optuna chooses the values."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Search(Sweeper):
    """Let Optuna choose what each trial tries; see `resnet_lab.sweeps.search`.

    Args:
        params: ranges by key, as an option of the group `sweep` names them.
        n_trials: of the whole search, those of earlier launches too.
        n_jobs: trials that are chosen together; None: as many as the launcher runs at once.
        sampler: chooses the values.
        pruner: gives hopeless trials up.
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
        self.params = params
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.sampler = sampler
        self.pruner = pruner
        self.seed = seed
        self.config: DictConfig | None = None
        self.context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what the trials are composed from, and make the launcher."""
        self.config, self.context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search until there are `n_trials`."""
        import resnet_lab.sweeps.search
        from resnet_lab.sweeps.launch import refuse_swept_sweeps
        from resnet_lab.sweeps.space import Space
        from resnet_lab.sweeps.study import Options

        assert self.config is not None
        assert self.context is not None
        assert self.launcher is not None
        at_once: int = getattr(self.launcher, "slots", 1) if self.n_jobs is None else self.n_jobs
        given: dict[str, Any] = {"n_trials": self.n_trials, "n_jobs": at_once}
        for name, value in given.items():
            if type(value) is not int or value < 1:
                raise ValueError(f"hydra.sweeper.{name}={value}: must be an integer >= 1")
        if self.seed is not None and type(self.seed) is not int:
            raise ValueError(f"hydra.sweeper.seed={self.seed}: must be an integer, or null")
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        params = [f"{key}={value}" for key, value in self.params.items()]
        overrides = parser.parse_overrides([*params, *arguments])
        refuse_swept_sweeps(overrides)
        space = Space.read(overrides)
        options = Options(self.sampler, self.pruner, self.seed)
        search = resnet_lab.sweeps.search.Search(
            self.config, self.context, self.launcher, space, options, self.n_trials, at_once
        )
        return search.run()
