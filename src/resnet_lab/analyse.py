"""Analyse a run: what it gets right and wrong, how sure it is, where it looks, what it costs.

    python -m resnet_lab.analyse logs/runs/<run> [--split val] [--checkpoint best]

Writes analysis.html (one file), analysis.json and the folder analysis/ (figures as PNG and SVG, the
predictions as CSV) into the run's directory.
"""

from collections.abc import Sequence

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.console import console, progress_line, running_command, say
from resnet_lab.runs.trained.run import Run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    shared = ("run", "--split", "--checkpoint", "--data-dir", "--trust")
    parser = command_parser("analyse", __doc__, *shared)
    parser.add_argument("--out", help="directory for the files (default: the run's)")
    options = parser.parse_args(arguments)
    with running_command():
        run = Run.load(options.run, trust=options.trust)
        from resnet_lab.reporting.analysis.page import analyse_and_write

        with progress_line() as tell:
            answer, page = analyse_and_write(
                run, options.split, options.checkpoint, options.data_dir, options.out, tell
            )
        console().print(answer, markup=False, highlight=False)
        say(f"written: {page}")


if __name__ == "__main__":
    main()
