"""Which files a torchvision data set consists of, and how the missing ones come to be there."""

import inspect
import logging
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from resnet_lab.data.sources.decode import error_text

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds without an answer, after which an address counts as dead


class File(NamedTuple):
    """A file that torchvision reads, and the archive that it comes out of; paths below the root."""

    path: str
    md5: str | None = None
    archive: str | None = None
    archive_md5: str | None = None


def files_of(cls: Any, arguments: Mapping[str, Any]) -> list[File]:
    """Return the files of a split of torchvision's `cls`; none where they cannot be told."""
    from torchvision.datasets import CIFAR10, EMNIST, MNIST, QMNIST

    if issubclass(cls, CIFAR10):
        listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
        return [
            File(f"{cls.base_folder}/{name}", md5, cls.filename, cls.tgz_md5)
            for name, md5 in listed
        ]
    if issubclass(cls, MNIST) and not issubclass(cls, (EMNIST, QMNIST)):
        archives = [(f"{cls.__name__}/raw/{name}", md5) for name, md5 in cls.resources]
        return [File(path.removesuffix(".gz"), None, path, md5) for path, md5 in archives]
    if hasattr(cls, "split_list"):  # SVHN, USPS
        split = arguments.get("split", "train" if arguments.get("train", True) else "test")
        if split in cls.split_list:
            _, name, md5 = cls.split_list[split]
            return [File(name, md5)]
    return []


def missing(files: Sequence[File], root: Path) -> list[File]:
    """Return those that are not in `root`."""
    return [file for file in files if not (root / file.path).exists()]


def damaged(files: Sequence[File], root: Path) -> list[Path]:
    """Return the paths of those in `root` that are not what they should be."""
    from torchvision.datasets.utils import check_integrity

    def is_whole(file: File) -> bool:
        path = root / file.path
        return check_integrity(path, file.md5) if file.md5 else _is_whole_idx(path)

    return [root / file.path for file in files if not is_whole(file)]


def construct(cls: Any, root: Path, arguments: Mapping[str, Any], *, download: bool) -> Any:
    """Return torchvision's data set below `root`.

    Raises:
        Exception: whatever torchvision raises for missing or damaged files, RuntimeError mostly.
    """
    able = any("download" in inspect.signature(base).parameters for base in cls.__mro__[:-1])
    return cls(str(root), **arguments, **({"download": download} if able else {}))


def fetch(
    cls: Any, arguments: Mapping[str, Any], root: Path, mirrors: Sequence[str], *, download: bool
) -> None:
    """Put what is missing in `root`: out of an archive that lies there, or downloaded.

    Several processes may ask at once: one of them works and the others wait. Everything is made in
    a folder of its own and moved when it is whole; nothing that was there is written to.

    Raises:
        ValueError: that is not possible; names what is missing and where it belongs.
    """
    files = files_of(cls, arguments)
    if not download and not any((root / str(file.archive)).exists() for file in files):
        raise _incomplete(cls, files, root, "downloading is switched off")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{cls.__name__}.lock"):
            if _is_there(cls, arguments, root):
                return
            inbox = root / f".{cls.__name__}.part"
            shutil.rmtree(inbox, ignore_errors=True)  # of a process that was killed
            try:
                _unpack(missing(files, root), root, inbox)
                if not _is_there(cls, arguments, root):
                    if not download:
                        raise _incomplete(cls, files, root, "downloading is switched off")
                    _download(cls, arguments, root, inbox, mirrors)
            finally:
                shutil.rmtree(inbox, ignore_errors=True)
    except OSError as error:
        raise _incomplete(cls, files, root, error_text(error)) from error


def _is_there(cls: Any, arguments: Mapping[str, Any], root: Path) -> bool:
    if files := files_of(cls, arguments):
        return not missing(files, root)
    try:
        construct(cls, root, arguments, download=False)
    except RuntimeError:
        return False
    return True


