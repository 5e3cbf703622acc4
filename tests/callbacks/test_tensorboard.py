"""What TensorBoard is given besides curves."""

from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_lab.callbacks.tensorboard import _graph
from resnet_lab.train import train


def test_jobs_of_one_process_share_the_graph_of_a_network(tiny, tmp_path, monkeypatch) -> None:
    traced = []
    trace = torch.jit.trace
    monkeypatch.setattr(torch.jit, "trace", lambda *a, **k: traced.append(1) or trace(*a, **k))
    _graph.cache_clear()
    for name, *overrides in (
        ("a", "seed=0"), ("b", "seed=1"), ("plain", "model.residual=false"),
    ):  # fmt: skip
        train(tiny("trainer.max_epochs=1", *overrides), tmp_path / name)
        assert EventAccumulator(str(tmp_path / name)).Reload().Tags()["graph"]
    assert len(traced) == 2  # a trace is never freed: as many as there are networks, not jobs
    assert Path("a/metrics.csv").exists()
