"""A compiled network is compiled for the batches that it trains on, and for nothing else."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import nn

from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.sweeps.preflight import preflight
from resnet_lab.train import train
from resnet_lab.training.preparing.network_check import compile_mode


class Compiled(NamedTuple):
    """One graph that the compiler was given."""

    trains: bool
    images: tuple[Any, ...]  # shape; a side that may vary is no int


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Compiled]:
    """What the compiler was given; it runs as it is, for TorchInductor takes long."""
    graphs: list[Compiled] = []

    def note(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        (images,) = (
            entry.shape
            for entry in inputs
            if isinstance(entry, torch.Tensor)
            and entry.ndim == 4
            and not isinstance(entry, nn.Parameter)
        )
        graphs.append(Compiled(torch.is_grad_enabled(), tuple(images)))
        return graph.forward

    compile = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode=None: compile(self, backend=note))
    torch._dynamo.reset()
    return graphs


def test_training_compiles_once_for_a_batch_of_fixed_size(compiled, tiny, tmp_path: Path) -> None:
    cfg = tiny("task.compile=true", "trainer.limit_val_batches=2")
    cfg.callbacks.summary = {"_target_": "resnet_lab.callbacks.summary.ModelSummary"}
    with ActiveRun.open(tmp_path / "run", cfg) as run:
        fit_and_test(run)
    assert [graph.images for graph in compiled if graph.trains] == [(32, 1, 8, 8)]
    assert all(type(side) is int for graph in compiled[:1] for side in graph.images)
    assert compiled[0].trains  # nothing is compiled before, to look at the network
    assert compiled[1].images == (32, 1, 8, 8)  # for validation; the last batches vary


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_cuda_graphs_with_accumulation_are_refused(mode: str, tiny, tmp_path: Path) -> None:
    """Their gradients would be wrong (pytorch/pytorch#96693, #169545)."""
    cfg = tiny(f"task.compile={mode}", "trainer.accumulate_grad_batches=2")
    text = f"task.compile={mode} .*accumulate_grad_batches=2.*use task.compile=true"
    for start in (preflight, lambda cfg: train(cfg, tmp_path / "run")):
        with pytest.raises(ValueError, match=text):
            start(cfg.copy())


def test_accumulation_that_begins_later_is_refused_too(compiled, tiny, tmp_path: Path) -> None:
    cfg = tiny("task.compile=reduce-overhead")
    later = GradientAccumulationScheduler({1: 2})
    with (
        pytest.raises(ValueError, match=r"accumulate_grad_batches=2: use task.compile=true"),
        ActiveRun.open(tmp_path / "run", cfg) as run,
    ):
        fit_and_test(run, later)
    assert run.status["epochs"] == 1


def test_other_modes_accumulate() -> None:
    assert compile_mode(True, 2) is None
    assert compile_mode("max-autotune-no-cudagraphs", 2) == "max-autotune-no-cudagraphs"
