"""Report a sweep: which setting won, by how much, how sure that is, and what failed.

    python -m resnet_lab.report logs/sweeps/<sweep>
    python -m resnet_lab.report logs/sweeps/<sweep> logs/sweeps/<other> --out both
    python -m resnet_lab.report logs/runs

Prints the leaderboard and writes report.html (one file, with the plots), report.md, report.csv (one
row a setting), runs.csv (one row a job) and checklist.md into the sweep's directory.
"""

from collections.abc import Sequence

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.console import running_command
from resnet_lab.reporting.report import report, show_files, show_report, write_report


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser("report", __doc__)
    parser.add_argument("sweep", nargs="+", help="directory of a sweep or of runs")
    parser.add_argument("--out", help="directory for the pages (default: the sweep's own)")
    parser.add_argument("--monitor", help="the metric that ranks (default: the one of most jobs)")
    parser.add_argument("--no-plots", action="store_true", help="pages without plots, at once")
    parser.add_argument("--no-pages", action="store_true", help="print only, write nothing")
    options = parser.parse_args(arguments)
    with running_command():
        result = report(options.sweep, monitor=options.monitor, write=False)
        show_report(result)
        if not options.no_pages:
            show_files(write_report(result, options.out, plots=not options.no_plots))
        if not result.leaderboard.ranked:
            states = ", ".join(f"{count} {state}" for state, count in result.results.states.items())
            raise ValueError(f"no job has finished with a result yet ({states}): nothing to rank")


if __name__ == "__main__":
    main()
