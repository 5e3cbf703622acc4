"""A search without training, for tests of searches and of launchers."""

import pytest

from resnet_lab.sweeps.preflight import Estimate
from tests.sweeps.searcher import Searcher


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Searcher:
    one = Estimate(parameters=1, memory=1, checkpoints=1)
    monkeypatch.setattr(
        "resnet_lab.sweeps.searching.search.check", lambda config, context, jobs: [one] * len(jobs)
    )
    monkeypatch.setattr("resnet_lab.sweeps.searching.search.finish", lambda sweep, returns: returns)
    return Searcher()
