"""W&B offline and MLflow in SQLite, where these are installed."""

import sqlite3
from pathlib import Path

import pytest

from resnet_lab.train import train
from tests.helpers import Compose, column


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the library itself
def test_mlflow_gets_names_hyperparameters_and_metrics_by_step(
    tiny: Compose, tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    (tmp_path / "logs").mkdir()
    for seed in (0, 1):
        cfg = tiny("logger=[default,mlflow]", "name=mine", f"seed={seed}")
        train(cfg, tmp_path / f"run{seed}", [f"seed={seed}"], trust=True)
    client = mlflow.tracking.MlflowClient(f"sqlite:///{tmp_path}/logs/mlflow.db")
    experiment = client.get_experiment_by_name("mine")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"run0", "run1"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    first = next(run for run in runs if run.info.run_name == "run0")
    assert first.data.params["model.depth"] == "8"
    assert first.data.params["overrides"] == "seed=0"
    history = client.get_metric_history(first.info.run_id, "val/acc")
    assert [entry.step for entry in history] == [2, 5]
    assert [entry.value for entry in history] == column(tmp_path / "run0", "val/acc")
    assert "test/acc" in first.data.metrics
    with sqlite3.connect(tmp_path / "logs/mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (2,)


@pytest.mark.filterwarnings("ignore")
def test_wandb_has_one_offline_run_for_each_of_ours(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for seed in (0, 1):
        cfg = tiny("logger=[default,wandb]", "name=mine", f"seed={seed}")
        train(cfg, tmp_path / f"run{seed}", [f"seed={seed}"], trust=True)
        assert wandb.run is None  # closed: the next one is a run of its own
    for name in ("run0", "run1"):
        (kept,) = (tmp_path / name / "wandb").glob("offline-run-*/run-*.wandb")
        content = kept.read_bytes()
        for text in (b"val/acc", b"test/acc", b"model.depth", b"trainer/global_step"):
            assert text in content
