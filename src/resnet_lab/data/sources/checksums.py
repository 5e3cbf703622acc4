"""SHA-256 of the files that a data set was read from, for the records of a run."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from resnet_lab.core.files import cache_folder, write
from resnet_lab.data.decoding.pictures import on_disk
from resnet_lab.data.sources.base import Source, read

FEW = 8  # files that are named one by one
SMALL = 2**24  # bytes that are not worth a file in the cache
LARGE = 2**29  # bytes: of more, in many files, the sizes count instead of the contents


@lru_cache(maxsize=3)  # as long as `base.read` keeps the images
def checksums(source: Source) -> dict[str, str]:
    """Return SHA-256 digests of the data of a source by what they are of; it is read by then.

    - A few files: of each.
    - Many files: of the list that `sha256sum` writes, or of sizes and names if they are large.
    - Pictures that are streamed: of the files' names.
    - A source without `data_files`: of the training images and labels, unless they are large.
    """
    pixels, labels = read(source, "train")
    if on_disk(pixels):
        parts: dict[str, Any] = {split: read(source, split).pixels for split in source.splits}
        return {
            f"names of {len(part):,} files of {split}": _sha256([part.names.tobytes()])
            for split, part in parts.items()
        }
    paths: list[Path] = source.data_files() if hasattr(source, "data_files") else []
    paths = sorted({*paths}, key=os.fspath)
    if not paths:
        small = pixels.nbytes <= LARGE
        return {"training images": _sha256([pixels.numpy(), labels.numpy()])} if small else {}
    top = os.path.commonpath([path.parent for path in paths])
    names = [os.fsencode(os.path.relpath(path, top)).decode(errors="replace") for path in paths]
    if len(paths) <= FEW:
        return {name: _kept([path], [name]) for path, name in zip(paths, names, strict=True)}
    sizes = [path.stat().st_size for path in paths]
    if sum(sizes) <= LARGE:
        return {f"sha256sum of {len(paths):,} files": _kept(paths, names)}
    listed = (f"{size}  {name}\n".encode() for size, name in zip(sizes, names, strict=True))
    return {f"sizes and names of {len(paths):,} files": _sha256(listed)}


def _kept(paths: Sequence[Path], names: Sequence[str]) -> str:
    """Return the digest of a file, or of the list of several; kept until one of them changes."""
    stats = [path.stat() for path in paths]
    states = [(str(p), s.st_size, s.st_mtime_ns) for p, s in zip(paths, stats, strict=True)]
    place = cache_folder() / "checksums" / _sha256([repr(states).encode()])
    large = sum(stat.st_size for stat in stats) > SMALL
    with contextlib.suppress(OSError):
        if large:
            return place.read_text()
    digests = [_of_file(path) for path in paths]
    lines = (f"{digest}  {name}\n".encode() for digest, name in zip(digests, names, strict=True))
    found = digests[0] if len(paths) == 1 else _sha256(lines)
    with contextlib.suppress(OSError):  # it is computed again then
        if large:
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place, found)
    return found


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return _sha256(iter(partial(file.read, 2**20), b""))


def _sha256(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
