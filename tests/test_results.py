"""The tables of measured results, which `make docs` writes from docs/results/."""

import importlib.util
import json
import shutil
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers import REPOSITORY


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_results", REPOSITORY / "docs/make_results.py"
    )
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The records of a finished run."""
    folder = tmp_path / "run"
    folder.mkdir()
    status = {
        "state": "done", "overrides": ["experiment=a", "data_dir=/x", "seed=3", "optimizer.lr=0.1"],
        "versions": {"resnet-lab": "0.2.0", "torch": "2.14.1"}, "commit": "abcdef0123+",
        "device": "1 thread of CPU", "precision": "32-true", "seconds": 12.4,
        "test": {"acc": 0.9, "acc_low": 0.88, "acc_high": 0.92},
        "expected": {"value": 0.91, "tolerance": 0.005, "source": "A 2020", "measured": 0.9},
    }  # fmt: skip
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "config.yaml").write_text("seed: 3\ndata_dir: /x\nroot: /x/photos\n")
    (folder / "metrics.csv").write_text("step,val/acc\n")
    return folder


def test_a_row_has_command_figure_value_verdict_time_and_origin(
    module: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECORDS", tmp_path / "results")
    module.add("a", [run])
    other = json.loads((run / "status.json").read_text())
    other["test"]["acc"] = other["expected"]["measured"] = 0.92
    other["seconds"], other["precision"] = 1500.0, "bf16-mixed"
    (run / "status.json").write_text(json.dumps(other))
    assert "90.00 % (88.00 to 92.00)" in module.tables(tmp_path / "results")[0]
    (run / "config.yaml").write_text("seed: 4\n")
    module.add("a", [run])
    kept = tmp_path / "results/a/seed=3"
    assert (kept / "config.yaml").read_text() == "seed: 3\ndata_dir: data\nroot: data/photos\n"
    assert "/x" not in (kept / "status.json").read_text()
    long, short = module.tables(tmp_path / "results")
    assert long.splitlines()[2] == (
        "| `experiment=a optimizer.lr=0.1` | 91.00 % (A 2020) | 91.00 ± 1.41 % | 2 | "
        "PASS | 12 to 1,500 | 1 thread of CPU, 32-true; 1 thread of CPU, bf16-mixed | "
        "0.2.0, 2.14.1 | abcdef0 |"
    )
    assert short.splitlines()[2].endswith("| 91.00 ± 1.41 % | 2 | 12 to 1,500 s |")
    assert {path.name for path in (tmp_path / "results/a/seed=4").iterdir()} == {
        "config.yaml",
        "status.json",
        "metrics.csv",
    }
    (tmp_path / "results/a").rename(tmp_path / "results/a_version_0.1")
    long, short = module.tables(tmp_path / "results")
    assert (len(long.splitlines()), len(short.splitlines())) == (3, 2)


def test_only_finished_runs_are_results(module: ModuleType, run: Path) -> None:
    (run / "status.json").write_text('{"state": "failed"}')
    with pytest.raises(SystemExit, match="only finished, tested runs"):
        module.add("a", [run])


def test_pages_that_are_out_of_date_are_only_a_warning(module: ModuleType) -> None:
    for page, text in module.pages().items():
        if page.read_text(encoding="utf-8") != text:
            with warnings.catch_warnings():
                warnings.simplefilter("always")  # not an error
                warnings.warn(f"{page.name} is out of date: run `make docs`", stacklevel=1)


def test_the_text_around_a_table_stays(module: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{module.BEGIN}old\n{module.END}after\n")
    assert module.put(page, "| new |\n") == f"before\n{module.BEGIN}| new |\n{module.END}after\n"
    shutil.rmtree(tmp_path)
