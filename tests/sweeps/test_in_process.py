"""Jobs of a sweep that run one after the other in this process."""

from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from tests.helpers import TINY

NOTES: list[tuple[Any, ...]] = []


class Noted(Callback):
    """A callback of Hydra's that notes the jobs."""

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        NOTES.append(("start", config.seed, config.hydra.overrides.task[-1]))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        NOTES.append(("end", config.seed, job_return.status))


# Hydra 1.4 builds its own callbacks without the allow-list that it asks others for.
@pytest.mark.filterwarnings(r"ignore:hydra\.utils\.instantiate\(\) resolved:UserWarning")
def test_job_callbacks_of_hydra_are_called(command, monkeypatch: pytest.MonkeyPatch) -> None:
    NOTES.clear()
    code, _, err = command(
        "-m", *TINY, "seed=0,1", f"+hydra.callbacks.noted._target_={__name__}.Noted"
    )
    assert code == 0, err
    assert NOTES == [
        ("start", 0, "seed=0"), ("end", 0, JobStatus.COMPLETED),
        ("start", 1, "seed=1"), ("end", 1, JobStatus.COMPLETED),
    ]  # fmt: skip
