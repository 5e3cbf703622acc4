from functools import partial

import pytest
import torch
from torch import nn

from resnet_lab.data.module import Facts
from resnet_lab.task import ImageClassifier, load_weights

FACTS = Facts(name="set", classes=list("abcdef"), channels=3, image_size=8, mean=[0.5], std=[0.5])


def net(classes: int = 6) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, classes),
    )  # fmt: skip


def task(**changes) -> ImageClassifier:
    return ImageClassifier(**{"net": net(), "num_classes": 6, "monitor": "val/acc", **changes})


def test_a_network_that_fits_is_accepted_and_left_as_it_was() -> None:
    subject = task()
    before = {key: value.clone() for key, value in subject.state_dict().items()}
    subject.check(FACTS, validates=True)
    assert subject.net.training
    assert all(torch.equal(before[key], value) for key, value in subject.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "facts", "text"),
    [
        (
            {"monitor": "val/accuracy"},
            {},
            "monitor=val/accuracy: no metric .* use val/loss, val/acc, train/loss",
        ),
        ({"monitor": "test/acc"}, {}, "monitor=test/acc"),
        ({"monitor": "val/acc_top5"}, {}, "monitor=val/acc_top5"),
        ({}, {"channels": 1}, r"does not take images of 1 x 8 x 8 .* to have 3 channels"),
        ({"net": net(5)}, {}, "gives 5 outputs for the 6 classes of set"),
    ],
)
def test_what_does_not_fit_is_named(changes, facts, text) -> None:
    with pytest.raises(ValueError, match=text):
        task(**changes).check({**FACTS, **facts}, validates=True)


def test_without_a_validation_split_its_metrics_are_no_monitors() -> None:
    with pytest.raises(ValueError, match="use train/loss, train/acc"):
        task().check(FACTS, validates=False)
    task(monitor="train/loss").check(FACTS, validates=False)


def test_weight_decay_can_spare_norms_and_biases() -> None:
    subject = task(decay_norm_and_bias=False)
    optimizer = torch.optim.SGD(subject._parameter_groups(), lr=0.1, weight_decay=0.5)
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    names = dict(subject.net.named_parameters())
    assert {name for name, p in names.items() if decay[id(p)] == 0.5} == {"0.weight", "5.weight"}
    assert len(decay) == len(names)
    assert {decay[id(p)] for p in names.values()} == {0.0, 0.5}


def test_frozen_parameters_are_not_optimised() -> None:
    subject = task()
    subject.net[0].requires_grad_(False)
    (group,) = subject._parameter_groups()
    assert len(group["params"]) == 4


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"interval": "batch"}, "scheduler.interval=batch"),
        ({"label_smoothing": 1.0}, "task.label_smoothing=1.0"),
    ],
)
def test_senseless_arguments_are_refused(changes, text) -> None:
    with pytest.raises(ValueError, match=text):
        task(**changes)


def test_channels_last_reaches_the_weights() -> None:
    assert task().net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert task(channels_last=False).net[0].weight.is_contiguous()


def test_weights_of_another_network_are_refused_by_name() -> None:
    state = task().state_dict()
    wrong = {**state, "net.5.weight": torch.zeros(9, 4), "net.9.weight": torch.zeros(1)}
    del wrong["net.0.weight"]
    with pytest.raises(ValueError, match="of another network") as caught:
        load_weights(task(), wrong, "x.ckpt")
    text = str(caught.value)
    assert text.startswith("x.ckpt is of another network: it lacks net.0.weight")
    assert "it has besides net.9.weight" in text
    assert "net.5.weight is 9 x 4 there and 6 x 4 here" in text
    assert "\n" not in text


def test_compiled_network_keeps_its_names() -> None:
    assert task(compile=True).state_dict().keys() == task().state_dict().keys()


@pytest.mark.parametrize("name", ["total_steps", "T_max", "total_iters"])
def test_the_length_of_the_run_is_filled_in(name: str, monkeypatch) -> None:
    seen = {}

    class Trainer:
        estimated_stepping_batches = 120
        max_epochs = 4

    subject = task(optimizer=partial(torch.optim.SGD, lr=0.1))
    monkeypatch.setattr(ImageClassifier, "trainer", Trainer())
    namespace: dict = {"seen": seen}
    exec(f"def schedule(optimizer, {name}): seen['{name}'] = {name}", namespace)
    subject.scheduler = namespace["schedule"]
    assert subject.configure_optimizers()["lr_scheduler"]["interval"] == "step"
    assert seen == {name: 120}
    subject.interval = "epoch"
    subject.configure_optimizers()
    assert seen == {name: 4}
    subject.scheduler = partial(namespace["schedule"], **{name: 7})
    subject.configure_optimizers()
    assert seen == {name: 7}
