"""Training techniques that are one switch in the configuration: each does what it is known for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from resnet_lab.train import train
from resnet_lab.training.task import ImageClassifier
from tests.helpers import column

PLAIN = (
    "optimizer=sgd", "optimizer.momentum=0", "optimizer.nesterov=false", "optimizer.weight_decay=0",
    "scheduler=none", "trainer.max_epochs=1", "callbacks.tensorboard=null",
    "callbacks.checkpoint=null", "test=null", "data.augment.crop=null",
)  # fmt: skip

State = dict[str, Tensor]
Change = Callable[[DictConfig], tuple[State, State]]


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """A function that trains, and returns the weights before and after."""
    states: list[State] = []

    def note(task: ImageClassifier) -> None:
        states.append({name: p.detach().clone() for name, p in task.net.named_parameters()})

    monkeypatch.setattr(ImageClassifier, "on_fit_start", note)
    monkeypatch.setattr(ImageClassifier, "on_train_end", note)

    def run(cfg: DictConfig) -> tuple[State, State]:
        train(cfg, tmp_path / f"run{len(states)}")
        before, after = states[-2:]
        return before, after

    return run


def length(before: State, after: State) -> float:
    return float(torch.cat([(after[name] - before[name]).flatten() for name in before]).norm())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_mixes_in_the_uniform_distribution(smoothing: float, monkeypatch) -> None:
    class Trainer:
        log_every_n_steps = 100

    monkeypatch.setattr(ImageClassifier, "trainer", Trainer())
    task = ImageClassifier(nn.Flatten(), num_classes=5, label_smoothing=smoothing)
    logits, labels = torch.randn(8, 5), torch.randint(5, (8,))
    loss = task.training_step((logits[:, :, None, None], labels), 0)
    target = torch.full((8, 5), smoothing / 5)
    target[range(8), labels] += 1 - smoothing
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)
    task.validation_step((logits[:, :, None, None], labels), 0)
    plain = -logits.log_softmax(1)[range(8), labels].mean()
    torch.testing.assert_close(task.val_sums.compute()["loss"], plain)  # comparable at any value


def test_gradient_clipping_bounds_the_step(tiny, change: Change) -> None:
    one = (*PLAIN, "trainer.limit_train_batches=1", "optimizer.lr=0.5")
    free = length(*change(tiny(*one)))
    assert free > 0.05
    clipped = length(*change(tiny(*one, "trainer.gradient_clip_val=0.01")))
    assert clipped == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert length(*change(tiny(*one, "trainer.gradient_clip_val=1e6"))) == pytest.approx(free)


def test_accumulation_makes_one_step_of_several_batches(composed, change: Change) -> None:
    common = (
        *PLAIN, "model=small_resnet", "model.dropout=0", "data.image_size=16", "trainer=cpu",
        "trainer.precision=32-true", "callbacks.progress=null", "callbacks.summary=null",
        "optimizer.lr=0.5",
    )  # fmt: skip
    before, whole = change(composed(*common, "data.batch_size=64", "trainer.limit_train_batches=1"))
    again, parts = change(
        composed(
            *common, "data.batch_size=32", "trainer.limit_train_batches=2",
            "trainer.accumulate_grad_batches=2",
        )
    )  # fmt: skip
    assert length(before, again) == 0
    assert length(before, whole) > 0.01
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value)


def test_warm_up_rises_to_the_rate(tiny, tmp_path: Path) -> None:
    train(
        tiny(
            *PLAIN, "scheduler=cosine", "scheduler.warmup=4", "optimizer.lr=0.2",
            "trainer.log_every_n_steps=1", "trainer.max_epochs=2",
        ),
        tmp_path / "run",
    )  # fmt: skip
    rates = column(tmp_path / "run", "lr")
    assert rates[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert rates[4] == pytest.approx(0.2)  # the top of the cosine
    assert rates[5] < 0.2


@pytest.mark.parametrize("everything", [True, False])
def test_weight_decay_spares_norms_when_asked(everything: bool, tiny, change: Change) -> None:
    # So small a rate that gradients move nothing, and a decay that takes a tenth at a step.
    before, after = change(
        tiny(
            *PLAIN, "optimizer.lr=1e-7", "optimizer.weight_decay=1e6", "model.residual=false",
            "trainer.limit_train_batches=1", f"task.decay_norm_and_bias={everything}",
        )
    )  # fmt: skip
    for name, value in before.items():
        decays = everything or value.ndim > 1
        torch.testing.assert_close(after[name], value * (0.9 if decays else 1.0), msg=name)
    assert any(value.ndim == 1 and value.abs().max() > 0 for value in before.values())
