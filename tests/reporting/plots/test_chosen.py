import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from resnet_lab.reporting.plots.chosen import chosen_plots
from resnet_lab.reporting.plots.drawing import Plot, is_logarithmic, robust_limits
from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import read_results
from tests.reporting.fakes import fake_job, fake_sweep

CURVE = [0.5, 0.8, 0.9]


def drawn(directory: Path, *, search: bool = False) -> dict[str, Plot]:
    """Choose the plots of a sweep; each must also be drawn without a warning."""
    board = rank(read_results([directory]))
    plots = chosen_plots(board, board.jobs if search else ())
    for plot in plots:
        plot.figure.savefig(io.BytesIO())
        assert plot.caption.endswith(".")
        for axes in plot.figure.axes:
            assert axes.get_xlabel() or axes.get_ylabel() or not axes.get_frame_on()
    return {plot.title: plot for plot in plots}


def points(figure: Figure) -> list[tuple[list[float], list[float]]]:
    lines = figure.axes[0].lines
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def grid(*keys: str) -> list[tuple[str, ...]]:
    """Return the overrides of each job of a grid: `grid("a=1,2", "b=3")`."""
    sides = [
        [f"{key.split('=')[0]}={value}" for value in key.split("=")[1].split(",")] for key in keys
    ]
    return list(itertools.product(*sides))


def test_group_curves_are_means_with_the_range_over_seeds(tmp_path: Path) -> None:
    for seed, curve in enumerate(([0.5, 0.9], [0.7, 0.8])):
        fake_job(tmp_path, "model=a", f"seed={seed}", curve=curve)
    fake_job(tmp_path, "model=b", "seed=0", value=0.1, curve=[0.1, 0.1])
    plot = drawn(tmp_path)["Learning curves"]
    (axes,) = plot.figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "validation error (%)")
    assert axes.get_yscale() == "log"
    curves = [(xs, np.round(ys, 6).tolist()) for xs, ys in points(plot.figure)]
    assert ([1, 2], [40.0, 15.0]) in curves
    assert ([1, 2], [90.0, 90.0]) in curves
    (band,) = axes.collections
    edges = band.get_paths()[0].vertices
    assert set(np.round(edges[edges[:, 0] == 2, 1], 6)) == {10.0, 20.0}
    assert "the band from the lowest to the highest" in plot.caption
    names = [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert names == ["model=a", "model=b"]


def test_group_curves_colour_the_best_and_grey_the_rest(tmp_path: Path) -> None:
    for number in range(11):
        fake_job(tmp_path, f"model=m{number}", "seed=0", value=number / 20, curve=CURVE)
    plot = drawn(tmp_path)["Learning curves"]
    colours = [line.get_color() for line in plot.figure.axes[0].lines]
    assert colours.count("#bfbfbf") == 4
    assert "The best 7 have a colour, 4 more are grey." in plot.caption
    assert len(set(colours)) == 8


def test_a_job_without_curves_does_not_break_the_others(tmp_path: Path) -> None:
    fake_job(tmp_path, "model=a", "seed=0", curve=CURVE)
    fake_job(tmp_path, "model=a", "seed=1")
    broken = fake_job(tmp_path, "model=b", "seed=0", curve=CURVE)
    (broken / "metrics.csv").write_text("epoch,step,val/acc\nx,y,z,1\n")
    assert len(points(drawn(tmp_path)["Learning curves"].figure)) == 1


def test_group_curves_are_grey_for_jobs_without_a_result(tmp_path: Path) -> None:
    fake_job(tmp_path, "model=a", "seed=0", curve=CURVE)
    fake_job(tmp_path, "model=b", "seed=0", state="pruned", curve=CURVE[:2])
    plot = drawn(tmp_path)["Learning curves"]
    assert [len(xs) for xs, _ in points(plot.figure)] == [2, 3]
    assert plot.figure.axes[0].lines[0].get_color() == "#bfbfbf"


def test_group_curves_are_drawn_before_the_first_result(tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0", state="running", curve=CURVE)
    assert list(drawn(tmp_path)) == ["Learning curves"]


def test_plots_that_would_show_nothing_are_left_out(tmp_path: Path) -> None:
    fake_job(tmp_path / "failed", "seed=0", state="failed", value=None)
    fake_job(tmp_path / "epoch", "seed=0", curve=[0.5])
    assert drawn(tmp_path / "failed") == drawn(tmp_path / "epoch") == {}


def test_against_number_has_a_logarithmic_axis_for_a_logarithmic_range(tmp_path: Path) -> None:
    values = {("optimizer.lr=0.1",): [0.9, 0.8], ("optimizer.lr=0.001",): [0.7, 0.7]}
    fake_sweep(tmp_path, {**values, ("optimizer.lr=0.01",): [0.6, 0.5]})
    plot = drawn(tmp_path)["Validation accuracy against optimizer.lr"]
    (axes,) = plot.figure.axes
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "optimizer.lr")
    assert axes.get_ylabel() == "best validation accuracy (%)"
    line = points(plot.figure)[-1]
    assert line == ([0.001, 0.01, 0.1], [pytest.approx(70), pytest.approx(55), pytest.approx(85)])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.001", "0.01", "0.1"]


def test_against_number_does_not_join_many_single_seeds(tmp_path: Path) -> None:
    for number in range(20):
        fake_job(tmp_path, f"optimizer.lr={0.01 * (number + 1)}", "seed=0", value=number / 20)
    plot = drawn(tmp_path)["Validation accuracy against optimizer.lr"]
    assert {line.get_linestyle() for line in plot.figure.axes[0].lines} == {"None"}


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [
        ([0.001, 0.01, 0.1], True),
        ([32, 64, 128, 256], True),
        ([20, 32, 44, 56, 110], False),
        (np.linspace(0.003, 0.2, 40), False),
        ([0, 0.001, 1], False),
        ([3, 3, 3], False),
    ],
)
def test_is_logarithmic_looks_at_the_spread_of_the_values(values, logarithmic: bool) -> None:
    assert is_logarithmic(values) is logarithmic