def _unpack(files: Sequence[File], root: Path, inbox: Path) -> None:
    """Unpack the archives in `root` that hold these files."""
    from torchvision.datasets.utils import check_integrity, extract_archive

    for archive, md5 in sorted(
        {(file.archive, file.archive_md5) for file in files if file.archive}
    ):
        path = root / archive
        if path.exists():
            if not check_integrity(path, md5):
                raise ValueError(
                    f"{path} is damaged (torchvision expects the MD5 {md5}): delete it, or put a "
                    "whole one in its place"
                )
            (inbox / archive).parent.mkdir(parents=True, exist_ok=True)
            extract_archive(path, (inbox / archive).parent)
            _move(inbox, root)


def _download(
    cls: Any, arguments: Mapping[str, Any], root: Path, inbox: Path, mirrors: Sequence[str]
) -> None:
    """Let torchvision download, from one address after the other until all is there."""
    files, problems = files_of(cls, arguments), []
    inbox.mkdir()
    for address, variant in _variants(cls, mirrors):
        log.info("downloading %s from %s", cls.__name__, address)
        try:
            with _timeout(TIMEOUT):
                construct(variant, inbox, arguments, download=True)
        except Exception as error:  # of a mirror anything is to be expected
            # MNIST's own message repeats file and address before it says what happened.
            problems.append(f"{address}: {error_text(error).rpartition(' got: ')[2][:200]}")
            continue
        for file in files:
            (inbox / str(file.archive)).unlink(missing_ok=True)
        return _move(inbox, root)
    raise _incomplete(cls, files, root, f"the download failed: {'; '.join(problems)}")


def _variants(cls: Any, mirrors: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield addresses and `cls` made to download from there: torchvision's own, then `mirrors`."""

    def variant(**attributes: Any) -> Any:
        return type(cls.__name__, (cls,), attributes)  # the name is part of MNIST's paths

    def on(mirror: str, url: str = "") -> str:
        return f"{mirror.rstrip('/')}/{url.rpartition('/')[2]}"

    if isinstance(getattr(cls, "url", None), str):  # CIFAR, EMNIST, STL10, SEMEION
        for address in (cls.url, *(on(mirror, cls.url) for mirror in mirrors)):
            yield address, variant(url=address)
    elif hasattr(cls, "split_list"):  # SVHN, USPS
        yield "torchvision's own address", cls
        for mirror in mirrors:
            moved = {key: [on(mirror, url), *rest] for key, (url, *rest) in cls.split_list.items()}
            yield mirror, variant(split_list=moved)
    elif hasattr(cls, "mirrors"):  # MNIST and its kin
        for mirror in (*cls.mirrors, *mirrors):
            yield mirror, variant(mirrors=[on(mirror)])
    elif mirrors:
        raise ValueError(f"torchvision's {cls.__name__} has no address to replace: remove mirrors")
    else:
        yield "torchvision's own address", cls


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Let no new socket wait longer; torchvision itself sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _move(source: Path, target: Path) -> None:
    """Move what `target` lacks: each file, or each new folder, at one stroke."""
    for entry in source.iterdir():
        place = target / entry.name
        if not place.exists():
            entry.replace(place)
        elif entry.is_dir() and place.is_dir():
            _move(entry, place)


def _is_whole_idx(path: Path) -> bool:
    """Tell whether an IDX file (MNIST's format) is as long as its header says."""
    head = path.read_bytes()[:16]
    if len(head) < 4:
        return False
    sizes = np.frombuffer(head[4:], ">u4", min(head[3], (len(head) - 4) // 4))
    return path.stat().st_size == 4 + 4 * head[3] + int(np.prod(sizes, dtype=np.int64))


def _incomplete(cls: Any, files: Sequence[File], root: Path, reason: str) -> ValueError:
    lacking = [file.path for file in missing(files, root)]
    archives = sorted({file.archive for file in missing(files, root) if file.archive})
    names = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if lacking[4:] else "")
    instead = f", or {archives[0]}" if archives else ""
    if len(archives) > 1:
        instead = ", as they are or as .gz"
    return ValueError(
        f"{cls.__name__} is not complete in {root}: it lacks {names or 'its files'} "
        f"({reason}); put them there{instead}"
    )
