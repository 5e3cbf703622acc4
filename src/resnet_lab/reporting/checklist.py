"""What the reproducibility checklists of conferences ask, filled in from the records of a sweep."""

from collections.abc import Iterable, Sequence
from typing import Any

from resnet_lab.core.provenance import DIFF, PACKAGES
from resnet_lab.core.text import markdown, markdown_code
from resnet_lab.reporting import html
from resnet_lab.reporting.ranking.board import Leaderboard
from resnet_lab.reporting.reading import Results
from resnet_lab.reporting.run_record import RunRecord, as_typed
from resnet_lab.reporting.searched import search_facts
from resnet_lab.reporting.wording import count_of, duration, facts

SHOWN = 8  # most values of one record
DATA = ("data.name", "data.val_size", "data.split_seed", "data.folds", "data.mean", "data.std")
TRAINING = ("model", "optimizer", "scheduler", "trainer.max_epochs", "trainer.max_steps")


def checklist(results: Results, board: Leaderboard) -> str:
    """Format the checklist as Markdown; a text of None is not recorded.

    Args:
        results: the jobs.
        board: their leaderboard.
    """
    jobs, metric = board.jobs, board.metric
    told = dict(facts(results, board))
    spent = [
        f"{duration(sum(job.seconds or 0.0 for job in results.jobs if job.state == state))} in "
        f"{count} {state}"
        for state, count in results.states.items()
    ]
    tested = count_of(sum(bool(job.tests) for job in results.jobs), "job")
    commits = _recorded(jobs, "commit")
    versions = (_part(job, "versions").items() for job in jobs)
    code = [
        ("command", markdown_code(told["command"]) if "command" in told else None),
        ("commit", commits),
        ("versions", _distinct(" ".join(map(str, each)) for job in versions for each in job)),
        ("all packages", _file(jobs, PACKAGES)),
    ]
    if "+" in (commits or ""):
        code.append(("what differed from the commit, where that is marked by +", _file(jobs, DIFF)))
    sections = {
        "Data": [
            ("data set, split and normalisation", _configured(jobs, DATA)),
            ("augmentation", _configured(jobs, ("data.augment",))),
            (
                "checksums (SHA-256) of the data",
                _distinct(
                    f"{name}: {digest}"
                    for job in jobs
                    for name, digest in _part(job, "data_sha256").items()
                ),
            ),
        ],
        "Code": code,
        "Experiment": [
            ("model and training", _configured(jobs, TRAINING)),
            ("what was tried", markdown(told.get("swept", "")) or "one setting"),
            *((name, markdown(text)) for name, text in search_facts(results)),
            ("number of jobs", markdown(told["jobs"])),
            ("seeds", _distinct(job.seed for job in jobs if job.seed is not None)),
            (
                "selection",
                f"the best {markdown(metric.name)} ({metric.mode}) of each job, then the mean over "
                "seeds; never the test split",
            ),
            (
                "use of the test split",
                f"{tested} tested at the end, each once; what resnet-evaluate and resnet-analyse "
                "measured afterwards is not counted",
            ),
            ("error bars", "report.md: standard deviation of a seed, 95 % interval of the mean"),
        ],
        "Compute": [
            ("hardware", _recorded(jobs, "device")),
            ("precision", _recorded(jobs, "precision")),
            ("time of training, of all jobs", ", ".join(spent)),
        ],
    }
    return html.render(
        "checklist.md",
        name=markdown(results.name),
        jobs=count_of(len(results.jobs), "job"),
        sections=sections,
    )


def _recorded(jobs: Sequence[RunRecord], name: str) -> str | None:
    """Return the distinct values of an entry of the status; None if there is none."""
    return _distinct(str(job.status[name]) for job in jobs if job.status.get(name))


def _file(jobs: Sequence[RunRecord], name: str) -> str | None:
    """Name a file that the run directories hold, and the SHA-256 of its versions."""
    digests = (_part(job, "code").get(name) for job in jobs)
    found = _distinct(f"sha256 {digest}" for digest in digests if digest)
    return f"{markdown_code(name)} of each run, {found}" if found else None


def _configured(jobs: Sequence[RunRecord], names: Sequence[str]) -> str | None:
    """Return the configuration that the jobs have below some keys, and where they differ."""
    keys = dict.fromkeys(
        key
        for job in jobs
        for key in job.config
        if any(key == name or key.startswith(f"{name}.") for name in names)
    )
    parts = []
    for key in keys:
        values = list(dict.fromkeys(as_typed(job.config[key]) for job in jobs if key in job.config))
        few = len(values) <= SHOWN
        if values != ["null"]:
            parts.append(f"{key}={' or '.join(values)}" if few else f"{key}: {len(values)} values")
    return ", ".join(map(markdown_code, parts)) or None


def _distinct(values: Iterable[object]) -> str | None:
    found = [markdown(str(value)) for value in dict.fromkeys(values)]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more or None


def _part(job: RunRecord, name: str) -> dict[str, Any]:
    part = job.status.get(name)
    return part if isinstance(part, dict) else {}
