from pathlib import Path

import pytest
import torch

from resnet_lab.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
from resnet_lab.train import train


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "checkpoints/last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)

    def torn(checkpoint: object, file) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", torn)
        with pytest.raises(KeyboardInterrupt):
            AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(("mode", "better"), [("max", 0.6), ("min", 0.4)])
def test_the_later_of_two_equal_epochs_is_kept(mode: str, better: float) -> None:
    checkpoint = Checkpoint(monitor="val/acc", mode=mode)
    checkpoint.best_model_score = torch.tensor(0.5)
    checkpoint.best_k_models = {"best.ckpt": torch.tensor(0.5)}
    checkpoint.kth_best_model_path = "best.ckpt"

    class Trainer:
        class strategy:
            @staticmethod
            def reduce_boolean_decision(decision: bool) -> bool:
                return decision

    assert checkpoint.check_monitor_top_k(Trainer(), torch.tensor(0.5))
    assert checkpoint.check_monitor_top_k(Trainer(), torch.tensor(better))
    assert not checkpoint.check_monitor_top_k(Trainer(), torch.tensor(1 - better))


def test_scores_survive_a_move(tmp_path: Path) -> None:
    old = Checkpoint(monitor="val/acc", mode="max")
    old.dirpath = "/before/checkpoints"
    old.best_model_path = "/before/checkpoints/best.ckpt"
    old.best_model_score = torch.tensor(0.9)
    old.best_k_models = {"/before/checkpoints/best.ckpt": torch.tensor(0.9)}
    new = Checkpoint(monitor="val/acc", mode="max")
    new.dirpath = str(tmp_path)
    new.load_state_dict(old.state_dict())
    assert new.best_model_score == 0.9
    assert new.best_model_path == str(tmp_path / "best.ckpt")
    assert list(new.best_k_models) == [str(tmp_path / "best.ckpt")]


@pytest.mark.parametrize(
    ("keep", "test", "expected"),
    [
        ("none", "last", set()),
        ("best", "last", {"best.ckpt", "last.ckpt"}),
        ("best", "best", {"best.ckpt"}),
        ("all", "last", {"best.ckpt", "last.ckpt", "epoch=0.ckpt", "epoch=1.ckpt"}),
    ],
)
def test_what_is_kept_of_a_finished_run(keep, test, expected, tiny, tmp_path: Path) -> None:
    train(tiny(f"callbacks.checkpoint.keep={keep}", f"test={test}"), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").glob("checkpoints/*")} == expected
    if keep == "all":
        epochs = [
            torch.load(tmp_path / f"run/checkpoints/epoch={epoch}.ckpt", weights_only=True)["epoch"]
            for epoch in (0, 1)
        ]
        assert epochs == [0, 1]


def test_an_interrupted_run_keeps_what_it_goes_on_from(tiny, tmp_path: Path, monkeypatch) -> None:
    from lightning import Trainer

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "test", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tiny("callbacks.checkpoint.keep=none"), tmp_path / "run")
    assert (tmp_path / "run/checkpoints/last.ckpt").exists()
