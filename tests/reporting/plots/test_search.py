"""The trials of a search in plots."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from resnet_lab.reporting.plots.chosen import chosen_plots
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import read_results
from tests.reporting.fakes import fake_job

VALUES = {0.003: 0.5, 0.1: 0.9, 0.01: 0.7, 0.3: 0.95}  # by learning rate, in the order of trials


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """A search of four finished trials, then one pruned and one failed."""
    jobs = [
        fake_job(tmp_path, f"optimizer.lr={lr}", "model=b" if lr < 0.05 else "model=a", value=value)
        for lr, value in VALUES.items()
    ]
    jobs.append(
        fake_job(tmp_path, "optimizer.lr=1", "model=a", state="pruned", value=0.3, epochs=2)
    )
    jobs.append(fake_job(tmp_path, "optimizer.lr=2", "model=b", state="failed", value=None))
    entries = [
        {
            "directory": job.name,
            "overrides": json.loads((job / "status.json").read_text())["overrides"],
        }
        for job in jobs
    ]
    (tmp_path / "sweep.json").write_text(json.dumps({"search": True, "jobs": entries}))
    return tmp_path


def drawn(directory: Path) -> dict[str, Plot]:
    results = read_results([directory])
    board = rank(results)
    plots = chosen_plots(board, results.trials(board.jobs))
    for plot in plots:
        plot.figure.savefig(io.BytesIO())
    return {plot.title: plot for plot in plots}


def points(figure: Figure, label: str) -> tuple[list[float], list[float]]:
    (axes,) = figure.axes
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return list(line.get_xdata()), np.round(line.get_ydata(), 6).tolist()


def test_the_best_so_far_rises_with_the_trials_that_are_done(search: Path) -> None:
    plot = drawn(search)["Search"]
    assert points(plot.figure, "done") == ([1, 2, 3, 4], [50, 90, 70, 95])
    assert points(plot.figure, "pruned") == ([5], [30])
    assert points(plot.figure, "failed")[0] == [6]
    assert points(plot.figure, "best so far") == ([1, 2, 4, 6], [50, 90, 95, 95])
    assert "An open triangle is a pruned trial, at its best value." in plot.caption
    assert "A cross at the edge failed." in plot.caption


def test_a_search_for_the_least_falls(search: Path) -> None:
    for path in [*search.glob("*/status.json"), *search.glob("*/config.yaml")]:
        path.write_text(path.read_text().replace("val/acc", "val/loss"))
    figure = drawn(search)["Search"].figure
    assert points(figure, "best so far") == ([1, 6], [0.5, 0.5])
    assert points(figure, "failed")[1] == [0.98]  # at the edge of the worse values


def test_each_parameter_has_a_scatter_of_all_trials(search: Path) -> None:
    plots = drawn(search)
    assert list(plots)[:3] == ["Search", "Trials by optimizer.lr", "Trials by model"]
    number = plots["Trials by optimizer.lr"].figure
    assert number.axes[0].get_xscale() == "log"
    assert points(number, "done")[0] == list(VALUES)
    assert points(number, "pruned") == ([1], [30])
    (ring,) = [line for line in number.axes[0].lines if line.get_markersize() == 13]
    assert (ring.get_xdata(), np.round(ring.get_ydata())) == ([0.3], [95])
    word = plots["Trials by model"].figure
    assert [text.get_text() for text in word.axes[0].get_xticklabels()] == ["a", "b"]
    assert np.round(points(word, "done")[0]).tolist() == [1, 0, 1, 0]
    assert len(set(points(word, "done")[0])) == 4  # beside each other


def test_a_grid_has_no_trials(search: Path) -> None:
    record = json.loads((search / "sweep.json").read_text())
    (search / "sweep.json").write_text(json.dumps({"jobs": record["jobs"]}))
    assert "Search" not in drawn(search)
