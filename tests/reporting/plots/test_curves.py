import csv
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from resnet_lab.reporting.plots.curves import learning_curves, read_curves


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    """A metrics.csv as a run writes it, in the middle of its third epoch."""
    path = tmp_path / "metrics.csv"
    rows = []
    for epoch in range(2):
        step = 10 * (epoch + 1) - 1
        rows.append({"epoch": epoch, "step": step - 5, "train/loss_step": 2.0, "lr": 0.1})
        rows.append(
            {"epoch": epoch, "step": step, "val/loss": 1.5 - epoch, "val/acc": 0.6 + epoch / 10}
        )
        rows.append(
            {"epoch": epoch, "step": step, "train/loss": 2.0 - epoch, "train/acc": 0.5 + epoch / 10}
        )
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
        file.write("2,,25,,,1.")  # half a line
    return path


def test_curves_are_read_by_epoch_and_half_lines_are_left_out(curves: Path) -> None:
    assert read_curves(curves) == {
        "val/loss": ([1, 2], [1.5, 0.5]),
        "val/acc": ([1, 2], [0.6, 0.7]),
        "train/loss": ([1, 2], [2.0, 1.0]),
        "train/acc": ([1, 2], [0.5, 0.6]),
    }


def test_learning_curves_draw_what_was_logged(curves: Path) -> None:
    loss, error = learning_curves({"run": curves}).axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "cross-entropy (nats)")
    assert error.get_ylabel() == "error (%)"
    drawn = [(line.get_xdata(), line.get_ydata()) for line in error.lines]
    assert [list(xs) for xs, _ in drawn] == [[1, 2], [1, 2]]
    assert [list(map(round, ys)) for _, ys in drawn] == [[50, 40], [40, 30]]
    assert len({(line.get_color(), line.get_linestyle()) for line in loss.lines}) == 2


def test_learning_curves_of_error_0_do_not_warn(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,val/loss,val/acc\n0,9,0.1,1.0\n1,19,0.1,1.0\n"
    )
    learning_curves({"run": tmp_path / "metrics.csv"}).savefig(tmp_path / "curves.png")


def test_learning_curves_differ_in_colour_and_marker(curves: Path) -> None:
    loss = learning_curves({"a": curves, "b": curves}).axes[0]
    looks = [(line.get_color(), line.get_marker()) for line in loss.lines]
    assert len(looks) == 4
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == 2


@pytest.mark.parametrize("text", ["", "epoch,step,lr\n0,1,0.1\n"])
def test_a_file_without_curves_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(ValueError, match="holds no curves"):
        learning_curves({"run": tmp_path / "metrics.csv"})


def test_missing_files_and_missing_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.csv: cannot be read"):
        learning_curves({"run": tmp_path / "none.csv"})
    with pytest.raises(ValueError, match="no runs"):
        learning_curves({})


def test_figures_can_be_saved_without_a_display(curves: Path, tmp_path: Path) -> None:
    figure = learning_curves({"run": curves})
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000
