from functools import partial

import pytest
import torch
from torch import nn

from resnet_lab.training.task import ImageClassifier
from tests.helpers import FACTS


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
    subject.check(FACTS)
    assert subject.net.training
    assert all(torch.equal(before[key], value) for key, value in subject.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "facts", "text"),
    [
        ({}, {"channels": 1}, r"does not take images of 1 x 8 x 8 .* to have 3 channels"),
        ({"net": net(5)}, {}, "gives 5 outputs for the 6 classes of set"),
    ],
)
def test_what_does_not_fit_is_named(changes, facts, text) -> None:
    with pytest.raises(ValueError, match=text):
        task(**changes).check({**FACTS, **facts})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"interval": "batch"}, "scheduler.interval=batch"),
        ({"label_smoothing": 1.0}, "task.label_smoothing=1.0"),
        (
            {"compile": "fast"},
            "task.compile=fast: must be true, false or one of def",
        ),
    ],
)
def test_senseless_arguments_are_refused(changes, text) -> None:
    with pytest.raises(ValueError, match=text):
        task(**changes)


def test_channels_last_reaches_the_weights() -> None:
    assert task().net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert task(channels_last=False).net[0].weight.is_contiguous()


def test_compiled_network_keeps_its_names() -> None:
    assert task(compile=True).state_dict().keys() == task().state_dict().keys()


@pytest.mark.parametrize(
    ("given", "mode"),
    [(True, None), ("reduce-overhead", "reduce-overhead"), (False, "not compiled")],
)
def test_the_mode_of_the_compiler_is_passed_on(given, mode, monkeypatch) -> None:
    asked = ["not compiled"]
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode=None: asked.append(mode))
    task(compile=given)
    assert asked[-1] == mode


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
