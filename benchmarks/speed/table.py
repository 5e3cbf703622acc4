"""Put what was measured into the rows of a table."""

from collections.abc import Iterator, Sequence
from typing import Any

from resnet_lab.benchmark import Row, trained

# What was measured; question, n, the other, ours, ratio, filled in from it.
DETAILS = (
    (
        "step_overhead",
        "a step of a network that costs nothing, ms, against Lightning's bare loop; {input:.2f} of "
        "it choose and augment the batch",
        "{n}", "{lightning:.2f}", "{ours:.2f}", "+{difference:.2f} ms",
    ),
    (
        "loader", "images/s ready for the network, against torchvision with two workers",
        "{n}", "{torchvision:,.0f}", "{ours:,.0f}", "{ratio:.1f}",
    ),
    (
        "start", "seconds to the first step on the digits, against the imports alone",
        "{n}", "{imports:.1f}", "{first_step:.1f}", "{ratio:.2f}",
    ),
    (
        "rival",
        "seconds of the other template's default job, one epoch; {imports:.1f} of each are imports",
        "{n}", "{theirs:.1f}", "{ours:.1f}", "{ratio:.1f}",
    ),
    (
        "rival", "the same, as a further job of a multirun",
        "1", "{theirs:.1f}", "{further_job:.1f}", "{ratio_further_job:.1f}",
    ),
)  # fmt: skip
WHOLE_JOBS = (
    (
        "sweep", "seconds of 8 one-epoch jobs on the digits: as processes, as one multirun",
        "{n}", "{separate:.1f}", "{together:.1f}", "{ratio:.1f}",
    ),
    (
        "sweep", "memory that a further job of a multirun adds, MB",
        "{n}", "", "{growth:.1f}", "",
    ),
    (
        "pool",
        "seconds of 8 jobs on the digits on the pool, best by hand, and on the pool by itself",
        "{n}", "{best:.1f}", "{auto:.1f}", "{ratio:.2f}",
    ),
    (
        "pool", "seconds of 8 jobs on the digits in one process, and on the pool by itself",
        "{n}", "{in_process:.1f}", "{auto:.1f}", "{ratio_in_process:.2f}",
    ),
    (
        "images", "time per image, largest over smallest, from 1,000 to 60,000 images",
        "{n}", "", "", "{ratio:.2f}",
    ),
    (
        "depth", "deviation from linear in depth, 20 to 110",
        "{n}", "", "", "{deviation:.0%}",
    ),
    (
        "memory", "peak memory of a job, MB, beside a bare loop and the data set",
        "{n}", "{bare:,.0f} + {data:,.0f}", "{ours:,.0f}", "+{difference:,.0f} MB",
    ),
    (
        "quiet",
        "seconds of the default job with nothing beside it: the better of 1 and all threads, auto",
        "{n}", "{best:.1f}", "{auto:.1f}", "{ratio:.2f}",
    ),
    (
        "busy",
        "seconds of the default job beside {cores} busy processes: the better of 1 and all "
        "threads, auto",
        "{n}", "{best:.1f}", "{auto:.1f}", "{ratio:.2f}",
    ),
)  # fmt: skip


def rows(result: dict[str, Any]) -> list[Row]:
    """Return a row for each question but those of `resnet_lab.benchmark`."""
    jobs = result.get("jobs", {})
    loops = {
        "small": "training, images/s, a small net on MNIST, batch 128",
        "compiled": "training, images/s, compiled ResNet-18, batch 512",
    }
    training = [trained(words, jobs[name]) for name, words in loops.items() if name in jobs]
    return [*_filled(DETAILS, result), *training, *_filled(WHOLE_JOBS, jobs)]


def _filled(table: Sequence[tuple[str, ...]], found: dict[str, Any]) -> Iterator[Row]:
    for name, question, n, other, ours, ratio in table:
        if name in found:
            row = (question, n, other, ours, ratio)
            yield tuple(text.format(**found[name]) for text in row)  # type: ignore[misc]
