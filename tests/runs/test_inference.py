"""A trained network takes images as they are, and says of them what an evaluation says."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_lab import load
from resnet_lab.core import threads
from resnet_lab.data.sources import Digits
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.inference import load_split
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train


def test_it_computes_what_an_evaluation_measures(trained: Path) -> None:
    images, labels = Digits().read("test")
    net = load(trained)
    logits, probabilities = net(images), net.predict_probabilities(images)
    assert logits.shape == (360, 10)
    assert torch.equal(logits.softmax(1), probabilities)
    found = evaluate(Run.load(trained))
    assert float((logits.argmax(1) == labels).float().mean()) == pytest.approx(found["acc"])
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert float(loss) == pytest.approx(found["loss"], rel=1e-4)
    assert net.classes == list("0123456789")
    assert not net.module.training


def test_files_and_pictures_are_read_as_arrays_are(trained: Path, tmp_path: Path) -> None:
    images = Digits().read("test").pixels[:3]
    pictures = [Image.fromarray(image[..., 0].numpy()) for image in images]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    net = load(trained)
    for given in (paths, [str(path) for path in paths], pictures, images.numpy()):
        assert torch.equal(net(given), net(images))
    assert torch.equal(net(paths[0]), net(images[:1]))


def test_pictures_are_fitted_as_in_training(tiny, tmp_path: Path) -> None:
    """Of a folder whose pictures have other proportions than the network's input."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(8):
                pixels = random.integers(0, 256, (30 + number, 50, 3), dtype=np.uint8)
                file = tmp_path / "photos" / split / name / f"{number}.png"
                Image.fromarray(pixels).save(file)
    cfg = tiny(
        "data=image_folder", f"data.root={tmp_path / 'photos'}", "data.image_size=16",
        "data.source.fit=pad", "data.batch_size=4", "trainer.max_epochs=1", "data.val_size=2",
    )  # fmt: skip
    train(cfg, "run", trust=True)
    *_, data = load_split(Run.load("run"), "test")
    images, _ = data.images("test")
    net = load("run")
    paths = sorted((tmp_path / "photos/test").rglob("*.png"))
    assert torch.equal(net.pixels(paths), images.pixels)
    assert torch.equal(net(paths), net(images.pixels))


def test_test_time_augmentation_is_a_mean_over_views(trained: Path) -> None:
    pixels = Digits().read("test").pixels[:5]
    net = load(trained)
    mirrored = (net.predict_probabilities(pixels) + net.predict_probabilities(pixels.flip(2))) / 2
    assert torch.allclose(net.predict_probabilities(pixels, augment="flip"), mirrored)
    crops = net.predict_probabilities(pixels, augment="ten_crop")
    assert torch.allclose(crops.sum(1), torch.ones(5))
    assert not torch.allclose(crops, net.predict_probabilities(pixels))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(2, 1, 8, 8), "float32"),
        (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), r"must be uint8 \[N, H, W, 1\]"),
    ],
)
def test_other_images_are_refused(given: torch.Tensor, said: str, trained: Path) -> None:
    with pytest.raises(ValueError, match=said):
        load(trained)(given)


def test_what_is_missing_is_named(trained: Path) -> None:
    with pytest.raises(ValueError, match="no such directory"):
        load("nowhere")
    with pytest.raises(ValueError, match="no such checkpoint"):
        load(trained, "nowhere.ckpt")
    with pytest.raises(ValueError, match="device=tpu: must be auto, cpu or gpu"):
        load(trained, device="tpu")


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed", "16-mixed"])
def test_every_precision_of_a_training_is_computed_in(
    precision: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the choice of threads, which runs the network too."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    pixels = Digits().read("test").pixels[:50]
    expected = load(trained).predict_probabilities(pixels)
    config = trained / "config.yaml"
    config.write_text(config.read_text().replace("precision: 32-true", f"precision: {precision}"))
    with threads.using(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported on CPU")
        found = load(trained).predict_probabilities(pixels)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=0.1)
