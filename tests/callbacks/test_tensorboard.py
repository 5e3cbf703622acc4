"""What TensorBoard is given besides curves."""

from pathlib import Path

import markdown  # which TensorBoard shows texts with
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_lab.callbacks.drawing import captioned_grid, confusion_picture
from resnet_lab.callbacks.tensorboard import _graph
from resnet_lab.callbacks.tensorboard_tags import tag
from resnet_lab.train import train
from tests.helpers import DRAWN, column


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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val/acc", "acc/val"),
        ("train/loss_step", "step/loss"),
        ("val/acc_top5", "acc/val_top5"),
        ("val/cohen_kappa", "cohen_kappa/val"),
        ("test/acc", "test/acc"),
        ("lr", "optimizer/lr"),
        ("grad_norm", "optimizer/grad_norm"),
        ("progress/epoch", "progress/epoch"),
    ],
)
def test_a_tag_puts_training_and_validation_side_by_side(name: str, expected: str) -> None:
    assert tag(name) == expected


def test_charts_show_tags_that_a_run_has(tiny, tmp_path) -> None:
    from resnet_lab.callbacks.tensorboard import CHARTS

    train(tiny("trainer.max_epochs=1"), tmp_path / "run")
    scalars = EventAccumulator(str(tmp_path / "run")).Reload().Tags()["scalars"]
    shown = {pattern.rstrip("$") for patterns in CHARTS.values() for pattern in patterns}
    assert shown <= set(scalars)


def test_an_override_does_not_break_the_table_of_the_summary(tiny, tmp_path) -> None:
    train(tiny("trainer.max_epochs=1"), tmp_path / "run", overrides=["name=a`|b`c|d"])
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    (written,) = events.Tensors("summary/text_summary")
    shown = markdown.markdown(
        written.tensor_proto.string_val[0].decode(), extensions=["markdown.extensions.tables"]
    )
    assert "<td><code>resnet-train 'name=a`|b`c|d'</code></td>" in shown
    assert "<td>test/acc</td>" in shown


def test_histograms_of_each_stage_every_few_epochs(tiny, tmp_path) -> None:
    cfg = tiny(
        "trainer.max_epochs=2", "callbacks=[histograms]", "callbacks.histograms.every_n_epochs=2"
    )
    train(cfg, tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run"), size_guidance={"histograms": 0}).Reload()
    tags = events.Tags()["histograms"]
    kinds = ("weights", "gradients", "activations")
    assert {f"stages/layer1 {kind}" for kind in kinds} <= set(tags)
    (only,) = events.Histograms("stages/fc weights")
    assert only.histogram_value.num == 64 * 10  # the bias is no matrix


def test_histograms_refuse_a_compiled_network(tiny, tmp_path) -> None:
    with pytest.raises(ValueError, match="does not go with task"):
        train(tiny("callbacks=[histograms]", "task.compile=true"), tmp_path / "run")


def test_the_gradient_norm_is_that_of_all_gradients_before_clipping(tiny, tmp_path) -> None:
    for name, clip in (("free", "null"), ("clipped", "1e-3")):
        cfg = tiny("trainer.max_epochs=1", f"trainer.gradient_clip_val={clip}")
        train(cfg, tmp_path / name)
    norms = {name: column(tmp_path / name, "grad_norm")[0] for name in ("free", "clipped")}
    assert norms["clipped"] > 1e-2
    assert norms["free"] > 1e-2


def test_a_grid_has_a_cell_for_each_image_and_keeps_pixels_square() -> None:
    picture = captioned_grid(torch.rand(5, 1, 8, 16), ["a", "b", "c", "d", "e\nf"], columns=3)
    assert picture.dtype == torch.uint8
    assert picture.shape == (3, 2 * (96 + 2 * 21 + 4), 3 * (192 + 4))


def test_a_confusion_matrix_is_dark_where_the_images_are() -> None:
    counts = torch.tensor([[8, 2], [0, 0]])  # no image of the second class
    picture = confusion_picture(counts, ["cat", "a long name of a class"]).float().mean(0)
    assert picture[4, 124] < picture[4, 124 + 48] < picture[4 + 48, 124] == 255
    assert confusion_picture(torch.eye(150).long(), [str(n) for n in range(150)]).shape[1] == 900


def test_jobs_of_a_sweep_do_not_repeat_the_training_images(composed, tmp_path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    train(composed(*DRAWN, "trainer.max_epochs=1"), tmp_path / "run")
    images = EventAccumulator(str(tmp_path / "run")).Reload().Tags()["images"]
    assert "train/images" not in images
    assert "val/confusion" in images
