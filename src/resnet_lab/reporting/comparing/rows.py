"""What runs were told and what they recorded, in rows with a value of each run."""

from collections.abc import Sequence

from resnet_lab.core.configuration.config import bears_on_result, flat
from resnet_lab.core.text import printable, printable_values
from resnet_lab.reporting.ranking.board import short, short_names
from resnet_lab.reporting.run_record import RunRecord, as_finite, as_typed
from resnet_lab.reporting.wording import NONE, duration
from resnet_lab.runs.trained.run import Run

LONGEST_NAME = 40  # characters of the name of a run


def names_of(runs: Sequence[Run], config: list[list[str]]) -> list[str]:
    """Name runs by their directories, else by the settings that differ, else by number."""
    keys = short_names([key for key, *_ in config])
    settings = [
        ", ".join(f"{keys[key]}={short(values[place])}" for key, *values in config)
        for place in range(len(runs))
    ]
    for names in ([printable(run.directory.name) for run in runs], settings):
        if len(set(names)) == len(names) and max(map(len, names)) <= LONGEST_NAME:
            return names
    return [f"run {number}" for number in range(1, len(runs) + 1)]


def config_rows(runs: Sequence[Run]) -> list[list[str]]:
    """Return rows of key and each run's value, where these differ and bear on the result."""
    # Not resolved: a run from elsewhere must not read this machine's environment.
    sides = [flat(run.config, resolve=False) for run in runs]
    keys = dict.fromkeys(key for side in sides for key in side)
    rows = []
    for key in keys:
        values = [as_typed(side[key]) if key in side else NONE for side in sides]
        if len(set(values)) > 1 and bears_on_result(key):
            rows.append([printable(text) for text in (key, *values)])
    return rows


def metric_rows(runs: Sequence[Run]) -> list[list[str]]:
    """Return rows of the values that any run recorded."""
    sides = [_recorded(run) for run in runs]
    names = dict.fromkeys(name for side in sides for name in side)
    return [[name, *(side.get(name, NONE) for side in sides)] for name in names]


def _recorded(run: Run) -> dict[str, str]:
    status = printable_values(run.status)
    job = RunRecord(run.directory, str(status.get("state", "unknown")), {}, status)
    recorded = {"state": job.state}
    if job.value is not None:
        epoch = f" (epoch {job.epoch})" if job.epoch is not None else ""
        recorded[f"best {job.monitor}"] = f"{job.value:.4f}{epoch}"
    if "acc" in job.tests:
        low, high = (as_finite(status["test"].get(name)) for name in ("acc_low", "acc_high"))
        interval = ""
        if low is not None and high is not None:
            interval = f" (95 % interval {100 * low:.2f} to {100 * high:.2f})"
        recorded["test accuracy (%)"] = f"{100 * job.tests['acc']:.2f}{interval}"
    nats = "acc" in job.tests and "loss._target_" not in job.config  # of no loss but the default
    for name, value in job.tests.items():
        if name != "acc":
            recorded[f"test {name}{' (nats)' * (name == 'loss' and nats)}"] = f"{value:.4f}"
    for name in ("epochs", "device", "precision"):
        if status.get(name) is not None:
            recorded[name] = str(status[name])
    if job.seconds is not None:
        recorded["time of training"] = duration(job.seconds)
    rate = as_finite(status.get("images_per_second"))
    if rate is not None:
        recorded["images/s"] = f"{rate:,.0f}"
    return recorded
