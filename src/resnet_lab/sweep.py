"""Look at a sweep while it runs, end it, or run again what failed; from any shell.

    python -m resnet_lab.sweep status logs/sweeps/<sweep>
    python -m resnet_lab.sweep cancel logs/sweeps/<sweep>     jobs save a checkpoint and end
    python -m resnet_lab.sweep retry logs/sweeps/<sweep> hydra.launcher.timeout_min=240

`retry` shows the command that the sweep records and, once you agree, runs it in that directory:
jobs that are done are skipped, the others start or resume. Further words override its settings.
"""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.console import console, errors_in_one_line, set_up_logging, show
from resnet_lab.core.text import printable
from resnet_lab.reporting.terminal import print_table
from resnet_lab.sweeps.control import cancel, command_again, status
from resnet_lab.sweeps.record import is_sweep


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser("sweep", __doc__)
    parser.add_argument("action", choices=("status", "cancel", "retry"))
    parser.add_argument("sweep", help="directory of a sweep")
    parser.add_argument("overrides", nargs="*", help="of retry: settings to change")
    parser.add_argument("--yes", action="store_true", help="of retry: run without asking")
    options = parser.parse_args(arguments)
    set_up_logging()
    with errors_in_one_line():
        directory = Path(options.sweep)
        if not is_sweep(directory):
            raise ValueError(f"{options.sweep} is no sweep; sweeps are in logs/sweeps")
        if options.overrides and options.action != "retry":
            raise ValueError(f"{options.overrides[0]}: {options.action} takes no overrides")
        if options.action == "retry":
            _retry(directory, options.overrides, agreed=options.yes)
        if options.action == "cancel":
            cancel(directory)
        _show(directory)


def _show(directory: Path) -> None:
    state, jobs = status(directory)
    rows = [
        [
            printable(name),
            state,
            str(job.status.get("epochs", "")),
            "" if job.value is None else f"{job.monitor} {job.value:.4f}",
            "" if job.seconds is None else f"{job.seconds:.0f} s",
            job.error or "",
        ]
        for name, state, job in jobs
    ]
    columns = ["job", "state", "epochs", "best", "time", "error"]
    print_table(columns, rows, words=("job", "state", "error"))
    counts = Counter(state for _, state, _ in jobs)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    show(Text(f"{printable(directory.name)} is {printable(state)}; {len(jobs)} jobs: {told}"))


def _retry(directory: Path, overrides: Sequence[str], *, agreed: bool) -> None:
    """Replace this process by the command of a sweep.

    A sweep may come from elsewhere, and its command may name any class: a person has to agree.
    """
    words = ["-m", "resnet_lab.train", *command_again(directory, overrides)]
    show(Text(f"python {shlex.join(words)}"))
    if not agreed:
        if not sys.stdin.isatty():
            raise ValueError("retry: nobody is here to agree to that command; add --yes")
        if console().input("run it? [y/N] ").strip().lower() not in ("y", "yes"):
            return
    sys.stdout.flush()  # what it holds would be lost
    os.execv(sys.executable, [sys.executable, *words])


if __name__ == "__main__":
    main()
