"""Every precision that Lightning names trains, or is refused in one line before training."""

import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.preflight import preflight
from resnet_lab.train import train

TYPES = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}


class Types(Callback):
    """Note the types of what flows through the network, and of the metrics' sums."""

    def __init__(self) -> None:
        self.images: set[torch.dtype] = set()
        self.logits: set[torch.dtype] = set()
        self.sums: set[torch.dtype] = set()

    def on_fit_start(self, trainer, pl_module) -> None:
        def note(net: nn.Module, inputs: tuple[Tensor], logits: Tensor) -> None:
            if net.training:  # the graph is traced in float32
                self.images.add(inputs[0].dtype)
                self.logits.add(logits.dtype)

        pl_module.net.register_forward_hook(note)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.sums.add(pl_module.train_sums.loss.dtype)


@pytest.mark.parametrize("more", [[], ["model.squeeze_excitation=true", "augment=mixup"]])
@pytest.mark.parametrize("precision", TYPES)
def test_a_true_precision_trains_and_is_evaluated(precision, more, tiny, tmp_path: Path) -> None:
    cfg = tiny(f"trainer.precision={precision}", *more)
    cfg.callbacks.summary = {"_target_": "resnet_lab.callbacks.summary.ModelSummary"}
    preflight(cfg.copy())
    types = Types()
    with ActiveRun.open(tmp_path / "run", cfg) as run:
        fit_and_test(run, types)
    assert types.images == types.logits == {TYPES[precision]}
    assert types.sums == {torch.float32}
    run = Run.load(tmp_path / "run")
    assert run.status["precision"] == precision
    state = torch.load(run.checkpoint("last"), weights_only=True)["state_dict"]
    assert state["net.conv1.weight"].dtype == TYPES[precision]
    assert evaluate(run)["loss"] == pytest.approx(run.status["test"]["loss"], rel=1e-6)
    # In half precision, the sum of the losses of 360 images would be a multiple of 2.
    single = torch.tensor(run.status["test"]["loss"], dtype=torch.float32)
    assert float(single.to(torch.bfloat16)) != float(single)


def stop(patch: pytest.MonkeyPatch) -> None:
    from resnet_lab.training.task import ImageClassifier

    step = ImageClassifier.training_step

    def stopped(self: ImageClassifier, batch: object, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    patch.setattr(ImageClassifier, "training_step", stopped)


@pytest.mark.parametrize(
    ("precision", "callbacks"), [*((name, "default") for name in TYPES), ("64-true", "ema")]
)
def test_a_true_precision_is_resumed_exactly(
    precision, callbacks, composed, tmp_path: Path, monkeypatch
) -> None:
    from tests.helpers import TINY

    cfg = composed(f"callbacks={callbacks}", *TINY, f"trainer.precision={precision}")
    train(cfg.copy(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop(patch)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), tmp_path / "parts")
    train(cfg.copy(), tmp_path / "parts")
    whole, parts = (
        torch.load(Run.load(tmp_path / name).checkpoint("last"), weights_only=True)["state_dict"]
        for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert whole["net.conv1.weight"].dtype == TYPES[precision]
    assert (
        Run.load(tmp_path / "whole").status["test"] == Run.load(tmp_path / "parts").status["test"]
    )


@pytest.mark.parametrize("averaging", ["ema", "swa"])
@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_half_precision_weights_are_not_averaged(
    precision: str, averaging: str, composed, tmp_path: Path
) -> None:
    from tests.helpers import TINY

    cfg = composed(f"callbacks={averaging}", *TINY, f"trainer.precision={precision}")
    text = rf"trainer.precision={precision} .*callbacks={averaging}.*; use bf16-mixed or 32-true"
    with pytest.raises(ValueError, match=text):
        preflight(cfg.copy())
    with pytest.raises(ValueError, match=text):
        train(cfg.copy(), tmp_path / "run")


@pytest.mark.parametrize("precision", ["16-mixed", "16"])
def test_a_precision_that_the_cpu_has_not_is_refused(precision, tiny, tmp_path: Path) -> None:
    cfg = tiny(f"trainer.precision={precision}")
    for start in (preflight, lambda cfg: train(cfg, tmp_path / "run")):
        with pytest.raises(ValueError, match=r"trainer.precision=16.*: .* CPU; use bf16-mixed"):
            start(cfg.copy())
