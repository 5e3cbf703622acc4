"""The cluster of the tests here, and commands to it."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import cluster, missing

Told = Callable[..., str]


@pytest.fixture(scope="session")
def environment() -> Iterator[dict[str, str]]:
    """Start a cluster, or skip; yields the environment in which commands reach it."""
    if packages := missing():
        pytest.skip(f"SLURM is not here; on Debian: apt-get install {' '.join(packages)}")
    # Not below pytest's own directory: that is closed to others, and munge wants its socket open.
    scratch = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with cluster(scratch) as found:
            yield {**found, "OMP_NUM_THREADS": "1"}
    finally:
        shutil.rmtree(scratch)


@pytest.fixture
def slurm(environment: dict[str, str]) -> Iterator[Told]:
    """A function that gives SLURM a command, such as ("scancel", "3"); no job outlives the test."""

    def tell(*command: str, check: bool = True) -> str:
        result = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=check
        )
        return result.stdout

    yield tell
    tell("scancel", "--me", "--signal=KILL", "--full")
    tell("scancel", "--me")
