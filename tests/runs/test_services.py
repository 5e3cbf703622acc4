"""Loggers of services, by stand-ins with the interface that Lightning's own have."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from lightning.pytorch.loggers import Logger

from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.helpers import Compose


class Service:
    """What W&B keeps in a process: one run at a time, until it is told to finish."""

    open: ClassVar["Service | None"] = None
    all: ClassVar[list["Service"]] = []

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.names: set[str] = set()
        self.code: int | None = None
        Service.all.append(self)

    def finish(self, exit_code: int) -> None:
        self.code = exit_code
        Service.open = None


class WandbLogger(Logger):
    """As Lightning's WandbLogger: an open run of the process is used, and not ended."""

    refuses = False

    def __init__(
        self, name: str | None = None, save_dir: str | Path = ".", project: str | None = None
    ) -> None:
        super().__init__()
        self.called, self.project = name, project

    @property
    def name(self) -> str | None:
        return self.project

    @property
    def version(self) -> str:
        return "1"

    @property
    def experiment(self) -> Service:
        if Service.open is None:
            Service.open = Service()
            Service.open.names = {str(self.called), str(self.project)}
        return Service.open

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        if self.refuses:
            raise ConnectionError("the service is away")
        self.experiment.params |= params

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        pass


class MLFlowLogger(WandbLogger):
    """As Lightning's MLFlowLogger takes its names."""

    def __init__(
        self,
        experiment_name: str = "lightning_logs",
        run_name: str | None = None,
        save_dir: str = "",
    ) -> None:
        super().__init__(run_name, save_dir, experiment_name)


TARGET = f"+logger.service._target_={__name__}."


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "open", None)
    monkeypatch.setattr(Service, "all", [])


@pytest.mark.parametrize("kind", ["WandbLogger", "MLFlowLogger"])
def test_each_run_is_one_of_its_own_with_a_name_and_its_configuration(
    kind: str, tiny: Compose
) -> None:
    for seed in (0, 1):
        cfg = tiny(TARGET + kind, "trainer.max_epochs=1", "name=mine", f"seed={seed}")
        train(cfg, f"seed={seed}", ["optimizer.lr=0.1", f"seed={seed}"], trust=True)
    assert len(Service.all) == 2
    for seed, run in enumerate(Service.all):
        assert run.names == {"mine", f"seed={seed}"}
        assert run.code == 0
        assert run.params["seed"] == seed
        assert run.params["model.depth"] == 8
        assert run.params["overrides"] == f"optimizer.lr=0.1 seed={seed}"


def test_names_that_were_given_stay(tiny: Compose) -> None:
    names = ("+logger.service.name=run", "+logger.service.project=project")
    train(tiny(TARGET + "WandbLogger", "trainer.max_epochs=1", *names), "one", trust=True)
    assert Service.all[0].names == {"run", "project"}


def test_a_service_that_is_away_fails_no_run(
    tiny: Compose, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(WandbLogger, "refuses", True)
    train(tiny(TARGET + "WandbLogger", "trainer.max_epochs=1"), "one", trust=True)
    assert Run.load("one").done
    assert "WandbLogger failed and is left out: the service is away" in caplog.text


def test_a_run_that_fails_is_ended_as_failed(tiny: Compose) -> None:
    with pytest.raises(ValueError, match="nan"):
        train(tiny(TARGET + "WandbLogger", "optimizer.lr=1e30"), "one", trust=True)
    assert [run.code for run in Service.all] == [1]


def test_a_run_needs_no_logger(tiny: Compose) -> None:
    train(
        tiny("logger.csv=null", "logger.tensorboard=null", "trainer.max_epochs=1"),
        "one",
        trust=True,
    )
    assert Run.load("one").done
    assert not Path("one/metrics.csv").exists()
