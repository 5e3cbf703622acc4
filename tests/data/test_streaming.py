"""Streaming: the same batches for any number of workers, ranks and resumes; broken files named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torchvision.transforms import v2

from resnet_lab.data import ImageDataModule
from resnet_lab.data.decoding import pictures
from resnet_lab.data.decoding.pictures import Crops, draw_crop
from resnet_lab.data.loader import Batch
from resnet_lab.data.sources import ImageFolder, image_folder
from resnet_lab.data.sources.base import Images
from resnet_lab.data.streaming import StreamLoader
from resnet_lab.runs.trained.inference import load
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.helpers import Command, Compose, column


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of JPEGs of many sizes: train/ and val/ of three classes."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8)):
        for label in range(3):
            folder = tmp_path / "photos" / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = draw.integers(60, 160, 2)
                coarse = draw.integers(0, 256, (6, 8, 3), np.uint8)
                picture = Image.fromarray(coarse).resize((int(width), int(height)))
                picture.save(folder / f"{number}.jpg")
    return tmp_path / "photos"


def source(root: Path, **options: Any) -> ImageFolder:
    given = {"streaming": True, "cache": str(root.parent / "cache"), "test_folder": "val"}
    return ImageFolder(str(root), image_size=32, **{**given, **options})


def loader(images: Images, workers: int = 0, **options: Any) -> StreamLoader:
    indices = torch.arange(len(images.labels))
    given: dict[str, Any] = {"crop": True, "shuffle": True, "drop_last": True, "seed": 3}
    return StreamLoader(images, indices, 16, workers=workers, **{**given, **options})


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        a.pixels.equal(b.pixels) and a.labels.equal(b.labels) and a.seed == b.seed
        for a, b in zip(first, second, strict=True)
    )


def test_batches_are_the_same_for_any_number_of_workers(root: Path) -> None:
    images = source(root).read("train")
    changes = [v2.RandomRotation(20)]
    state = torch.random.get_rng_state()
    whole = list(loader(images, 0, changes=changes))
    assert same(whole, list(loader(images, 2, changes=changes)))
    assert torch.random.get_rng_state().equal(state)
    assert [len(batch.labels) for batch in whole] == [16] * 4
    later = loader(images)
    later.set_epoch(1)
    assert not same(whole, list(later))


def test_a_resume_goes_on_in_the_middle_of_an_epoch(root: Path) -> None:
    images = source(root).read("train")
    first, position = loader(images, 1), {}
    batches = []
    for batch in first:
        batches.append(batch)
        if len(batches) == 2:
            position = first.state_dict()
    rest = loader(images, 2)
    rest.load_state_dict(position)
    assert same(batches[2:], list(rest))


def test_the_seed_of_the_run_decides_order_and_crops(root: Path) -> None:
    def batches(seed: int) -> list[Batch]:
        data = ImageDataModule(
            source(root), name="photos", num_classes=3, channels=3, image_size=32, batch_size=16,
            mean=[0.5] * 3, std=[0.5] * 3, workers=0, seed=seed,
        )  # fmt: skip
        data.setup("fit")
        return list(data.train_dataloader())

    assert same(batches(1), batches(1))
    assert not same(batches(1), batches(2))


def test_ranks_share_each_batch(root: Path) -> None:
    images = source(root).read("train")
    whole = list(loader(images))
    halves = [list(loader(images, rank=rank, world_size=2)) for rank in (0, 1)]
    for number, batch in enumerate(whole):
        for rank in (0, 1):
            assert halves[rank][number].pixels.equal(batch.pixels[rank::2])
            assert halves[rank][number].labels.equal(batch.labels[rank::2])


def test_crops_are_distributed_as_torchvisions() -> None:
    crops, picture = Crops(), torch.zeros(3, 90, 160)
    ours = torch.tensor([draw_crop((160, 90), crops, seed) for seed in range(4000)]).float()
    torch.manual_seed(0)
    drawn = [v2.RandomResizedCrop(8).make_params([picture]) for _ in range(4000)]
    theirs = torch.tensor([
        [d["left"], d["top"], d["left"] + d["width"], d["top"] + d["height"]] for d in drawn
    ]).float()  # fmt: skip
    assert (ours.min(0).values >= 0).all()
    assert (ours.max(0).values <= torch.tensor([160, 90, 160, 90])).all()
    for change in (torch.mean, torch.std):
        assert torch.allclose(change(ours, 0), change(theirs, 0), atol=2.5)


def test_a_crop_of_a_scaled_jpeg_is_that_of_the_whole_one(tmp_path: Path) -> None:
    slope = np.linspace(0, 255, 800).astype(np.uint8)
    picture = Image.fromarray(np.stack([slope[None].repeat(600, 0)] * 3, -1))
    for suffix in ("jpg", "png"):
        for label in ("a", "b"):
            (tmp_path / suffix / label).mkdir(parents=True)
            for number in range(2):
                picture.save(tmp_path / suffix / label / f"{number}.{suffix}")
    read = [source(tmp_path / suffix).read("train").pixels for suffix in ("jpg", "png")]
    for seed in (*range(10), None):
        scaled, whole = (photos.load(0, seed).int() for photos in read)  # type: ignore[attr-defined]
        assert scaled.shape == (32, 32, 3)
        assert abs(scaled - whole).max() <= 4


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_crops_of_every_kind_of_file_are_upright(tmp_path: Path, mode: str, suffix: str) -> None:
    """White above black as the camera held it, which lies on its side in the file."""
    halves = np.zeros((64, 64), np.uint8)
    halves[:32] = 255
    exif = Image.Exif()
    for turn, lying in ((1, halves), (6, np.rot90(halves))):
        exif[ExifTags.Base.Orientation] = turn
        for label in ("a", "b"):
            (tmp_path / str(turn) / label).mkdir(parents=True)
            for number in range(2):
                place = tmp_path / str(turn) / label / f"{number}.{suffix}"
                Image.fromarray(lying).convert(mode).save(place, exif=exif)
        whole: Any = source(tmp_path / str(turn), scale=[1, 1], ratio=[1, 1]).read("train").pixels
        for seed in (None, 0):
            pixels = whole.load(0, seed)
            assert pixels.shape == (32, 32, 3)
            assert pixels[:12].min() > 240
            assert pixels[20:].max() < 15


@pytest.mark.parametrize("channels", [1, 3])
def test_both_decoders_of_jpegs_give_the_same_pixels(
    root: Path, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    used, cut = [], pictures._cut_by_simplejpeg
    monkeypatch.setattr(
        pictures, "_cut_by_simplejpeg", lambda *args: used.append(cut(*args)) or used[-1]
    )
    photos: Any = source(root, channels=channels).read("train").pixels
    fast = [photos.load(index, seed) for index in range(0, 72, 6) for seed in (0, 1)]
    assert any(one is not None for one in used)  # others are decoded at a fraction of their size
    monkeypatch.setattr(pictures, "simplejpeg", None)
    slow = [photos.load(index, seed) for index in range(0, 72, 6) for seed in (0, 1)]
    assert torch.stack(fast).equal(torch.stack(slow))


def test_validation_takes_the_centre(tmp_path: Path) -> None:
    """Of a slope over 400 pixels, 7/8 of the shorter side lie from 68.75 to 331.25."""
    slope = np.linspace(0, 255, 400)[None].repeat(300, 0).round().astype(np.uint8)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(2):
            Image.fromarray(slope).save(tmp_path / label / f"{number}.png")
    pixels: Any = source(tmp_path).read("train").pixels
    edges = pixels.load(0)[0, [0, -1], 0].tolist()
    width = 262.5 / 32
    assert edges == pytest.approx(
        [(68.75 + width / 2) * 255 / 400, (331.25 - width / 2) * 255 / 400], abs=1
    )


def test_a_batch_may_hold_a_picture_twice(root: Path) -> None:
    images = source(root).read("train")
    batch = next(iter(StreamLoader(images, torch.tensor([4, 7, 4]), 3, workers=0, crop=True)))
    assert batch.pixels[0].equal(batch.pixels[2])
    assert not batch.pixels[0].equal(batch.pixels[1])


def test_the_index_is_built_once_and_follows_the_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    find = image_folder.pictures
    monkeypatch.setattr(image_folder, "pictures", lambda *args: looked.append(args) or find(*args))
    first = source(root).read("train")
    again = source(root).read("train")
    assert len(looked) == 3
    assert first.labels.equal(again.labels)
    assert first.labels.bincount().tolist() == [24] * 3
    (root / "train/class1/new.jpg").write_bytes((root / "train/class1/0.jpg").read_bytes())
    assert source(root).read("train").labels.bincount().tolist() == [24, 25, 24]


def test_a_broken_file_is_named_or_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = root / "train/class1/5.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ValueError, match=f"{broken} cannot be read .*on_error=skip") as error:
        list(loader(source(root).read("train"), 2, drop_last=False))
    assert "\n" not in str(error.value)
    images = source(root, on_error="skip").read("train")
    stream = loader(images, 2, drop_last=False)
    for _ in range(2):
        assert sum(len(batch.labels) for batch in stream) == 71
    assert caplog.text.count(f"1 left out so far: {broken} cannot be read") == 1


def test_a_run_streams_and_resumes_to_the_last_bit(root: Path, tiny: Compose) -> None:
    common = (
        "data=image_folder", f"data.root={root}", "data.streaming=true", "data.image_size=32",
        "data.batch_size=16", "scheduler=none", "data.source.test_folder=val",
        "callbacks.checkpoint.keep=all", f"data.source.cache={root.parent / 'index'}",
    )  # fmt: skip
    train(tiny(*common, "data.workers=0"), "whole")
    train(tiny(*common, "data.workers=1", "trainer.max_epochs=1"), "part")
    train(tiny(*common, "data.workers=2"), "part")
    for name in ("train/loss", "val/loss"):
        assert column(Path("whole"), name) == column(Path("part"), name)
    run = Run.load("part")
    assert run.status["state"] == "done"
    assert run.status["test"]["images"] == 24
    # A trained network reads files as its test did.
    tested: Any = source(root).read("test").pixels
    network = load("part", device="cpu")
    assert network.pixels([tested.path(index) for index in (3, 20)]).equal(
        torch.stack([tested.load(3), tested.load(20)])
    )


def test_the_recipe_of_imagenet_runs_on_a_small_set(root: Path, composed: Compose) -> None:
    cfg = composed(
        "experiment=imagenet_resnet18", f"data.root={root}", "data.num_classes=3",
        "data.image_size=32", "data.batch_size=16", "data.val_size=12", "data.workers=1",
        f"data.source.cache={root.parent / 'index'}", "trainer.max_epochs=3", "expected=null",
        "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.limit_train_batches=1",
        "callbacks.progress=null", "callbacks.summary=null", "callbacks.images=null",
    )  # fmt: skip
    train(cfg, "run")
    run = Run.load("run")
    assert run.status["test"]["images"] == 24  # of val/, which is the test split
    assert run.load_task()[1]["mean"] == [0.485, 0.456, 0.406]


def test_what_is_wrong_with_the_options_is_one_line(root: Path, command: Command) -> None:
    for override, text in (
        ("data.source.on_error=skip", "data.source.on_error=skip needs data.streaming=true"),
        ("data.source.on_error=ignore", "on_error=ignore"),
        ("+data.source.scale=[0.5,2]", "scale"),
        ("data=digits data.streaming=true", "data.streaming=true: only folders are streamed"),
        ("data.folds=3", "data.folds and data.fold need each other"),
        ("data.workers=-1", "data.workers=-1: must be an integer >= 0"),
    ):
        given = ["data=image_folder", f"data.root={root}"] * ("digits" not in override)
        code, _, said = command(*given, *override.split())
        assert code == 1
        assert text in said
        assert len(said.splitlines()) == 1
