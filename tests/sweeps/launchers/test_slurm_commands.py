"""What is read from SLURM's commands, by what they print on a real cluster."""

import pytest

from resnet_lab.sweeps.launchers import slurm_commands
from resnet_lab.sweeps.launchers.slurm_commands import has_gpus

SINFO = {
    None: "debug* (null)\nbig (null)\ngpus gpu:a100:4\ngpus gpu:v100:2\n",
    "gpus": "gpus gpu:a100:4\ngpus gpu:v100:2\n",
    "big": "big (null)\n",
    "debug": "debug* (null)\n",
}


@pytest.mark.parametrize(
    ("partition", "gpus"), [(None, False), ("gpus", True), ("big", False), ("debug", False)]
)
def test_gpus_are_those_of_the_partition_where_the_jobs_go(
    partition: str | None, gpus: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*command: str) -> list[str]:
        named = command[command.index("-p") + 1] if "-p" in command else None
        return SINFO[named].split()

    monkeypatch.setattr(slurm_commands, "told", told)
    assert has_gpus(partition) is gpus


def test_the_default_partition_may_have_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        slurm_commands, "told", lambda *command: ["debug", "(null)", "gpus*", "gpu:1"]
    )
    assert has_gpus(None)


def test_a_cluster_that_does_not_answer_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert not has_gpus(None)
    assert slurm_commands.queue() is None
