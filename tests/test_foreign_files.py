"""Files from elsewhere are data, never code: a hostile specimen of each kind."""

from pathlib import Path

import pytest
from PIL import Image, PsdImagePlugin

from resnet_lab.data.image_folder import ImageFolder

# ---- data


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures, two classes, with splits."""
    root = tmp_path / "photos"
    for split in ("train", "test"):
        for grey, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for index in range(3):
                picture = Image.new("L", (8, 8), 100 * grey + index)
                picture.save(root / split / name / f"{index}.png")
    return root


def refused(source: ImageFolder) -> str:
    """Return what is said of a folder, in one line, before or while it is read."""
    said = ""
    try:
        source.prepare()
        source.read("train")
    except ValueError as caught:
        said = str(caught)
    assert said, "no error"
    assert "\n" not in said
    return said


HOSTILE = {  # first bytes of formats that Pillow knows and we do not open, under a listed name
    "a PostScript program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n",
    "a Photoshop file": b"8BPS\0\1"
    + b"\0" * 6
    + b"\0\3\0\0\0\x08\0\0\0\x08\0\x08\0\3"
    + b"\0" * 12,
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + b"\0" * 64,
    "an icon": b"\0\0\1\0\1\0\x08\x08\0\0\1\0\x20\0\x10\0\0\0\x16\0\0\0" + b"\0" * 64,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_only_the_listed_formats_are_opened(
    name: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*arguments: object) -> None:
        raise AssertionError("a plugin that nobody asked for was started")

    Image.init()
    for plugin in ("EPS", "PSD", "HDF5", "ICO"):
        monkeypatch.setitem(Image.OPEN, plugin, (opened, Image.OPEN[plugin][1]))
    assert PsdImagePlugin._accept(HOSTILE["a Photoshop file"])  # the specimens are what they say
    path = photos / "train" / "cat" / "0.png"
    path.write_bytes(HOSTILE[name])
    assert f"1 of 6 images cannot be read, the first is {path}" in refused(ImageFolder(str(photos)))


@pytest.mark.parametrize("kind", ["picture", "folder", "class", "split"])
def test_links_do_not_lead_out_of_an_image_folder(kind: str, photos: Path, tmp_path: Path) -> None:
    link = {
        "picture": photos / "train" / "cat" / "9.png",
        "folder": photos / "train" / "cat" / "more",
        "class": photos / "train" / "dog",
        "split": photos / "train",
    }[kind]
    secret = tmp_path / "secret"
    if link.exists():
        link.rename(secret)
    elif kind == "folder":
        secret.mkdir()
    else:
        Image.new("L", (8, 8)).save(secret, "png")
    link.symlink_to(secret)
    said = refused(ImageFolder(str(photos)))
    assert "is a link that leads out of" in said
    assert "data.source.follow_links=true" in said
    source = ImageFolder(str(photos), follow_links=True)
    source.prepare()
    assert len(source.read("train").labels) >= 6


def test_links_within_an_image_folder_and_to_it_are_followed(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "cat" / "9.png").symlink_to(photos / "test" / "cat" / "0.png")
    (tmp_path / "link").symlink_to(photos)
    for root in (photos, tmp_path / "link"):
        assert len(ImageFolder(str(root)).read("train").labels) == 7
