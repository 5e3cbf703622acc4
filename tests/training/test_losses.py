"""Losses of the group `loss`, and any nn.Module of (logits, labels)."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.losses import BinaryCrossEntropy, CrossEntropy, Focal
from tests.helpers import column

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 0, 1])
UNEVEN = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
MINE = "tests.training.test_losses.Mine"


class Mine(nn.Module):
    """A loss with a parameter that learns."""

    def __init__(self, shape: str = "mean") -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.shape = shape

    def forward(self, logits, labels):
        loss = F.cross_entropy(logits * self.scale, labels, reduction="none")
        return loss.mean() if self.shape == "mean" else loss


def test_cross_entropy_is_torchs_and_smooths_in_training_only() -> None:
    weight = [1.0, 2.0, 0.5]
    loss = CrossEntropy(3, weight, label_smoothing=0.2)
    wanted = F.cross_entropy(LOGITS, LABELS, torch.tensor(weight), label_smoothing=0.2)
    assert loss(LOGITS, LABELS).equal(wanted)
    assert loss.eval()(LOGITS, LABELS).equal(F.cross_entropy(LOGITS, LABELS, torch.tensor(weight)))


def test_balanced_classes_have_the_same_share_of_the_loss() -> None:
    loss = CrossEntropy(3, "balanced")
    loss.balance(UNEVEN)
    share = loss.weight * torch.bincount(UNEVEN)
    assert torch.allclose(share, torch.full((3,), 100 / 3))


def test_focal_is_cross_entropy_at_0_and_forgives_what_is_easy() -> None:
    plain = F.cross_entropy(LOGITS, LABELS)
    assert torch.allclose(Focal(3, gamma=0.0)(LOGITS, LABELS), plain)
    chances = LOGITS.softmax(1)[range(6), LABELS]
    by_hand = (-((1 - chances) ** 2) * chances.log()).mean()
    assert torch.allclose(Focal(3)(LOGITS, LABELS), by_hand)
    sure = (F.one_hot(LABELS, 3) * 200.0).requires_grad_()
    Focal(3, gamma=0.5)(sure, LABELS).backward()
    assert sure.grad.isfinite().all()


def test_binary_cross_entropy_takes_classes_and_labels() -> None:
    hot = F.one_hot(LABELS, 3).float()
    wanted = F.binary_cross_entropy_with_logits(LOGITS, hot)
    assert torch.allclose(BinaryCrossEntropy(3)(LOGITS, hot), wanted)
    assert torch.allclose(BinaryCrossEntropy(3)(LOGITS, LABELS), 3 * wanted)
    loss = BinaryCrossEntropy(3, "balanced")
    loss.balance(UNEVEN)
    assert torch.allclose(loss.pos_weight, torch.tensor([40 / 60, 70 / 30, 9.0]))


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "bce"])
def test_each_trains_and_is_measured_again(loss: str, tiny, tmp_path: Path) -> None:
    weight = "pos_weight" if loss == "bce" else "weight"
    train(tiny(f"loss={loss}", f"loss.{weight}=balanced"), tmp_path / "run", trust=True)
    run = Run.load(tmp_path / "run")
    assert evaluate(run)["loss"] == pytest.approx(run.status["test"]["loss"], rel=1e-4)
    state = torch.load(run.checkpoint("last"), weights_only=True)["state_dict"]
    assert state[f"loss.{weight}"].unique().numel() > 1


def test_a_loss_of_ones_own_learns_its_parameters(tiny, tmp_path: Path) -> None:
    train(tiny(f"+loss._target_={MINE}", "optimizer.lr=0.5"), tmp_path / "run", trust=True)
    run = Run.load(tmp_path / "run")
    state = torch.load(run.checkpoint("last"), weights_only=True)["state_dict"]
    assert state["loss.scale"] != 1
    assert column(tmp_path / "run", "val/loss")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=focal", "loss.gamma=-1"], "^loss.gamma=-1"),
        (["loss=cross_entropy", "loss.weight=[1,2]"], r"^loss.weight=\[1, 2\]: must be balan"),
        (["loss=focal", "task.label_smoothing=0.1"], "^task.label_smoothing=0.1 is of the default"),
        ([f"+loss._target_={MINE}", "+loss.shape=none"], r"^loss: Mine gives \[2\] where on"),
        (["+loss._target_=torch.nn.NLLLoss2d"], "^loss: NLLLoss2d does not take logits|deprecated"),
        (["+loss._target_=torch.optim.SGD"], "^loss._target_=torch.optim.SGD: must be a subclass"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(overrides, message, tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train(tiny(*overrides), tmp_path / "run", trust=True)
