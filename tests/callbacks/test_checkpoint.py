from pathlib import Path

import pytest
import torch

from resnet_lab.callbacks.checkpoint import AtomicCheckpointIO
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


@pytest.mark.parametrize(
    ("keep", "test", "expected"),
    [
        ("none", "last", set()),
        ("best", "last", {"best.ckpt", "last.ckpt"}),
        ("best", "best", {"best.ckpt"}),
        ("all", "last", {"best.ckpt", "last.ckpt", "epoch=1.ckpt", "epoch=2.ckpt"}),
    ],
)
def test_what_is_kept_of_a_finished_run(keep, test, expected, tiny, tmp_path: Path) -> None:
    train(tiny(f"callbacks.checkpoint.keep={keep}", f"test={test}"), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").glob("checkpoints/*")} == expected
    if keep == "all":
        epochs = [
            torch.load(tmp_path / f"run/checkpoints/epoch={epoch}.ckpt", weights_only=True)["epoch"]
            for epoch in (1, 2)
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
