"""Run the fault campaign, and print what was tried, lost, duplicated, wrong and unclear.

python -m benchmarks.faults [--kills 200] [--lines 500] [--seed 0] [--json FILE]
"""

import argparse
import json
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

BAD = ("lost", "duplicated", "wrong", "unclear")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # children are forked: no thread must be running


def campaign(kills: int, lines: int, seed: int, folder: Path) -> dict[str, Any]:
    """Attack, and return counts by attack, with a note of everything that did not hold."""
    import lightning  # noqa: F401  # children find everything imported
    import torch

    from benchmarks.faults import kills as attacks
    from benchmarks.faults.commands import random_command_lines

    torch.set_num_threads(1)
    draw = random.Random(seed)
    result: dict[str, Any] = {}
    plans: dict[str, Callable[[Path], Any]] = {
        "a run, before each change to a file": lambda place: attacks.every_file_operation(
            place, most=kills // 2
        ),
        "a run, at random moments": lambda place: attacks.random_moments(place, kills // 2, draw),
        "a sweep, at random moments": lambda place: attacks.random_moments(
            place, max(1, kills // 10), draw, attacks.SWEEP, "sweep_dir"
        ),
        "a pool, at random moments": lambda place: attacks.random_moments(
            place, max(1, kills // 40), draw, (*attacks.SWEEP, *attacks.POOL), "sweep_dir"
        ),
    }
    if kills:
        for number, (name, plan) in enumerate(plans.items()):
            print(name, flush=True)
            attack = plan(folder / f"attack_{number}")
            result[name] = {**attack.counts, "notes": attack.notes}
            print(f"  {dict(attack.counts)}", flush=True)
    if lines:
        print("random command lines", flush=True)
        counts, notes = random_command_lines(folder / "lines", lines, seed)
        result["random command lines"] = {**counts, "notes": notes}
        print(f"  {dict(counts)}", flush=True)
    return result


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the counts and notes")
    parser.add_argument("--keep", type=Path, help="directory that stays, for a look at what failed")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True)
        result = campaign(options.kills, options.lines, options.seed, options.keep.resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            result = campaign(options.kills, options.lines, options.seed, Path(folder).resolve())
    if options.json:
        options.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    bad = sum(part.get(kind, 0) for part in result.values() for kind in BAD)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
