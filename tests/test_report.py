"""The report as a person meets it: on a real sweep, and where there is little to report."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hydra.core.global_hydra import GlobalHydra

from resnet_lab import report, train
from resnet_lab.sweeps.launch import finish
from resnet_lab.sweeps.sweep import Sweep
from tests.helpers import TINY
from tests.reporting.fakes import fake_job, fake_sweep


@pytest.fixture
def command(capsys: pytest.CaptureFixture):
    """Run the command in this process; return exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            report.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


def test_a_real_sweep_is_reported(command, monkeypatch: pytest.MonkeyPatch) -> None:
    GlobalHydra.instance().clear()
    sweep = ["optimizer.lr=0.1,0.001", "seed=0,1", "sweep_dir=sweep"]
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", *TINY, *sweep])
    train.main()
    code, out, err = command("sweep")
    assert (code, err) == (0, "")
    assert re.search(r"^jobs +4: 4 done$", out, re.MULTILINE)
    assert re.search(r"^swept +optimizer.lr=0.001,0.1  2 seeds$", out, re.MULTILINE)
    assert re.search(r"^1 +0\.\d+ +2 +\d+\.\d\d +\d+\.\d\d ", out, re.MULTILINE)
    assert "never by the test split" in out
    assert "of it checkpoints" in out
    for group in csv.DictReader(Path("sweep/report.csv").read_text().splitlines()):
        values, tests = [], []
        for seed in range(2):
            (path,) = Path("sweep").glob(f"*lr={group['optimizer.lr']},seed={seed}*/status.json")
            status = json.loads(path.read_text())
            values.append(status["best"]["value"])
            tests.append(status["test"]["acc"])
        assert float(group["val/acc_mean"]) == pytest.approx(sum(values) / 2)
        assert float(group["test/acc_mean"]) == pytest.approx(sum(tests) / 2)
    page = Path("sweep/report.html").read_text()
    assert "Learning curves" in page
    assert "Validation accuracy against optimizer.lr" in page


def test_a_sweep_that_still_runs_shows_what_is_there(command, tmp_path: Path) -> None:
    fake_sweep(tmp_path / "sweep", {("model=a",): [0.9, 0.92]})
    running = fake_job(tmp_path / "sweep", "model=b", "seed=0", state="running", value=0.99)
    entries = [
        {"directory": f"model=b,seed={seed}", "overrides": ["model=b", f"seed={seed}"]}
        for seed in range(2)
    ]
    (tmp_path / "sweep/sweep.json").write_text(json.dumps({"state": "running", "jobs": entries}))
    with FileLock(running / ".lock"):
        code, out, _ = command("sweep")
    assert code == 0
    assert "4: 2 done, 1 running, 1 pending" in out
    assert re.search(r"^\N{EN DASH} +b +0 .*1 of 2 running, 1 of 2 pending$", out, re.MULTILINE)
    assert "1 pending" in Path("sweep/report.html").read_text()


def test_a_sweep_without_a_result_says_what_went_wrong(command, tmp_path: Path) -> None:
    for seed in range(2):
        fake_job(tmp_path / "sweep", f"seed={seed}", state="failed", value=None, error="no memory")
    code, out, err = command("sweep")
    assert code == 1
    assert "failed: no memory  [seed=0; seed=1]" in out
    expected = "no job has finished with a result yet (2 failed): nothing to rank"
    assert err == f"error: {expected}\n"
    assert "no memory" in Path("sweep/report.md").read_text()


def test_several_sweeps_are_ranked_together(command, tmp_path: Path) -> None:
    fake_sweep(tmp_path / "one", {("model=a",): [0.9, 0.8]})
    fake_sweep(tmp_path / "two", {("model=b",): [0.95, 0.9]})
    code, out, _ = command("one", "two")
    assert code == 0
    assert "one + two" in out
    assert not list(tmp_path.glob("*/report.*"))  # into which?
    code, out, _ = command("one", "two", "--out", "both/of/them")
    assert code == 0
    assert "written: both/of/them/report.html" in out
    assert Path("both/of/them/report.md").read_text().startswith("# one + two\n\nBest: model=b")


def test_nothing_is_written_where_that_is_not_wanted(command, tmp_path: Path) -> None:
    path = fake_job(tmp_path / "runs", "seed=0", curve=[0.1, 0.2])
    assert command("runs", "--no-pages")[0] == 0
    assert {entry.name for entry in path.parent.iterdir()} == {path.name}
    assert command("runs", "--no-plots")[0] == 0
    assert "<svg" not in Path("runs/report.html").read_text()


def test_the_metric_that_ranks_can_be_chosen(command, tmp_path: Path) -> None:
    fake_job(tmp_path / "runs", "seed=0")
    fake_job(tmp_path / "runs", "seed=1", value=0.5, monitor="val/loss")
    assert "val/loss (nats)" in command("runs", "--monitor", "val/loss")[1]
    code, _, err = command("runs", "--monitor", "val/f1")
    assert (code, err.startswith("error: --monitor val/f1: no job has this monitor")) == (1, True)


@pytest.mark.parametrize("arguments", [("nowhere",), (".",)])
def test_an_error_is_one_line(arguments: tuple[str, ...], command) -> None:
    code, out, err = command(*arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {arguments[0]}: ")


def test_a_long_table_is_cut_in_the_terminal_alone(command, tmp_path: Path) -> None:
    for number in range(35):
        fake_job(tmp_path / "sweep", f"model=m{number}", "seed=0", value=number / 50)
    out = command("sweep", "--no-plots")[1]
    assert "and 5 more settings, in report.csv" in out
    assert len(Path("sweep/report.csv").read_text().splitlines()) == 36
    assert len(Path("sweep/report.md").read_text().split("\n| ")) > 35


def test_a_place_that_cannot_be_written_to_names_the_way_out(command, tmp_path: Path) -> None:
    fake_job(tmp_path / "sweep", "seed=0")
    (tmp_path / "file").touch()
    code, out, err = command("sweep", "--out", "file/below", "--no-plots")
    assert code == 1
    assert "Best: all" in out  # the result is told all the same
    assert err == (
        "error: file/below: the report cannot be written there (Not a directory); name another "
        "directory with --out, or leave the pages out with --no-pages\n"
    )


def test_a_report_that_fails_is_no_failure_of_the_sweep(
    tmp_path: Path, monkeypatch, caplog
) -> None:
    fake_job(tmp_path / "sweep", "seed=0")
    (tmp_path / "sweep/sweep.json").write_text('{"jobs": []}')

    def read_only(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("resnet_lab.reporting.report.write_pages", read_only)
    assert finish(Sweep(tmp_path / "sweep"), []) == []
    (warning,) = (entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING")
    assert "the report of the sweep (again: python -m resnet_lab.report sweep) failed" in warning
    assert "(Permission denied); name another directory with --out" in warning


def test_a_plot_that_cannot_be_drawn_leaves_the_tables(tmp_path: Path, monkeypatch, caplog) -> None:
    from resnet_lab.reporting.plots import chosen

    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("no such font")

    monkeypatch.setattr(chosen, "chosen_plots", broken)
    fake_job(tmp_path / "sweep", "seed=0")
    result = report.report([tmp_path / "sweep"])
    assert len(result.files) == 5
    assert "drawing the report failed and is left out: RuntimeError: no such font" in caplog.text
