"""Analyse a run: what it gets right and wrong, how sure it is, where it looks, what it costs.

    python -m resnet_lab.analyse logs/runs/<run> [--split val] [--checkpoint best]

Writes analysis.html (one file), analysis.json and the folder analysis/ (figures as PNG and SVG, the
predictions as CSV) into the run's directory.
"""

import sys
from collections.abc import Sequence

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.configuration.trust import TRUST
from resnet_lab.core.console import console, errors_in_one_line, set_up_logging
from resnet_lab.core.overhead import reduced_overhead
from resnet_lab.core.text import printable
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.resolvers import register_resolvers


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser("analyse", __doc__)
    parser.add_argument("run", help="run directory")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument(
        "--checkpoint", help="best, last or a path (default: the one that the run tested)"
    )
    parser.add_argument("--data-dir", help="where the data lies now")
    parser.add_argument("--trust", action="store_true", help=TRUST)
    parser.add_argument("--out", help="directory for the files (default: the run's)")
    options = parser.parse_args(arguments)
    register_resolvers()
    set_up_logging()
    with reduced_overhead(), errors_in_one_line():
        run = Run.load(options.run, trust=options.trust)
        from rich.console import Console

        from resnet_lab.reporting.analysis.page import analyse_and_write

        # Of a terminal alone: a status bar has no place in a file.
        with Console(file=sys.stderr).status("starting") as status:
            answer, page = analyse_and_write(
                run, options.split, options.checkpoint, options.data_dir, options.out, status.update
            )
        console().print(answer, markup=False, highlight=False)
        console().print(
            f"written: {printable(page)}", markup=False, highlight=False, soft_wrap=True
        )


if __name__ == "__main__":
    main()
