"""Find class folders and the picture files in them."""

import os
from pathlib import Path

from resnet_lab.data.decoding.decode import EXTENSIONS


def class_names(root: str) -> tuple[str, ...]:
    """Return the names of a folder's classes, sorted; a ValueError if there are fewer than 2."""
    folder = Path(root).expanduser().absolute()
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise ValueError(
            f"image folder {folder} {problem}: name a folder that holds one sub-folder a class"
        )
    if has_splits(folder):
        folder = folder / "train"
    names = tuple(entry.name for entry in folders_in(folder))
    if len(names) < 2:
        loose = sum(_is_picture(path.name) for path in folder.iterdir())
        found = f"{loose} images directly in it and " if loose else ""
        found += f"one sub-folder ({names[0]})" if names else "no sub-folders"
        raise ValueError(
            f"image folder {folder} holds {found}: sort the images into one sub-folder a class, "
            "two or more"
        )
    return names


def pictures(folder: Path, within: Path | None = None) -> list[Path]:
    """Return the picture files anywhere below `folder`, sorted; links are followed.

    They may not lead out of the folder `within`. Raises a ValueError if one does, or if some folder
    may not be read.
    """

    def refuse(error: OSError) -> None:
        raise ValueError(f"folder {error.filename} cannot be read: {error.strerror}") from error

    fence = None if within is None else os.path.realpath(within)

    def check(path: str, place: str) -> None:
        if fence is not None and os.path.commonpath([fence, place]) != fence:
            raise ValueError(
                f"{path} is a link that leads out of {within}: put there what it leads to, or set "
                "data.source.follow_links=true"
            )

    found, seen = [], set()
    for here, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = sorted(filter(_counts, folders))
        place = os.path.realpath(here)
        if place in seen:  # a link back to where we have been
            folders.clear()
            continue
        check(here, place)
        seen.add(place)
        paths = [os.path.join(here, name) for name in files if _is_picture(name)]  # noqa: PTH118
        for path in paths if fence is not None else ():
            if os.path.islink(path):  # noqa: PTH114  # of millions of files, each as fast as can be
                check(path, os.path.realpath(path))
        found += paths
    return [Path(name) for name in sorted(found)]


def has_splits(root: Path) -> bool:
    """Tell whether `root/train` holds class folders, and is not a class itself."""
    return (root / "train").is_dir() and bool(folders_in(root / "train"))


def _counts(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _is_picture(name: str) -> bool:
    _, dot, extension = name.rpartition(".")
    return _counts(name) and bool(dot) and extension.lower() in EXTENSIONS


def folders_in(folder: Path) -> list[Path]:
    """Return the sub-folders that count, sorted by name."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and _counts(path.name))
    except OSError as error:
        raise ValueError(f"folder {folder} cannot be read: {error.strerror}") from error