def test_a_category_has_a_row_of_seeds_for_each_value(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model.shortcut=A",): [0.9, 0.8, 0.7], ("model.shortcut=B",): [0.95]})
    plot = drawn(tmp_path)["Validation accuracy by model.shortcut"]
    (axes,) = plot.figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["B", "A"]
    assert "95 % interval" in plot.caption
    low, high = axes.get_xlim()
    assert 65 < low < 70 < 95 < high < 100  # the interval reaches further


def test_two_numbers_make_a_heat_map(tmp_path: Path) -> None:
    jobs = grid("model.depth=8,20", "optimizer.lr=0.1,0.01,0.001")
    fake_sweep(tmp_path, {job: [0.5 + place / 20] for place, job in enumerate(jobs)})
    plot = drawn(tmp_path)["Validation accuracy by model.depth and optimizer.lr"]
    axes = plot.figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["8", "20"]
    assert [text.get_text() for text in axes.texts] == [
        "60.0",
        "55.0",
        "50.0",
        "75.0",
        "70.0",
        "65.0",
    ]
    assert "the stronger the colour, the better" in plot.caption


def test_heat_map_leaves_cells_without_a_result_empty(tmp_path: Path) -> None:
    jobs = grid("model=a,b", "model.shortcut=A,B")
    fake_sweep(tmp_path, {job: [0.5, 0.6] for job in jobs[:3]})
    fake_job(tmp_path, *jobs[3], "seed=0", state="failed", value=None)
    plot = drawn(tmp_path)["Validation accuracy by model and model.shortcut"]
    assert len(plot.figure.axes[0].texts) == 3
    assert "An empty cell has no result." in plot.caption


def test_a_number_and_a_category_make_lines_and_a_heat_map(tmp_path: Path) -> None:
    jobs = grid("model.residual=true,false", "model.depth=8,14,20")
    fake_sweep(tmp_path, {job: [0.5 + place / 20] for place, job in enumerate(jobs)})
    plots = drawn(tmp_path)
    lines = plots["Validation accuracy against model.depth and model.residual"].figure
    assert [text.get_text() for text in lines.legends[0].get_texts()] == ["false", "true"]
    assert "Validation accuracy by model.residual and model.depth" in plots


def test_scattered_numbers_make_a_landscape(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for number in range(12):
        overrides = (
            f"optimizer.lr={10 ** draw.uniform(-4, 0)}",
            f"task.smoothing={draw.uniform()}",
        )
        fake_job(tmp_path, *overrides, "seed=0", value=number / 20)
    plot = drawn(tmp_path)["Validation accuracy over optimizer.lr and task.smoothing"]
    assert plot.figure.axes[0].get_xscale() == "log"
    assert plot.figure.axes[0].get_yscale() == "linear"


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """A search of 24 jobs in which the learning rate decides and nothing else does."""
    draw = np.random.default_rng(0)
    for _ in range(24):
        lr, decay = 10 ** draw.uniform(-3, 0), draw.uniform(0, 0.2)
        fake_job(
            tmp_path, f"optimizer.lr={lr}", f"optimizer.weight_decay={decay}",
            f"optimizer={draw.choice(['sgd', 'adamw'])}", "seed=0", value=0.9 + np.log10(lr) / 10,
        )  # fmt: skip
    return tmp_path


def test_a_search_has_parallel_coordinates_and_importance(search: Path) -> None:
    plots = drawn(search, search=True)
    (axes, _) = plots["All settings, by parameter"].figure.axes
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == ["lr", "weight_decay", "optimizer", "val/acc"]
    bars = plots["Importance of the parameters"].figure.axes[0]
    assert [text.get_text() for text in bars.get_yticklabels()][-1] == "optimizer.lr"
    assert bars.get_xlabel() == "drop of R² when the parameter is shuffled"
    assert (
        "Permutation importance in a random forest" in plots["Importance of the parameters"].caption
    )


def test_importance_is_left_out_where_nothing_is_learned(search: Path) -> None:
    draw = np.random.default_rng(1)
    for path in search.iterdir():
        text = (path / "status.json").read_text()
        value = text.partition('"value": ')[2].partition(",")[0]
        (path / "status.json").write_text(text.replace(value, str(draw.uniform())))
    assert "Importance of the parameters" not in drawn(search, search=True)


def test_a_search_of_few_jobs_has_no_importance(tmp_path: Path) -> None:
    jobs = grid("model.depth=8,20", "optimizer.lr=0.1,0.01", "model=a,b")
    fake_sweep(tmp_path, {job: [0.5] for job in jobs})
    assert [title for title in drawn(tmp_path, search=True) if "Trials" not in title] == ["Search"]


def test_tradeoff_names_the_pareto_front(tmp_path: Path) -> None:
    for depth, seconds, value in ((8, 60, 0.8), (14, 100, 0.7), (20, 200, 0.9), (26, 300, 0.85)):
        fake_job(tmp_path, f"model.depth={depth}", "seed=0", value=value, seconds=seconds)
    plot = drawn(tmp_path)["Time against validation accuracy"]
    (axes,) = plot.figure.axes
    assert axes.get_xlabel() == "time of training, mean over seeds (min)"
    assert legend(plot.figure) == ["depth=8", "depth=20"]
    assert points(plot.figure)[-2:] == [([1.0], [80.0]), ([pytest.approx(200 / 60)], [90.0])]


@pytest.mark.parametrize(
    ("seconds", "devices"),
    [
        ((100, 101, 102), ("a", "a", "a")),  # no choice
        ((100, 200, 300), ("a", "a", "b")),  # no comparison
        ((300, 200, 100), ("a", "a", "a")),  # the best is the fastest too
    ],
)
def test_tradeoff_is_left_out_without_a_choice(
    seconds: tuple[int, ...], devices: tuple[str, ...], tmp_path: Path
) -> None:
    for place, (time, device) in enumerate(zip(seconds, devices, strict=True)):
        fake_job(
            tmp_path, f"model.depth={place}", "seed=0", value=0.8 + place / 20, seconds=time,
            device=device,
        )  # fmt: skip
    assert not any(title.startswith("Time") for title in drawn(tmp_path))


def test_plots_call_long_names_by_rank(tmp_path: Path) -> None:
    for place in range(3):
        fake_job(
            tmp_path, f"model=a_model_with_a_rather_long_name_{place}", "seed=0",
            value=0.5 + place / 10, seconds=100 * (place + 1), curve=CURVE,
        )  # fmt: skip
    plots = drawn(tmp_path)
    assert legend(plots["Learning curves"].figure) == ["rank 1", "rank 2", "rank 3"]
    assert legend(plots["Time against validation accuracy"].figure) == [
        "rank 3",
        "rank 2",
        "rank 1",
    ]


def test_side_by_side_has_a_panel_for_each_value(tmp_path: Path) -> None:
    jobs = grid("model.residual=true,false", "model.depth=8,14,20")
    values = {job: [0.5 + place / 20] for place, job in enumerate(jobs)}
    fake_sweep(tmp_path, values, curve=(0.3, 0.4, 0.5))
    figure = drawn(tmp_path)["Training and validation"].figure
    assert [axes.get_title() for axes in figure.axes] == ["residual = false", "residual = true"]
    for axes in figure.axes:
        assert sum(len(line.get_xdata()) == 3 for line in axes.lines) >= 3


def test_tradeoff_leaves_out_settings_with_diverged_jobs(tmp_path: Path) -> None:
    for depth, seconds, value in ((8, 60, 0.8), (14, 100, 0.85), (20, 200, 0.9), (26, 300, 0.99)):
        fake_job(tmp_path, f"model.depth={depth}", "seed=0", value=value, seconds=seconds)
    lost = "val/loss is nan: the training diverged"
    fake_job(tmp_path, "model.depth=26", "seed=1", state="failed", value=None, error=lost)
    plots = drawn(tmp_path)
    names = legend(plots["Time against validation accuracy"].figure)
    assert names == ["depth=8", "depth=14", "depth=20"]
    assert "*: jobs diverged" in plots["Validation accuracy against model.depth"].caption


def test_plots_cut_off_an_outlier(tmp_path: Path) -> None:
    values = {0.001: 0.88, 0.003: 0.9, 0.01: 0.91, 0.03: 0.92, 0.1: 0.93, 0.3: 0.1}
    for lr, value in values.items():
        fake_job(tmp_path, f"optimizer.lr={lr}", "seed=0", value=value, seconds=60 + 100 * lr)
    plots = drawn(tmp_path)
    for title in ("Validation accuracy against optimizer.lr", "Time against validation accuracy"):
        axes = plots[title].figure.axes[0]
        low, high = axes.get_ylim()
        assert 80 < low < 88 < 93 < high
        assert "A triangle at the edge is a value beyond it." in plots[title].caption
        assert "10" in [text.get_text() for text in axes.texts]
        assert any(line.get_marker() == "v" and line.get_ydata()[0] == low for line in axes.lines)


def test_categories_and_colours_cut_off_an_outlier(tmp_path: Path) -> None:
    for place, model in enumerate("abcde"):
        value = 0.1 if model == "e" else 0.9 + place / 100
        fake_job(tmp_path / "words", f"model={model}", "seed=0", value=value)
        for lr in (0.1, 0.01):
            fake_job(tmp_path / "map", f"model={model}", f"optimizer.lr={lr}", "seed=0",
                     value=value if lr == 0.1 else 0.9 + place / 100)  # fmt: skip
    low, _ = drawn(tmp_path / "words")["Validation accuracy by model"].figure.axes[0].get_xlim()
    assert 85 < low < 90
    plot = drawn(tmp_path / "map")["Validation accuracy by optimizer.lr and model"]
    assert plot.figure.axes[0].collections[0].get_clim()[0] == pytest.approx(90)
    assert "Values beyond the ends of the colours" in plot.caption


def test_group_curves_cut_off_an_exploded_loss(tmp_path: Path) -> None:
    for place in range(5):
        curve = [2.3 * 0.9**epoch for epoch in range(10)]
        if place == 0:
            curve = [2.3 * 10.0**epoch for epoch in range(10)]
        fake_job(
            tmp_path, f"model=m{place}", "seed=0", value=curve[-1], monitor="val/loss", curve=curve
        )
    plot = drawn(tmp_path)["Learning curves"]
    assert plot.figure.axes[0].get_ylim()[1] < 1000
    assert "Curves that leave the picture reach 2.3e+09." in plot.caption


def test_robust_limits_keep_spread_values() -> None:
    assert robust_limits([10, 40, 70, 85, 90, 91, 92]) is None
    assert robust_limits([1, 2]) is robust_limits([]) is robust_limits([3, 3, 3, 9]) is None
    assert robust_limits([91, 90, 92, 10]) == (90, 92)


def test_heat_map_does_not_round_a_deviation_to_0(tmp_path: Path) -> None:
    jobs = grid("model=a,b", "model.shortcut=A,B")
    fake_sweep(tmp_path, {jobs[0]: [0.9, 0.9003], jobs[1]: [0.8], jobs[2]: [0.7, 0.7]})
    plot = drawn(tmp_path)["Validation accuracy by model and model.shortcut"]
    texts = [text.get_text() for text in plot.figure.axes[0].texts]
    assert texts == ["90.0\n± 0.02", "80.0", "70.0\n± 0"]
    assert "(none: one seed)" in plot.caption
