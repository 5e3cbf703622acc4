"""A search whose jobs train nothing."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from math import log10
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from resnet_lab.sweeps.job import job_dir
from resnet_lab.sweeps.searching.search import Search
from resnet_lab.sweeps.searching.space import Space
from resnet_lab.sweeps.searching.study import Options
from tests.helpers import LR

SMOOTHING = "task.label_smoothing=interval(0,0.5)"
BOWL = (LR, SMOOTHING)

Values = dict[str, str]


def bowl(values: Values) -> float:
    """The highest value, 1, lies at a rate of 0.03 and a smoothing of 0.2."""
    lr, smoothing = float(values["optimizer.lr"]), float(values["task.label_smoothing"])
    return 1 - abs(log10(lr / 0.03)) - abs(smoothing - 0.2)


class Searcher:
    """A search and its launcher, whose training is a cheap function of the overrides."""

    def __init__(self) -> None:
        self.trained: Counter[str] = Counter()  # how often each directory was trained in
        self.directory = Path("sweep")
        self.function: Callable[[Values], float] = bowl

    def __call__(
        self,
        *overrides: str,
        n_trials: int,
        f: Callable[[Values], float] = bowl,
        directory: str = "sweep",
        monitor: str = "val/acc",
        n_jobs: int | None = 1,
        sampler: str | DictConfig = "tpe",
        pruner: str | DictConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.function, self.directory = f, Path(directory)
        space = Space.read(OverridesParser.create().parse_overrides(list(overrides)))
        config = OmegaConf.create(
            {
                "name": "cheap", "monitor": monitor, "log_dir": ".", "sweep_dir": directory,
                "run_dir": None,
                "preflight": False,
                "hydra": {"sweep": {"dir": directory}, "overrides": {"hydra": []}},
            }
        )  # fmt: skip
        options = Options(sampler, pruner, seed)
        Search(config, None, self, space, options, n_trials, n_jobs).run()

    def launch(self, jobs: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        return [self._train(list(overrides)) for overrides in jobs]

    def _train(self, overrides: list[str]) -> JobReturn:
        place = self.directory / job_dir(overrides)
        place.mkdir(exist_ok=True)
        (place / "config.yaml").write_text("model: {}")
        self.trained[place.name] += 1
        status = {"state": "running"}
        try:
            (place / "status.json").write_text(json.dumps(status))
            value = self.function(dict(each.split("=", 1) for each in overrides))
            status = {"state": "done", "best": {"value": value}}
        except ValueError as error:
            status = {"state": "failed", "error": str(error)}
        except TimeoutError:
            return JobReturn(status=JobStatus.FAILED)
        (place / "status.json").write_text(json.dumps(status))
        failed = status["state"] == "failed"
        return JobReturn(status=JobStatus.FAILED if failed else JobStatus.COMPLETED)
