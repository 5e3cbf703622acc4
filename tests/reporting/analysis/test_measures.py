"""The measures of an analysis, on outputs whose answer is known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from resnet_lab.data.sources.base import Images
from resnet_lab.reporting.analysis import duplicates
from resnet_lab.reporting.analysis.calibration import (
    calibration,
    equal_mass_bins,
    fitted_temperature,
)
from resnet_lab.reporting.analysis.classes import (
    class_rows,
    confident_mistakes,
    confusion,
    doubtful_labels,
    hesitant_hits,
    top_confusions,
)
from resnet_lab.reporting.analysis.figures import plane, reliability
from resnet_lab.reporting.analysis.outputs import Outputs


def outputs(logits: torch.Tensor, labels: torch.Tensor, features=None) -> Outputs:
    pixels = torch.zeros(len(labels), 2, 2, 1, dtype=torch.uint8)
    return Outputs("test", pixels, labels, logits.float(), features, [])


def drawn(temperature: float, count: int = 4000) -> Outputs:
    """Return labels that are drawn from the softmax of the logits divided by a temperature."""
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 5, generator=random)
    labels = torch.multinomial((logits / temperature).softmax(1), 1, generator=random)[:, 0]
    return outputs(logits, labels)


def test_classes_are_scored_as_scikit_learn_does() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    found = drawn(2.0, 300)
    rows = class_rows(confusion(found))
    expected = precision_recall_fscore_support(found.labels, found.predicted)
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert [row[name] for row in rows] == pytest.approx(values.tolist())
        assert all(row[f"{name}_low"] < row[name] < row[f"{name}_high"] for row in rows)


def test_a_class_without_images_has_no_score() -> None:
    rows = class_rows(np.array([[2, 0], [0, 0]]))
    assert rows[0]["f1"] == 1
    assert rows[1]["recall"] is rows[1]["precision"] is rows[1]["f1"] is None


def test_confusions_and_extremes_are_in_order() -> None:
    logits = torch.tensor([[5.0, 0, 0], [0, 2, 0], [0, 9, 0], [0, 0, 1], [3, 0, 0]])
    found = outputs(logits, torch.tensor([0, 0, 0, 2, 1]))
    assert top_confusions(confusion(found)) == [(0, 1, 2), (1, 0, 1)]
    assert confident_mistakes(found) == [2, 4, 1]
    assert hesitant_hits(found) == [3, 0]


def test_a_label_is_doubtful_only_if_its_neighbours_disagree_too() -> None:
    features = torch.tensor([[1.0, 0]] * 15 + [[0, 1.0]] * 15)
    labels = torch.tensor([0] * 15 + [1] * 15)
    logits = 4 * features.clone()
    labels[3] = 1  # among images of class 0, and predicted as such
    logits[20] = torch.tensor([4.0, 0])  # wrong, but its neighbours have its label
    assert doubtful_labels(outputs(logits, labels, features)) == [3]
    assert doubtful_labels(outputs(logits, labels)) == []


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_is_found_and_calibrates(temperature: float) -> None:
    found = drawn(temperature)
    fitted = fitted_temperature(found.logits, found.labels)
    assert fitted == pytest.approx(temperature, rel=0.06)
    before, after = calibration(found), calibration(found, fitted)
    assert after["nll"] <= before["nll"]
    assert after["ece"] <= after["ece_by_chance"]
    assert (before["ece"] > before["ece_by_chance"]) == (temperature != 1)
    assert before["ece_low"] < before["ece"] < before["ece_high"]


def test_calibration_error_is_that_of_its_definition() -> None:
    confidence = torch.tensor([0.6, 0.7, 0.8, 0.9]).repeat_interleave(40)
    right = torch.arange(160) % 4 != 0
    logits = torch.stack([confidence.log(), (1 - confidence).log()], 1)
    found = calibration(outputs(logits, (~right).long()))
    assert [each["images"] for each in found["bins"]] == [40] * 4
    assert found["ece"] == pytest.approx((0.15 + 0.05 + 0.05 + 0.15) / 4, abs=1e-6)
    brier = ((1 - confidence - (~right).float()) ** 2).mean() * 2
    assert found["brier"] == pytest.approx(float(brier), abs=1e-6)


def test_bins_hold_equally_many_images() -> None:
    sizes = np.bincount(equal_mass_bins(np.random.default_rng(0).random(1000)))
    assert len(sizes) == 15
    assert sizes.max() - sizes.min() <= 1
    assert set(equal_mass_bins(np.ones(3))) == {0}


@pytest.mark.parametrize("classes", [3, 30])
def test_figures_are_drawn_for_few_and_for_many_classes(classes: int) -> None:
    points = np.random.default_rng(0).normal(size=(60, 2))
    labels = np.arange(60) % classes
    names = [f"_{label} $x$" for label in range(classes)]
    figure = plane({"pca": points, "tsne": points, "explained": [0.5, 0.2]}, labels, names)
    figure.canvas.draw()
    assert bool(figure.legends) == (classes == 3)
    reliability({"as trained": calibration(drawn(1.0, 200))}).canvas.draw()


def test_near_duplicates_are_told_by_their_pixels(monkeypatch) -> None:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 250, (40, 16, 16, 3), generator=random).to(torch.uint8)
    images, numbers = Images(pixels, torch.arange(40)), torch.arange(5, 40)  # the others validate
    brighter, other = pixels[17] + 5, pixels[30].flip(0)
    shown = torch.stack([pixels[13], brighter, other, pixels[2]])
    found = Outputs("test", shown, torch.zeros(4), torch.zeros(4, 3), None, [])
    data = SimpleNamespace(setup=lambda stage: None, images=lambda split: (images, numbers))
    network: Any = SimpleNamespace(data=data)
    pairs = duplicates.near_duplicates(network, found)
    assert sorted((pair.image, pair.training, pair.label) for pair in pairs) == [
        (0, 13, 13), (1, 17, 17),
    ]  # fmt: skip
    assert all(pair.correlation == pytest.approx(1) for pair in pairs)
    with monkeypatch.context() as streaming:
        streaming.setattr(duplicates, "on_disk", lambda pixels: pixels is images.pixels)
        assert duplicates.near_duplicates(network, found) == []
    monkeypatch.setattr(duplicates, "MOST", 34)
    assert duplicates.near_duplicates(network, found) == []
