"""Compare runs: configurations, curves, metrics, and what each says of the same images.

    python -m resnet_lab.compare logs/runs/<run> logs/runs/<other> ... [--out both] [--json]

Each run is compared with the first one. Prints tables and writes compare.html, one file, into the
last run's directory or where --out says. "Newly right" are images that the first run has wrong and
the other right.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.console import running_command, say
from resnet_lab.core.files import write
from resnet_lab.reporting.comparing.comparison import compare, page, show_comparison
from resnet_lab.runs.trained.run import Run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser("compare", __doc__, "--split", "--data-dir", "--trust")
    parser.add_argument("run", nargs="+", help="run directory; the first is compared with")
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), help="(default: the one that each run tested)"
    )
    parser.add_argument("--out", help="directory for compare.html (default: the last run's)")
    parser.add_argument("--json", action="store_true", help="print JSON, write nothing")
    options = parser.parse_args(arguments)
    with running_command():
        if len(options.run) < 2:
            raise ValueError(f"{options.run[0]}: name another run to compare it with")
        runs = [Run.load(directory, trust=options.trust) for directory in options.run]
        comparison = compare(runs, options.split, options.checkpoint, options.data_dir)
        if options.json:
            print(json.dumps(comparison.result(), indent=2))
            return
        show_comparison(comparison)
        path = Path(options.out or runs[-1].directory) / "compare.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, page(comparison))
        say(f"written: {path}")


if __name__ == "__main__":
    main()
