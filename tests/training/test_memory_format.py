"""`task.channels_last` decides the memory format of everything that flows through the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from resnet_lab.measuring.subject import Subject
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test

Strides = dict[str, set[tuple[int, ...]]]


def watch(net: nn.Module, seen: Strides) -> None:
    """Note the shape and strides of each image or activation that enters or leaves a module."""

    def note(name: str, values: Any) -> None:
        for value in values if isinstance(values, tuple) else (values,):
            if isinstance(value, Tensor) and value.ndim == 4 and value.shape[2] > 1:
                seen.setdefault(name, set()).add((*value.shape, *value.stride()))

    def hook(name: str) -> Callable[..., None]:
        def both(module: nn.Module, inputs: Any, output: Any) -> None:
            note(f"{name or 'net'}.input", inputs)
            note(f"{name or 'net'}.output", output)

        return both

    for name, module in net.named_modules():
        module.register_forward_hook(hook(name))


def expected(shape: tuple[int, ...], channels_last: bool) -> tuple[int, ...]:
    _, channels, height, width = shape
    if channels_last:
        return channels * height * width, 1, channels * width, channels
    return channels * height * width, height * width, width, 1


class Watching(Callback):
    def __init__(self) -> None:
        self.seen: Strides = {}

    def on_fit_start(self, trainer, pl_module) -> None:
        watch(pl_module.net, self.seen)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_all_activations_have_the_memory_format(
    channels: int, channels_last: bool, tiny, tmp_path: Path
) -> None:
    source = {"num_classes": 10, "size": 8, "channels": channels, "count": 400}
    cfg = tiny(
        "data.source._target_=resnet_lab.data.sources.base.RandomImages",
        *(f"+data.source.{name}={value}" for name, value in source.items()),
        f"data.channels={channels}",
        f"data.mean={[0.5] * channels}", f"data.std={[0.5] * channels}",
        f"task.channels_last={channels_last}", "trainer.max_epochs=1", "augment=mixup",
        "callbacks.tensorboard=null",
    )  # fmt: skip
    watching = Watching()
    with ActiveRun.open(tmp_path / "run", cfg) as run:
        fit_and_test(run, watching)
    assert {"net.input", "conv1.output", "layer2.0.downsample.output", "layer3.output"} <= set(
        watching.seen
    )
    for name, found in watching.seen.items():
        for numbers in found:
            assert numbers[4:] == expected(numbers[:4], channels_last), (name, numbers)


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_benchmark_feeds_what_training_feeds(channels_last: bool, tiny) -> None:
    subject = Subject(tiny("data.batch_size=64"))
    loop = subject.bare(channels_last=channels_last)
    seen: Strides = {}
    watch(loop.net, seen)
    loop.step()
    for name, found in seen.items():
        for numbers in found:
            assert numbers[4:] == expected(numbers[:4], channels_last), (name, numbers)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("64-true", torch.float64), ("bf16-true", torch.bfloat16)]
)
def test_the_benchmark_computes_in_the_precision_of_training(precision, dtype, tiny) -> None:
    loop = Subject(tiny(f"trainer.precision={precision}")).bare()
    assert {parameter.dtype for parameter in loop.net.parameters()} == {dtype}
    assert loop.batch[0].dtype == dtype
    loop.step()


def test_the_memory_format_changes_no_result(tiny) -> None:
    logits = []
    for channels_last in (False, True):
        torch.manual_seed(0)
        subject = Subject(tiny())
        subject.cfg.task.channels_last = channels_last
        logits.append(subject.bare().net.eval()(subject.batch[0]))
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
