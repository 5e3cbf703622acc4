"""Torchvision's data sets: what is there is read as it is, and damage is named."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_lab.data.sources import TorchvisionSource
from resnet_lab.data.sources.base import read
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.data.fakes import (
    check,
    error,
    md5,
    offline,  # noqa: F401  (a fixture)
    place_cifar10,
    place_mnist,
    snapshot,
    write_emnist_letters,
    write_eurosat,
    write_sst2,
    write_svhn,
)
from tests.helpers import Command, Compose

pytestmark = pytest.mark.usefixtures("offline")

SVHN = {"train": {"split": "train"}, "test": {"split": "test"}}


# ---- what is there


def test_cifar10(cifar: Any, published: Path, root: Path) -> None:
    place_cifar10(published, root)
    before = snapshot(root)
    source = TorchvisionSource("CIFAR10", str(root))
    source.prepare()
    check(source.read("train"), cifar["train"])
    check(source.read("test"), cifar["test"])
    assert source.classes[:3] == ("airplane", "automobile", "class 2")
    assert len(source.classes) == 10
    assert snapshot(root) == before  # a read-only data directory will do


def test_mnist(mnist: Any, published: Path, root: Path) -> None:
    place_mnist(published, root)
    before = snapshot(root)
    source = TorchvisionSource("MNIST", str(root))
    source.prepare()
    check(source.read("train"), mnist["train"][..., None])
    check(source.read("test"), mnist["test"][..., None])
    assert source.classes == tuple("0123456789")
    assert snapshot(root) == before


def test_svhn(published: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_svhn(root, monkeypatch)
    before = snapshot(root)
    source = TorchvisionSource("SVHN", str(root), **SVHN)
    source.prepare()
    check(source.read("train"), images["train"])
    check(source.read("test"), images["test"])
    assert source.classes == tuple("0123456789")
    assert snapshot(root) == before


def test_picture_files_with_a_validation_split(root: Path) -> None:
    write_sst2(root)
    splits: Any = {split: {"split": split} for split in ("train", "val", "test")}
    source = TorchvisionSource("RenderedSST2", str(root), image_size=16, channels=1, **splits)
    source.prepare()
    assert source.splits == ("train", "val", "test")
    images = source.read("val")
    assert images.pixels.shape == (8, 16, 16, 1)
    assert images.pixels[images.labels == 0].unique().tolist() == [50]
    assert images.pixels[images.labels == 1].unique().tolist() == [200]
    assert source.classes == ("negative", "positive")


def test_picture_files_need_a_size(root: Path) -> None:
    write_sst2(root)
    splits: Any = {split: {"split": split} for split in ("train", "test")}
    source = TorchvisionSource("RenderedSST2", str(root), **splits)
    assert "set data.source.image_size" in error(source)


def test_reading_is_silent(
    cifar: Any, published: Path, root: Path, capfd: Any, recwarn: pytest.WarningsRecorder
) -> None:
    place_cifar10(published, root)
    TorchvisionSource("CIFAR10", str(root)).read("train")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_only_the_split_asked_for_is_read(mnist: Any, published: Path, root: Path) -> None:
    raw = place_mnist(published, root)
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"damaged")
    source = TorchvisionSource("MNIST", str(root))
    source.prepare()
    check(source.read("train"), mnist["train"][..., None])


def test_equal_sources_share_what_was_read(cifar: Any, published: Path, root: Path) -> None:
    place_cifar10(published, root)
    one = TorchvisionSource("CIFAR10", str(root), train={"train": True}, mirrors=["http://a/"])
    two = TorchvisionSource("CIFAR10", str(root), train={"train": True}, mirrors=["http://a/"])
    assert one == two
    assert read(one, "train").pixels is read(two, "train").pixels
    assert two.classes[0] == "airplane"
    read.cache_clear()


# ---- damage


def test_truncated_batch(cifar: Any, published: Path, root: Path) -> None:
    batch = place_cifar10(published, root) / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[: batch.stat().st_size // 2])
    message = error(TorchvisionSource("CIFAR10", str(root)))
    assert str(batch) in message
    assert "delete it" in message


@pytest.mark.parametrize("keep", [0, 3, 10, 1000, -1])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_truncated_idx(mnist: Any, published: Path, root: Path, name: str, keep: int) -> None:
    path = place_mnist(published, root) / name
    whole = path.read_bytes()
    path.write_bytes(whole[: min(keep, len(whole) - 2)])
    message = error(TorchvisionSource("MNIST", str(root)))
    assert str(path) in message
    assert "delete it" in message


def test_images_and_labels_that_do_not_belong_together(
    mnist: Any, published: Path, root: Path
) -> None:
    raw = place_mnist(published, root)
    shutil.copy(raw / "t10k-labels-idx1-ubyte", raw / "train-labels-idx1-ubyte")
    assert "60 images and 20 labels" in error(TorchvisionSource("MNIST", str(root)))


def test_truncated_mat(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_svhn(root, monkeypatch)
    path = root / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:5000])
    assert str(path) in error(TorchvisionSource("SVHN", str(root), **SVHN))


# ---- what a user can get wrong


def test_misspelt_data_set(root: Path) -> None:
    assert "CIFAR10 or CIFAR100" in error(TorchvisionSource("CIFR10", str(root)))


def test_wrong_argument(cifar: Any, published: Path, root: Path) -> None:
    place_cifar10(published, root)
    assert "unexpected keyword argument 'split'" in error(
        TorchvisionSource("CIFAR10", str(root), train={"split": "train"})
    )


def test_mirrors_of_a_set_that_has_none(root: Path) -> None:
    splits: Any = {split: {"split": split} for split in ("train", "test")}
    source = TorchvisionSource(
        "RenderedSST2", str(root), mirrors=("http://127.0.0.1:9/",), **splits
    )
    assert "remove mirrors" in error(source)


def test_unknown_split(cifar: Any, published: Path, root: Path) -> None:
    place_cifar10(published, root)
    with pytest.raises(ValueError, match="no split 'val'"):
        TorchvisionSource("CIFAR10", str(root)).read("val")


def test_unknown_files_missing(root: Path) -> None:
    splits: Any = {split: {"split": split} for split in ("train", "test")}
    source = TorchvisionSource("RenderedSST2", str(root), image_size=8, **splits)
    assert "no network in tests" in error(source)
    assert list(root.iterdir()) == [root / ".RenderedSST2.lock"]


# ---- what kinds of sets


def test_a_set_without_a_test_split_has_a_part_set_aside(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import SEMEION

    root.mkdir()
    images = np.random.default_rng(0).integers(0, 2, (100, 256))
    classes = np.eye(10, dtype=int)[np.arange(100) % 10]
    np.savetxt(root / "semeion.data", np.hstack([images, classes]), fmt="%d")
    monkeypatch.setattr(SEMEION, "md5_checksum", md5(root / "semeion.data"))
    source = TorchvisionSource("SEMEION", str(root), train={}, test={})
    source.prepare()
    train, test = source.read("train"), source.read("test")
    assert train.labels.bincount().tolist() == [8] * 10
    assert test.labels.bincount().tolist() == [2] * 10
    both = torch.cat([train.pixels, test.pixels]).flatten(1)
    assert len(both.unique(dim=0)) == 100


def opened(monkeypatch: pytest.MonkeyPatch, items: Any) -> None:
    monkeypatch.setattr(TorchvisionSource, "_open", lambda source, split: items)


@pytest.mark.parametrize("target", [[1, 2], {"boxes": []}, "a dog", torch.zeros(40)])
def test_sets_of_other_targets_are_refused(
    target: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(monkeypatch, [(Image.new("RGB", (8, 8)), target)] * 2)
    source = TorchvisionSource("CelebA", str(root), image_size=8)
    with pytest.raises(ValueError, match=f"a {type(target).__name__} are no picture and class"):
        source.read("train")


def test_pictures_may_be_rectangular_and_are_fitted_as_asked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(monkeypatch, [(Image.new("L", (8, 8), 200), label) for label in (0, 1)])
    for fit, black in (("crop", 0), ("pad", 8 * 8), ("stretch", 0)):
        source = TorchvisionSource("DTD", str(root), image_size=[8, 16], channels=1, fit=fit)
        pixels = source.read("train").pixels
        assert pixels.shape == (2, 8, 16, 1)
        assert int((pixels[0] == 0).sum()) == black


def test_arrays_of_other_numbers_need_a_range(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.array([0, 1000, 2000, 4000], np.int32).reshape(2, 1, 1, 2)  # [N, C, H, W]
    opened(monkeypatch, SimpleNamespace(data=data, targets=[0, 1]))
    with pytest.raises(ValueError, match=r"int32 values from 0 to 4000.*range=\["):
        TorchvisionSource("STL10", str(root)).read("train")
    found = TorchvisionSource("STL10", str(root), range=[0, 4000]).read("train").pixels
    assert found.flatten().tolist() == [0, 64, 128, 255]


# ---- any set, by its name alone


def test_emnist_is_upright_and_its_letters_count_from_0(root: Path) -> None:
    written = write_emnist_letters(root)
    source = TorchvisionSource("EMNIST", str(root), options={"split": "letters"}, train=None)
    for split, images in written.items():
        check(source.read(split), images[..., None])
    assert source.classes == tuple("abcdefghijklmnopqrstuvwxyz")


def test_a_set_without_a_yaml_has_its_facts_found_and_recorded(root: Path, tiny: Compose) -> None:
    write_emnist_letters(root)
    cfg = tiny(
        "data=torchvision", "data.dataset=EMNIST", "data.options.split=letters",
        f"data_dir={root}", "data.batch_size=8", "data.val_size=10",
    )  # fmt: skip
    train(cfg, "run")
    run = Run.load("run")
    assert run.status["state"] == "done"
    facts = {key: run.config.data[key] for key in ("num_classes", "channels", "image_size")}
    assert facts == {"num_classes": 26, "channels": 1, "image_size": 28}
    assert run.config.model.num_classes == 26
    assert run.load_task()[1]["classes"][0] == "a"
    train(cfg, "run")  # a finished run of the same configuration


def test_pictures_that_vary_in_size_are_fitted(root: Path, tiny: Compose) -> None:
    write_eurosat(root)
    found = tiny("data=torchvision", "data.dataset=EuroSAT", f"data_dir={root}")
    for size, side in (("null", 64), ("16", 16)):
        cfg = found.copy()
        cfg.data.image_size = None if size == "null" else int(size)
        cfg.data.batch_size = 8
        train(cfg, f"run{side}")
        data = Run.load(f"run{side}").config.data
        assert (data.num_classes, data.channels, data.image_size) == (2, 3, side)
        assert data.source.image_size == side


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("MNIST", {"train": {"train": True}, "test": {"train": False}}),
        ("SVHN", {"train": {"split": "train"}, "test": {"split": "test"}}),
        ("DTD", {name: {"split": name} for name in ("train", "val", "test")}),
        ("OxfordIIITPet", {"train": {"split": "trainval"}, "test": {"split": "test"}}),
        ("Country211", {"train": {"split": "train"}, "val": {"split": "valid"},
                        "test": {"split": "test"}}),
        ("Imagenette", {"train": {"split": "train"}, "test": {"split": "val"}}),
        ("Caltech101", {"train": {}, "test": {}}),
    ],
)  # fmt: skip
def test_splits_follow_from_what_torchvision_takes(name: str, splits: Any, root: Path) -> None:
    source = TorchvisionSource(name, str(root), train=None)
    assert {split: dict(getattr(source, split)) for split in source.splits} == splits
    assert not root.exists()


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["data.dataset=EMNISST"], "torchvision has no data set 'EMNISST': is it EMNIST"),
        (["data.dataset=EMNIST"], "EMNIST.*argument: 'split'.*data.options"),
        (
            ["data.dataset=FGVCAircraft", "+data.options.annotation_level=wheel"],
            "splits of torchvision's FGVCAircraft .*annotation_level",
        ),
        ([], "data.dataset has no value yet: set it with data.dataset="),
    ],
)
def test_what_is_wrong_with_the_name_is_one_line(
    overrides: list[str], text: str, root: Path, command: Command
) -> None:
    code, _, said = command("data=torchvision", f"data_dir={root}", *overrides)
    assert code == 1
    assert len(said.splitlines()) == 1
    assert re.search(text, said), said
