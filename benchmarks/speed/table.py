"""Put what was measured into the rows of a table."""

from collections.abc import Callable
from typing import Any

from resnet_lab.benchmark import Row, trained


def rows(result: dict[str, Any]) -> list[Row]:
    """Return a row for each question but those of `resnet_lab.benchmark`."""
    return [*_details(result), *_rival(result.get("rival")), *_jobs(result.get("jobs", {}))]


def _details(result: dict[str, Any]) -> list[Row]:
    loop, loader, start = (result[name] for name in ("step_overhead", "loader", "start"))
    return [
        (
            "a step of a network that costs nothing, ms, against Lightning's bare loop; "
            f"{loop['input']:.2f} of it choose and augment the batch",
            str(loop["n"]),
            f"{loop['lightning']:.2f}",
            f"{loop['ours']:.2f}",
            f"+{loop['difference']:.2f} ms",
        ),
        (
            "images/s ready for the network, against torchvision with two workers",
            str(loader["n"]),
            f"{loader['torchvision']:,.0f}",
            f"{loader['ours']:,.0f}",
            f"{loader['ratio']:.1f}",
        ),
        (
            "seconds to the first step on the digits, against the imports alone",
            str(start["n"]),
            f"{start['imports']:.1f}",
            f"{start['first_step']:.1f}",
            f"{start['ratio']:.2f}",
        ),
    ]


def _rival(rival: dict[str, float] | None) -> list[Row]:
    if rival is None:
        return []
    theirs = f"{rival['theirs']:.1f}"
    return [
        (
            f"seconds of the other template's default job, one epoch; {rival['imports']:.1f} of "
            "each are imports",
            str(rival["n"]),
            theirs,
            f"{rival['ours']:.1f}",
            f"{rival['ratio']:.1f}",
        ),
        (
            "the same, as a further job of a multirun",
            "1",
            theirs,
            f"{rival['further_job']:.1f}",
            f"{rival['ratio_further_job']:.1f}",
        ),
    ]


def _jobs(jobs: dict[str, Any]) -> list[Row]:
    """Return the rows of those parts of `--full` that were measured."""
    training = "training, images/s, "
    makers: dict[str, Callable[[dict[str, Any]], list[Row]]] = {
        "small": lambda found: [trained(training + "a small net on MNIST, batch 128", found)],
        "compiled": lambda found: [trained(training + "compiled ResNet-18, batch 512", found)],
        "sweep": _sweep,
        "pool": _pool,
        "images": lambda found: [
            (
                "time per image, largest over smallest, from 1,000 to 60,000 images",
                *(str(found["n"]), "", "", f"{found['ratio']:.2f}"),
            )
        ],
        "depth": lambda found: [
            (
                "deviation from linear in depth, 20 to 110",
                *(str(found["n"]), "", "", f"{100 * found['deviation']:.0f} %"),
            )
        ],
        "memory": _memory,
        "contention": _contention,
    }
    return [row for name, rows in makers.items() if name in jobs for row in rows(jobs[name])]


def _sweep(found: dict[str, Any]) -> list[Row]:
    number = str(found["n"])
    return [
        (
            "seconds of 8 one-epoch jobs on the digits: as processes, as one multirun",
            number,
            f"{found['separate']:.1f}",
            f"{found['together']:.1f}",
            f"{found['ratio']:.1f}",
        ),
        (
            "memory that a further job of a multirun adds, MB",
            *(number, "", f"{found['growth']:.1f}", ""),
        ),
    ]


def _memory(found: dict[str, Any]) -> list[Row]:
    return [
        (
            "peak memory of a job, MB, beside a bare loop and the data set",
            str(found["n"]),
            f"{found['bare']:,.0f} + {found['data']:,.0f}",
            f"{found['ours']:,.0f}",
            f"+{found['difference']:,.0f} MB",
        )
    ]


def _pool(found: dict[str, Any]) -> list[Row]:
    return [
        (
            f"seconds of 8 jobs on the digits {words}, and on the pool by itself",
            str(found["n"]),
            f"{found[name]:.1f}",
            f"{found['auto']:.1f}",
            f"{found['auto'] / found[name]:.2f}",
        )
        for words, name in (("on the pool, best by hand", "best"), ("in one process", "in_process"))
    ]


def _contention(found: dict[str, Any]) -> list[Row]:
    cores = found["cores"]
    where = {"quiet": "with nothing beside it", "busy": f"beside {cores} busy processes"}
    return [
        (
            f"seconds of the default job {words}: the better of 1 and all threads, auto",
            str(found["n"]),
            f"{min(found[name]['one'], found[name]['all']):.1f}",
            f"{found[name]['auto']:.1f}",
            f"{found[name]['ratio']:.2f}",
        )
        for name, words in where.items()
    ]
