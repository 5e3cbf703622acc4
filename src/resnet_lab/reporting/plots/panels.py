"""Curves of training and validation side by side, one panel for each value of a key."""

from matplotlib.lines import Line2D

from resnet_lab.reporting.board import Group, Leaderboard
from resnet_lab.reporting.plots.curves import (
    COLOURS,
    SPLITS,
    finish_curves,
    in_legend,
    look,
    new_figure,
    read_curves,
)
from resnet_lab.reporting.plots.drawing import Plot, ordered, shortened

PANELS = 3  # the most that fit beside each other
LINES = len(COLOURS)  # that one panel can hold apart


def side_by_side(board: Leaderboard, key: str, other: str) -> Plot | None:
    """Draw training error (dashed) and validation error (solid) against the epoch.

    As He et al. 2015 show that deeper plain networks train worse and deeper residual ones do not
    (figure 6): a panel for each value of `key`, in it a colour for each value of `other`.

    Args:
        board: the leaderboard.
        key: of few values.
        other: the other one.
    """
    values, others = ordered(board, key), ordered(board, other)
    if not 2 <= len(values) <= PANELS or len(others) > LINES:
        return None
    groups = {(group.settings[key], group.settings[other]): group for group in board.ranked}
    curves = {
        (place, split): _mean_error(group, split)
        for place, group in groups.items()
        for split in SPLITS
    }
    if sum(len(epochs) > 1 for epochs, _ in curves.values()) < 2 * len(values):
        return None
    figure = new_figure(3.7 * len(values), 4.1)
    for axes, value in zip(figure.subplots(1, len(values), sharey=True), values, strict=True):
        for number, entry in enumerate(others):
            for split, style in SPLITS.items():
                epochs, errors = curves.get(((value, entry), split), ([], []))
                if not epochs:
                    continue
                # Markers would hide the dashes; the colours keep their order in the legend.
                line = {**style, "color": look(number)["color"], "linewidth": 1.5}
                line.pop("markerfacecolor", None)
                axes.plot(epochs, errors, **line)
        axes.set_title(f"{key.split('.')[-1]} = {shortened(value)}", fontsize=10)
        finish_curves(axes, "error (%)" if value == values[0] else "")
    name = other.split(".")[-1]
    handles = [
        Line2D([], [], color=look(number)["color"], label=in_legend(f"{name} {shortened(entry)}"))
        for number, entry in enumerate(others)
    ]
    kinds = [
        Line2D([], [], color="0.3", linestyle=SPLITS[split]["linestyle"], label=label)
        for split, label in (("train", "training"), ("val", "validation"))
    ]
    figure.legend(
        handles=[*handles, *kinds], loc="outside lower center", ncols=4,
        frameon=False,
    )  # fmt: skip
    caption = (
        "Error against the epoch, on a logarithmic scale, the mean over seeds: training dashed, "
        "validation solid."
    )
    return Plot("Training and validation", caption, figure)


def _mean_error(group: Group, split: str) -> tuple[list[int], list[float]]:
    """Return the error of each epoch in percent, the mean over the seeds."""
    by_epoch: dict[int, list[float]] = {}
    for job in group.ranked:
        try:
            curve = read_curves(job.directory / "metrics.csv").get(f"{split}/acc", ([], []))
        except ValueError:  # none, or none yet
            continue
        for epoch, value in zip(*curve, strict=True):
            by_epoch.setdefault(epoch, []).append(100 * (1 - value))
    epochs = sorted(by_epoch)
    return epochs, [sum(by_epoch[epoch]) / len(by_epoch[epoch]) for epoch in epochs]
