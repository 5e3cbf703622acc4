"""Runs compared: the tables, the test, the page, and what cannot be compared."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from resnet_lab import compare
from resnet_lab.reporting.comparing.comparison import changed_images
from resnet_lab.reporting.comparing.predictions import Predictions, pair
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.helpers import TINY, compose


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two runs, `first` and `second`, of other learning rates."""
    root = tmp_path_factory.mktemp("runs")
    for name, lr in (("first", 0.001), ("second", 0.1)):
        cfg = compose(*TINY, f"optimizer.lr={lr}", "trainer.limit_train_batches=12")
        train(cfg, root / name)
    return root


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> tuple[Path, Path]:
    for name in ("first", "second"):
        shutil.copytree(trained / name, tmp_path / name)
    return tmp_path / "first", tmp_path / "second"


@pytest.fixture
def command(capsys: pytest.CaptureFixture):
    """Run the command in this process; return exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            compare.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("split", ["test", "val"])
def test_predictions_are_those_that_are_evaluated(split: str, runs, command) -> None:
    code, out, err = command(*runs, "--split", split, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    (found,) = told["comparisons"]
    accuracies = [evaluate(Run.load(path), split)["acc"] for path in runs]
    assert found["acc"] == pytest.approx(accuracies)
    right, wrong = found["newly_right"], found["newly_wrong"]
    assert found["difference"] == pytest.approx(accuracies[1] - accuracies[0])
    assert found["difference"] == pytest.approx((right - wrong) / found["images"])
    assert found["difference_low"] < found["difference"] < found["difference_high"]
    assert (len(found["newly_right_images"]), len(found["newly_wrong_images"])) == (right, wrong)
    assert right > wrong  # the first has hardly learned
    assert 0 <= found["p"] <= 1
    assert told["config"] == {"optimizer.lr": ["0.001", "0.1"]}


def test_the_comparison_is_printed_and_written(runs, command) -> None:
    code, out, err = command(*runs)
    assert (code, err) == (0, "")
    assert "McNemar's exact test" in " ".join(out.split())
    assert "optimizer.lr  0.001  0.1" in out
    assert f"written: {runs[1] / 'compare.html'}" in out
    page = (runs[1] / "compare.html").read_text()
    assert "Newly right in second: " in page
    assert "data:image/png;base64," in page
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_the_page_goes_where_it_is_asked_for(runs, command, tmp_path: Path) -> None:
    assert command(*runs, "--out", tmp_path / "new/place")[0] == 0
    assert (tmp_path / "new/place/compare.html").is_file()
    assert not (runs[1] / "compare.html").exists()


def test_any_number_of_runs_is_compared_with_the_first(runs, command, tmp_path: Path) -> None:
    third = tmp_path / f"{'x' * 50}third"  # too long to head a column
    shutil.copytree(runs[1], third)
    code, out, err = command(*runs, third, "--out", tmp_path)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert "lr=0.1 lr=0.1" not in said  # no names, as they are not distinct
    assert "run 1 has " in said
    assert "p is corrected for 2 comparisons (Holm)" in said
    page = (tmp_path / "compare.html").read_text()
    for heading in ("Newly right in run 2: ", "Newly wrong in run 3: ", "Comparison of 3 runs"):
        assert heading in page
    told = json.loads(command(*runs, third, "--json")[1])
    first, second = told["comparisons"]
    assert first["newly_right_images"] == second["newly_right_images"]
    assert first["p_holm"] == pytest.approx(2 * first["p"])
    assert told["config"] == {"optimizer.lr": ["0.001", "0.1", "0.1"]}


def test_runs_with_long_names_are_named_by_the_settings_that_differ(runs, command) -> None:
    long = [run.rename(run.with_name("x" * 50 + run.name)) for run in runs]
    assert "lr=0.001 has " in " ".join(command(*long)[1].split())


def test_a_run_alone_is_refused(runs, command) -> None:
    code, out, err = command(runs[0])
    assert (code, out) == (1, "")
    assert err == f"error: {runs[0]}: name another run to compare it with\n"


def test_a_run_does_not_differ_from_itself(runs, command) -> None:
    code, out, _ = command(runs[0], runs[0], "--json")
    told = json.loads(out)
    (found,) = told["comparisons"]
    assert (code, found["difference"], found["p"], told["config"]) == (0, 0.0, 1.0, {})
    assert "The configurations are the same." in command(runs[0], runs[0])[1]
    assert "Newly right in run 2: 0" in (runs[0] / "compare.html").read_text()


def test_a_run_without_curves_is_compared_by_the_rest(runs, command) -> None:
    (runs[0] / "metrics.csv").unlink()
    assert command(*runs)[0] == 0
    assert "first has no curves." in (runs[1] / "compare.html").read_text()
    (runs[1] / "metrics.csv").unlink()
    assert command(*runs)[0] == 0
    assert "No run has curves." in (runs[1] / "compare.html").read_text()


def test_other_images_are_refused(runs, command) -> None:
    config = runs[1] / "config.yaml"
    config.write_text(config.read_text().replace("split_seed: 0", "split_seed: 1"))
    code, out, err = command(*runs, "--split", "val")
    assert (code, out) == (1, "")
    assert "the runs have different images (144 and 144 of them)" in err
    assert err.count("\n") == 1
    assert command(*runs)[0] == 0  # the test images are the same


def test_a_run_without_its_checkpoint_is_refused(runs, command) -> None:
    shutil.rmtree(runs[0] / "checkpoints")
    code, _, err = command(*runs)
    assert code == 1
    assert "no such checkpoint" in err
    assert err.count("\n") == 1


def test_the_images_that_changed_are_shown_with_all_three_classes() -> None:
    def said(*predicted: int) -> Predictions:
        pixels = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 4, 4, 1)
        labels = torch.tensor([0, 1, 2, 0, 1])
        return Predictions("last", ["cat", "dog", "owl"], pixels, labels, torch.tensor(predicted))

    paired = pair(said(0, 1, 1, 2, 1), said(2, 1, 2, 1, 1))
    assert paired.newly_right.tolist() == [2]
    assert paired.newly_wrong.tolist() == [0]
    for images, title in (
        (paired.newly_right, "owl: dog → owl"), (paired.newly_wrong, "cat: cat → owl"),
    ):  # fmt: skip
        (axes,) = [axes for axes in changed_images(paired, images).axes if axes.images]
        assert axes.get_title() == title
        assert (axes.images[0].get_array() == images[0]).all()
