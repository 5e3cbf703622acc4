"""Reproduce a famous finding about residual networks, and judge it against the paper.

    python -m resnet_lab.reproduce                                  # the list
    python -m resnet_lab.reproduce lesion logs/runs/<run> [<run>...]
    python -m resnet_lab.reproduce calibration --weights akamaster_resnet56
    python -m resnet_lab.reproduce signal model=preact_resnet164
    python -m resnet_lab.reproduce norm_free logs/sweeps/<sweep>
    python -m resnet_lab.reproduce findings/lesion.json             # judge and draw it again

Runs, published weights (a name, or a file with the overrides of its network) and untrained networks
(overrides alone) may be given together. Writes <finding>.json, .html and .png into the folder
`findings` of the first run, or of --out.
"""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.configuration.config import check_integer
from resnet_lab.core.console import console, progress_line, running_command, say
from resnet_lab.findings.finding import NAMES, REPRODUCED, Finding, Options, stated
from resnet_lab.findings.report import COLUMNS, reproduce, rows, write_result
from resnet_lab.findings.subjects import Subject, SweepSubject
from resnet_lab.sweeps.resolvers import composed


def finding_of(name: str) -> Finding:
    """Return the module of a finding."""
    if name not in NAMES:
        raise ValueError(f"{name}: no such finding; there are {', '.join(NAMES)}")
    module: Finding = importlib.import_module(f"resnet_lab.findings.{name}")
    return module


def subjects_of(
    networks: Sequence[str],
    weights: Sequence[str] = (),
    split: str | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    *,
    untrained: bool,
    trust: bool = False,
) -> list[Subject]:
    """Return the networks of runs, of weights and of overrides, in this order."""
    from resnet_lab.training.weights.published import find

    runs = [item for item in networks if _is_run(item)]
    overrides = [item for item in networks if not _is_run(item)]
    found = [Subject.of_run(run, split, data_dir, trust=trust) for run in runs]
    place = [f"data_dir='{data_dir}'"] if data_dir else []
    lists = [overrides] if overrides and (untrained or not weights) else []
    for each in weights:
        known = find(each)
        # Overrides are then of the untrained network.
        others = [] if known and untrained else overrides
        lists.append([*(known.overrides if known else ()), *others, f"model.weights='{each}'"])
    configs = [composed([*items, *place]) for items in lists]
    found += [Subject.of_config(config, split, seed) for config in configs]
    names = [subject.name for subject in found]
    for number, subject in enumerate(found):
        if names.count(subject.name) > 1:
            subject.name = f"{subject.name} #{number + 1}"
    return found


def _is_run(item: str) -> bool:
    """Whether an argument is a run, and no override; directories of sweeps have `=` in them."""
    return "=" not in item or Path(item).is_dir()


def show_list() -> None:
    """Print the findings, their papers, needs and minutes."""
    from rich.table import Table

    table = Table("finding", "paper", "needs", "minutes")
    for name in NAMES:
        finding = finding_of(name)
        table.add_row(name, finding.PAPER, finding.NEEDS, finding.MINUTES)
    console().print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser("reproduce", __doc__, "--data-dir", "--trust")
    parser.add_argument("finding", nargs="?", help="one of the list, or its JSON")
    parser.add_argument("networks", nargs="*", help="run directories, and overrides (KEY=VALUE)")
    parser.add_argument("--weights", action="append", default=[], help="may be given repeatedly")
    parser.add_argument(
        "--split", choices=("val", "test"), help="default: val for runs, test for published weights"
    )
    parser.add_argument("--images", type=int, help="how many (default: what the finding takes)")
    parser.add_argument("--draws", type=int, default=10, help="of each random choice (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="directory for the folder `findings` (default: the run's)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--strict", action="store_true", help="exit code 1 unless reproduced")
    options = parser.parse_intermixed_args(arguments)
    with running_command():
        if options.finding is None:
            show_list()
            return
        if options.finding.endswith(".json"):
            path = Path(options.finding)
            result = json.loads(path.read_text())
            finding = finding_of(result["finding"])
            _show(finding, result, write_result(result, finding, path.parent.parent))
            return
        finding = finding_of(options.finding)
        check_integer("--draws", options.draws, 2)
        if options.images is not None:
            check_integer("--images", options.images, 2)
        subjects: Sequence[Subject | SweepSubject]
        if finding.OF_SWEEPS:
            subjects = [SweepSubject(sweep) for sweep in options.networks]
        else:
            subjects = subjects_of(
                options.networks, options.weights, options.split, options.seed, options.data_dir,
                untrained=finding.UNTRAINED, trust=options.trust,
            )  # fmt: skip
        enough = finding.UNTRAINED or any(subject.trained for subject in subjects)
        if finding.NEEDS != "nothing" and not (subjects and enough):
            way = "" if finding.OF_SWEEPS else ": give a run, or --weights"
            raise ValueError(f"{options.finding} needs {finding.NEEDS}{way}")
        with progress_line() as tell:
            chosen = Options(options.images, options.draws, options.seed, tell)
            result = reproduce(options.finding, finding, subjects, chosen)
        runs = [item for item in options.networks if _is_run(item)]
        out = Path(runs[0]) if runs else Path()
        page = write_result(result, finding, Path(options.out) if options.out else out)
        if options.json:
            print(json.dumps(result, indent=2))
        else:
            _show(finding, result, page)
        if options.strict and result["verdict"] != REPRODUCED:
            raise SystemExit(1)


def _show(finding: Finding, result: dict, page: Path) -> None:  # type: ignore[type-arg]
    from rich.table import Table

    table = Table(*COLUMNS)
    for row in rows(finding.judge(result["measured"])):
        table.add_row(*row)
    console().print(table)
    said = stated(finding.judge(result["measured"]))
    say(f"verdict: {said[0].lower()}{said[1:]}")
    say(f"written: {page}")


if __name__ == "__main__":
    main()
