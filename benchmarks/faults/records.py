"""Compare the records of a disturbed run with those of an undisturbed one."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

# Entries of a status that must be equal in both.
SAME = ("state", "best", "test", "epochs", "steps", "metrics")


def differences(run: Path, undisturbed: Path) -> dict[str, str]:
    """Return what is lost, duplicated or wrong in a run directory.

    Returns:
        By kind ("lost", "duplicated", "wrong"), what was found first; empty if all is well.
    """
    found: dict[str, str] = {}
    if leftovers := [str(path.name) for path in run.rglob("*.part")]:
        found["wrong"] = f"left behind: {leftovers}"
    ours, theirs = (json.loads((place / "status.json").read_text()) for place in (run, undisturbed))
    for key in SAME:
        if ours.get(key) != theirs.get(key):
            found["wrong"] = f"status {key}: {ours.get(key)} instead of {theirs.get(key)}"
    _compare("checkpoint", _weights(run), _weights(undisturbed), found)
    _compare("metrics.csv", _rows(run), _rows(undisturbed), found)
    _compare("events", _events(run), _events(undisturbed), found)
    return found


def _compare(what: str, ours: Counter[Any], theirs: Counter[Any], found: dict[str, str]) -> None:
    """Compare two multisets of (place, value)."""
    if missing := theirs - ours:
        kind = "wrong" if {key[0] for key in missing} <= {key[0] for key in ours} else "lost"
        found.setdefault(kind, f"{what}: {len(missing)} missing, such as {next(iter(missing))}")
    if more := ours - theirs:
        kind = "duplicated" if set(more) <= set(theirs) else "wrong"
        found.setdefault(kind, f"{what}: {len(more)} more, such as {next(iter(more))}")


def _weights(run: Path) -> Counter[Any]:
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    weights = state["state_dict"].items()
    return Counter((name, tensor.numpy().tobytes()) for name, tensor in weights)


def _rows(run: Path) -> Counter[Any]:
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return Counter(
        ((row["step"], name), value)
        for row in rows
        for name, value in row.items()
        if name != "step" and value
    )


def _events(run: Path) -> Counter[Any]:
    read = EventAccumulator(str(run), size_guidance={SCALARS: 0}).Reload()
    return Counter(
        ((tag, event.step), event.value)
        for tag in read.Tags()["scalars"]
        if not tag.startswith("progress/")  # seconds, which no two runs have in common
        for event in read.Scalars(tag)
    )
