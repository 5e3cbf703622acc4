"""Show what the benchmark measured, to people."""

from typing import Any

from rich.table import Table

from resnet_lab.console import console


def show(result: dict[str, Any]) -> None:
    """Print the figures, the variants of this network from the fastest on, and what they say."""
    table = Table("question", "the other", "ours", "ratio", title=" ".join(result["configuration"]))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in [*_loops(result), *_rival(result.get("rival")), *_jobs(result.get("jobs"))]:
        table.add_row(*row)
    console().print(table)
    for name, rate in sorted(result["variants"].items(), key=lambda item: -item[1]):
        console().print(f"{rate:>10,.0f} images/s  {name}", highlight=False)
    machine = result["machine"]
    console().print(f"images: {result['images']}; {machine['device']}", highlight=False)
    console().print(f"recommended: {result['recommended']}", style="bold", highlight=False)


def _loops(result: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    trainer, loop, loader, start = (
        result[name] for name in ("trainer", "step_overhead", "loader", "start")
    )
    return [
        _trained("training, images/s, against a bare loop on one resident batch", trainer),
        ("a step of a network that costs nothing, ms, against Lightning's bare loop; "
         f"{loop['input']:.2f} of it choose and augment the batch",
         f"{loop['lightning']:.2f}", f"{loop['ours']:.2f}", f"+{loop['difference']:.2f} ms"),
        ("images/s ready for the network, against torchvision with two workers",
         f"{loader['torchvision']:,.0f}", f"{loader['ours']:,.0f}", f"{loader['ratio']:.1f}"),
        ("seconds to the first step on the digits, against the imports alone",
         f"{start['imports']:.1f}", f"{start['first_step']:.1f}", f"{start['ratio']:.2f}"),
        ("seconds between epochs: records and checkpoints", "",
         f"{trainer['between_epochs']:.2f}", ""),
    ]  # fmt: skip


def _rival(rival: dict[str, float] | None) -> list[tuple[str, str, str, str]]:
    if rival is None:
        return []
    theirs = f"{rival['theirs']:.1f}"
    return [
        (f"seconds of the other template's default job, one epoch; {rival['imports']:.1f} of each "
         "are imports", theirs, f"{rival['ours']:.1f}", f"{rival['ratio']:.1f}"),
        ("the same, as a further job of a multirun", theirs, f"{rival['further_job']:.1f}",
         f"{rival['ratio_further_job']:.1f}"),
    ]  # fmt: skip


def _jobs(jobs: dict[str, Any] | None) -> list[tuple[str, str, str, str]]:
    if jobs is None:
        return []
    sweep, memory = jobs["sweep"], jobs["memory"]
    rows = [_trained("training, images/s, a small net on MNIST, batch 128", jobs["small"])]
    if "compiled" in jobs:
        rows.append(_trained("training, images/s, compiled ResNet-18, batch 512", jobs["compiled"]))
    return [
        *rows,
        ("seconds of 8 one-epoch jobs on the digits: as processes, as one multirun",
         f"{sweep['separate']:.1f}", f"{sweep['together']:.1f}", f"{sweep['ratio']:.1f}"),
        ("memory that a further job of a multirun adds, MB", "", f"{sweep['growth']:.1f}", ""),
        ("time per image, largest over smallest, from 1,000 to 60,000 images", "", "",
         f"{jobs['images']['ratio']:.2f}"),
        ("deviation from linear in depth, 20 to 110", "", "",
         f"{100 * jobs['depth']['deviation']:.0f} %"),
        ("peak memory of a job, MB, beside a bare loop and the data set",
         f"{memory['bare']:,.0f} + {memory['data']:,.0f}", f"{memory['ours']:,.0f}",
         f"+{memory['difference']:,.0f} MB"),
        *_contention(jobs["contention"]),
    ]  # fmt: skip


def _contention(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    cores = found["cores"]
    where = {"quiet": "with nothing beside it", "busy": f"beside {cores} busy processes"}
    return [
        (f"seconds of the default job {words}: the better of 1 and all threads, auto",
         f"{min(found[name]['one'], found[name]['all']):.1f}", f"{found[name]['auto']:.1f}",
         f"{found[name]['ratio']:.2f}")
        for name, words in where.items()
    ]  # fmt: skip


def _trained(question: str, found: dict[str, float]) -> tuple[str, str, str, str]:
    return question, f"{found['bare']:,.0f}", f"{found['ours']:,.0f}", f"{found['ratio']:.3f}"
