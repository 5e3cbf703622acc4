"""Fine-tuning: a backbone that is frozen, or that learns more slowly than its head."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resnet_lab.models.resnet import cifar_resnet
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.parameter_groups import parameter_groups
from resnet_lab.training.task import ImageClassifier
from tests.helpers import NETWORKS, column


def state(run: Path, which: str = "last") -> dict[str, Tensor]:
    path = Run.load(run).checkpoint(which)
    return torch.load(path, weights_only=True)["state_dict"]


def of_the_head(name: str) -> bool:
    return name.startswith("net.fc.")


@pytest.mark.parametrize("decay", ["true", "false"])
def test_a_frozen_backbone_stays_bit_for_bit_what_it_was(decay: str, tiny, tmp_path: Path) -> None:
    train(tiny("trainer.max_epochs=1"), tmp_path / "first")
    weights = Run.load(tmp_path / "first").checkpoint("best")
    train(
        tiny(
            f"model.weights={weights}", "task.freeze=backbone", "seed=1",
            f"task.decay_norm_and_bias={decay}",
        ),
        tmp_path / "second",
    )  # fmt: skip
    before, after = state(tmp_path / "first", "best"), state(tmp_path / "second")
    for name, value in before.items():
        assert torch.equal(value, after[name]) != of_the_head(name), name
    last = torch.load(Run.load(tmp_path / "second").checkpoint("last"), weights_only=True)
    (optimizer,) = last["optimizer_states"]
    assert len(optimizer["state"]) == 2  # momentum of the classifier's weight and bias, and no more


def test_a_frozen_backbone_stays_so_when_a_run_goes_on_within_an_epoch(
    tiny, tmp_path: Path, monkeypatch
) -> None:
    train(tiny("trainer.max_epochs=1"), tmp_path / "first")
    weights = Run.load(tmp_path / "first").checkpoint("best")
    cfg = tiny(f"model.weights={weights}", "task.freeze=backbone", "trainer.max_epochs=1")
    step = ImageClassifier.training_step

    def asked(self: ImageClassifier, batch: object, batch_idx: int) -> Tensor:
        if batch_idx == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", asked)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), tmp_path / "second")
    train(cfg.copy(), tmp_path / "second")
    before, after = state(tmp_path / "first", "best"), state(tmp_path / "second")
    for name, value in before.items():
        assert torch.equal(value, after[name]) != of_the_head(name), name


def test_a_frozen_backbone_that_was_trained_serves_a_new_head(tiny, tmp_path: Path) -> None:
    epochs = ("trainer.limit_train_batches=1.0", "trainer.max_epochs=4")
    train(tiny(*epochs), tmp_path / "first")
    weights = Run.load(tmp_path / "first").checkpoint("best")
    train(
        tiny(
            f"model.weights={weights}", "model.replace_classifier=true", "task.freeze=backbone",
            *epochs,
        ),
        tmp_path / "second",
    )  # fmt: skip
    assert Run.load(tmp_path / "second").status["test"]["acc"] > 0.7  # chance: 0.1


def task(**options) -> ImageClassifier:
    torch.manual_seed(0)
    given = {"optimizer": partial(torch.optim.SGD, lr=0.1, weight_decay=0.5), "num_classes": 10}
    return ImageClassifier(cifar_resnet(8, num_classes=10), **given, **options)


def rates(subject: ImageClassifier) -> dict[str, tuple[float, float]]:
    """Rate and weight decay of each parameter that the optimizer moves."""
    optimizer = subject.configure_optimizers()
    names = {id(p): name for name, p in subject.net.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("no_decay", [False, True])
def test_the_backbone_may_learn_more_slowly(no_decay: bool) -> None:
    found = rates(task(backbone_lr=0.1, decay_norm_and_bias=not no_decay))
    assert set(found) == {name for name, _ in cifar_resnet(8, num_classes=10).named_parameters()}
    for name, (rate, decay) in found.items():
        assert rate == pytest.approx(0.1 if name.startswith("fc.") else 0.01), name
        shift = "bn" in name or name.endswith("bias")
        assert decay == (0 if no_decay and shift else 0.5), name


def test_what_does_not_learn_has_no_group() -> None:
    net = cifar_resnet(8, num_classes=10)
    net.layer1.requires_grad_(False)
    (group,) = parameter_groups(net)
    learning = [name for name, _ in net.named_parameters() if not name.startswith("layer1.")]
    assert len(group["params"]) == len(learning)


def test_by_default_there_is_one_group_at_one_rate() -> None:
    assert set(rates(task()).values()) == {(0.1, 0.5)}


@pytest.mark.parametrize("scheduler", ["cosine", "multistep", "onecycle", "none"])
def test_every_schedule_keeps_the_proportion(scheduler: str, tiny, tmp_path: Path) -> None:
    train(
        tiny(
            f"scheduler={scheduler}", "task.backbone_lr=0.25", "trainer.log_every_n_steps=1",
            "callbacks.tensorboard=null",
        ),
        tmp_path / "run",
    )  # fmt: skip
    head, backbone = (column(tmp_path / "run", f"lr/pg{number}") for number in (1, 2))
    assert len(backbone) == 6
    assert backbone == pytest.approx([0.25 * rate for rate in head])
    assert max(head) <= 0.05 * 1.0001


@pytest.mark.parametrize("name", NETWORKS)
def test_our_networks_have_a_classifier_to_train_alone(name: str, composed) -> None:
    cfg = composed(f"model={name}", "task.freeze=backbone", "data=mnist")
    with torch.device("meta"):
        subject = Run(Path(), cfg, {}).build_task()
    trained = {name for name, p in subject.net.named_parameters() if p.requires_grad}
    assert "fc.weight" in trained
    assert trained <= {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"freeze": "trunk"}, r"task.freeze=trunk: must be backbone \(once called trunk\) or null"),
        ({"backbone_lr": 0.0}, r"task.backbone_lr=0.0: must be a factor above 0"),
        (
            {"backbone_lr": 0.1, "freeze": "backbone"},
            r"backbone_lr=0.1: .* 1 with task.fre",
        ),
    ],
)
def test_senseless_arguments_are_refused(options, text) -> None:
    with pytest.raises(ValueError, match=text):
        task(**options)


@pytest.mark.parametrize("options", [{"freeze": "backbone"}, {"backbone_lr": 0.1}])
def test_a_network_without_a_head_of_that_name_is_told_so(options) -> None:
    with pytest.raises(ValueError, match=r"Sequential has no layer called fc: task.freeze, task"):
        ImageClassifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), num_classes=2, **options)
