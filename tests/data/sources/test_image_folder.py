"""A folder of pictures as a data set: what is read, how it is split, and what is refused."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_lab.data.sources import ImageFolder, image_folder
from resnet_lab.data.sources.folders import class_names, pictures
from tests.data.fakes import error, write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "photos"


# ---- splits


def test_one_folder_a_class(root: Path) -> None:
    write_folder(root, {"cat": 10, "dog": 20})
    source = ImageFolder(str(root), image_size=16)
    source.prepare()
    assert source.classes == class_names(str(root)) == ("cat", "dog")
    assert source.splits == ("train", "test")
    train, test = source.read("train"), source.read("test")
    assert train.pixels.shape == (24, 16, 16, 3)
    assert train.pixels.dtype == torch.uint8
    assert train.pixels.is_contiguous()
    assert train.labels.dtype == torch.int64
    assert train.labels.bincount().tolist() == [8, 16]
    assert test.labels.bincount().tolist() == [2, 4]
    greys = torch.cat([train.pixels, test.pixels])[:, 0, 0, 0].tolist()
    assert sorted(greys) == [*range(10), *range(40, 60)]  # every picture, once
    labels = [*train.labels, *test.labels]
    assert all(grey // 40 == label for grey, label in zip(greys, labels, strict=True))


def test_test_split_is_seeded(root: Path) -> None:
    write_folder(root, {"cat": 20, "dog": 20})

    def greys(**options: Any) -> list[int]:
        return (
            ImageFolder(str(root), image_size=4, **options).read("test").pixels[:, 0, 0, 0].tolist()
        )

    assert greys() == greys()
    assert greys() != greys(split_seed=1)
    assert len(greys(test_fraction=0.5)) == 20


def test_new_pictures_leave_the_others_on_their_side(root: Path) -> None:
    write_folder(root, {"cat": 100, "dog": 100}, size=(4, 4))
    source = ImageFolder(str(root), image_size=4)
    before = set(source.read("test").pixels[:, 0, 0, 0].tolist())
    (root / "cat" / "000.png").rename(root / "cat" / "moved.png")
    after = set(source.read("test").pixels[:, 0, 0, 0].tolist())
    assert len(before ^ after) <= 4


def testsplits_of_its_own(root: Path) -> None:
    for split, count in (("train", 5), ("val", 3), ("test", 2)):
        write_folder(root / split, {"cat": count, "dog": count})
    source = ImageFolder(str(root), image_size=8)
    source.prepare()
    assert source.splits == ("train", "val", "test")
    assert source.classes == class_names(str(root)) == ("cat", "dog")
    assert [len(source.read(split).labels) for split in source.splits] == [10, 6, 4]


def test_without_a_test_folder_a_share_of_train_is_the_test_split(root: Path) -> None:
    for split, count in (("train", 10), ("val", 3)):
        write_folder(root / split, {"cat": count, "dog": count})
    source = ImageFolder(str(root), image_size=8)
    source.prepare()
    assert [len(source.read(split).labels) for split in source.splits] == [16, 6, 4]


def test_a_class_may_be_called_train(root: Path) -> None:
    write_folder(root, {"car": 4, "train": 4})
    assert ImageFolder(str(root), image_size=8).classes == ("car", "train")


def test_only_the_split_asked_for_is_read(root: Path) -> None:
    for split in ("train", "test"):
        write_folder(root / split, {"cat": 2, "dog": 2})
    (root / "test" / "cat" / "000.png").write_bytes(b"not a picture")
    source = ImageFolder(str(root), image_size=8)
    source.prepare()
    assert len(source.read("train").labels) == 4
    assert "1 of 4 images" in error(source, "test")


# ---- which files


def test_other_files_are_ignored_and_deeper_folders_are_not(root: Path) -> None:
    write_folder(root, {"cat": 2, "dog": 2})
    write_folder(root / "cat", {"2024": 2, ".hidden": 2, "__MACOSX": 2})
    shutil.move(root / "dog" / "000.png", root / "dog" / "UPPER.PNG")
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "._000.png", "png"):
        (root / "cat" / name).write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    (root / ".git").mkdir()
    assert class_names(str(root)) == ("cat", "dog")
    names = [path.relative_to(root).as_posix() for path in pictures(root)]
    assert names == [
        "cat/000.png",
        "cat/001.png",
        "cat/2024/000.png",
        "cat/2024/001.png",
        "dog/001.png",
        "dog/UPPER.PNG",
    ]
    ImageFolder(str(root), image_size=8).prepare()


def test_links_are_followed_and_circles_end(root: Path, tmp_path: Path) -> None:
    write_folder(root, {"cat": 2})
    write_folder(tmp_path / "elsewhere", {"dog": 3})
    (root / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (root / "cat" / "circle").symlink_to(root / "cat")
    source = ImageFolder(str(root), image_size=8, follow_links=True)
    assert len(source.read("train").labels) + len(source.read("test").labels) == 5


def test_order_is_that_of_the_names(root: Path) -> None:
    for split in ("train", "test"):
        write_folder(root / split, {"a": 100, "b": 100}, size=(4, 4))
    greys = ImageFolder(str(root), image_size=4).read("train").pixels[:, 0, 0, 0].tolist()
    assert greys == [*range(100), *range(40, 140)]


# ---- what a user can get wrong


def test_no_such_folder(root: Path) -> None:
    assert f"{root} does not exist" in error(ImageFolder(str(root)))
    with pytest.raises(ValueError, match="does not exist"):
        class_names(str(root))


def test_root_is_a_file(root: Path) -> None:
    root.write_text("x")
    assert f"{root} is not a folder" in error(ImageFolder(str(root)))


def test_pictures_without_class_folders(root: Path) -> None:
    root.mkdir()
    for name in ("a.jpg", "b.PNG", "c.txt"):
        (root / name).write_bytes(b"x")
    message = error(ImageFolder(str(root)))
    assert "2 images directly in it and no sub-folders" in message
    assert "one sub-folder a class" in message


def test_only_one_class(root: Path) -> None:
    write_folder(root, {"cat": 2})
    assert "one sub-folder (cat)" in error(ImageFolder(str(root)))


def test_empty_class_folder(root: Path) -> None:
    write_folder(root, {"cat": 2, "dog": 2, "emu": 0})
    (root / "emu" / "picture.heic").write_bytes(b"x")
    message = error(ImageFolder(str(root)))
    assert f"{root / 'emu'} holds no images" in message


def test_class_with_one_picture(root: Path) -> None:
    write_folder(root, {"cat": 2, "dog": 1})
    assert f"{root / 'dog'} holds 1 image" in error(ImageFolder(str(root)))


@pytest.mark.parametrize(("more", "less"), [("train", "test"), ("test", "train"), ("train", "val")])
def test_class_missing_from_a_split(root: Path, more: str, less: str) -> None:
    for split in ("train", "val", "test"):
        write_folder(root / split, {"cat": 2, "dog": 2})
    for split in {"train", "val", "test"} - {less}:
        write_folder(root / split, {"emu": 2})
    message = error(ImageFolder(str(root)))
    assert "class 'emu'" in message
    assert f"none in {root / less}" in message


def test_misnamed_validation_folder(root: Path) -> None:
    for split in ("train", "valid"):
        write_folder(root / split, {"cat": 2, "dog": 2})
    assert f"{root / 'valid'} would not be used: rename it to val" in error(ImageFolder(str(root)))


def test_pictures_that_cannot_be_read_are_counted_and_the_first_is_named(root: Path) -> None:
    for split in ("train", "test"):
        write_folder(root / split, {"cat": 4, "dog": 4}, suffix="jpg")
    folder = root / "train" / "cat"
    (folder / "001.jpg").write_bytes((folder / "001.jpg").read_bytes()[:300])
    (folder / "002.jpg").write_bytes(b"")
    (folder / "003.jpg").unlink()
    (folder / "003.jpg").symlink_to(root / "gone.jpg")
    message = error(ImageFolder(str(root), image_size=8))
    assert f"3 of 8 images cannot be read, the first is {folder / '001.jpg'} (" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden(root: Path) -> None:
    for split in ("train", "test"):
        write_folder(root / split, {"cat": 2, "dog": 2})
    path = root / "train" / "cat" / "000.png"
    path.chmod(0)
    assert str(path) in error(ImageFolder(str(root), image_size=8))
    path.parent.chmod(0)
    message = error(ImageFolder(str(root), image_size=8))
    path.parent.chmod(0o755)
    assert str(path.parent) in message


def test_forbidden_folder_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(root, {"cat": 2, "dog": 2})
    refusal = PermissionError(13, "Permission denied", str(root / "cat"))

    def walk(*args: Any, onerror: Any, **kwargs: Any) -> Any:
        onerror(refusal)

    monkeypatch.setattr(image_folder.os, "walk", walk)
    assert f"folder {root / 'cat'} cannot be read: Permission denied" in error(
        ImageFolder(str(root))
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": 0}, "image_size=0"),
        ({"channels": 4}, "channels=4"),
        ({"fit": "squash"}, "fit=squash: choose one of crop, pad, stretch"),
        ({"test_fraction": 1.0}, "test_fraction=1.0"),
    ],
)
def test_impossible_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ImageFolder("photos", **options)


def test_unknown_split(root: Path) -> None:
    write_folder(root, {"cat": 2, "dog": 2})
    with pytest.raises(ValueError, match="no split 'val'"):
        ImageFolder(str(root)).read("val")
