"""Fetch what a torchvision data set lacks: once, whole or not at all."""

import inspect
import logging
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from resnet_lab.data.decoding.decode import error_text

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds without an answer, after which an address counts as dead


class File(NamedTuple):
    """A file that torchvision reads, and the archive that holds it; paths below the root."""

    path: str
    md5: str | None  # None: torchvision knows that of the archive only
    archive: str  # the file itself, where it is not packed
    archive_md5: str
    urls: tuple[str, ...]


def files_of(cls: Any, arguments: Mapping[str, Any]) -> list[File]:
    """Return the files of a split of torchvision's `cls`; none if it does not list them."""
    from torchvision.datasets import CIFAR10, EMNIST, MNIST, QMNIST

    if issubclass(cls, CIFAR10):
        listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
        archive = (cls.filename, cls.tgz_md5, (cls.url,))
        return [File(f"{cls.base_folder}/{name}", md5, *archive) for name, md5 in listed]
    if issubclass(cls, MNIST) and not issubclass(cls, (EMNIST, QMNIST)):
        raw = f"{cls.__name__}/raw"
        return [
            File(
                f"{raw}/{name.removesuffix('.gz')}", None, f"{raw}/{name}", md5,
                tuple(mirror + name for mirror in cls.mirrors),
            )
            for name, md5 in cls.resources
        ]  # fmt: skip
    if hasattr(cls, "split_list"):  # SVHN, USPS
        split = arguments.get("split", "train" if arguments.get("train", True) else "test")
        if split in cls.split_list:
            url, name, md5 = cls.split_list[split]
            return [File(name, md5, name, md5, (url,))]
    return []


def missing(files: Sequence[File], root: Path) -> list[File]:
    """Return the files that are not in `root`."""
    return [file for file in files if not (root / file.path).exists()]


def damaged(files: Sequence[File], root: Path) -> list[Path]:
    """Return the paths of the files in `root` that are not whole."""
    from torchvision.datasets.utils import check_integrity

    def is_whole(file: File) -> bool:
        path = root / file.path
        return check_integrity(path, file.md5) if file.md5 else _is_whole_idx(path)

    return [root / file.path for file in files if not is_whole(file)]


def _is_whole_idx(path: Path) -> bool:
    """Return whether an IDX file (MNIST's format) has the length that its header states."""
    head = path.read_bytes()[:16]
    if len(head) < 4:
        return False
    sizes = np.frombuffer(head[4:], ">u4", min(head[3], (len(head) - 4) // 4))
    return path.stat().st_size == 4 + 4 * head[3] + int(np.prod(sizes, dtype=np.int64))


def construct(cls: Any, root: Path, arguments: Mapping[str, Any], *, download: bool = False) -> Any:
    """Return torchvision's data set below `root`.

    Raises:
        Exception: whatever torchvision raises for missing or damaged files, RuntimeError mostly.
    """
    able = any("download" in inspect.signature(base).parameters for base in cls.__mro__[:-1])
    return cls(str(root), **arguments, **({"download": download} if able else {}))


def fetch(
    cls: Any,
    arguments: Mapping[str, Any],
    root: Path,
    mirrors: Sequence[str] = (),
    *,
    download: bool = True,
) -> None:
    """Make a split complete in `root`: unpack the archives that lie there, download the others.

    Several processes may call this at once: one works and the others wait. Everything is made in a
    folder of its own and moved when it is whole; no file that was there is changed. Mirrors are
    tried before torchvision's own addresses.

    Raises:
        ValueError: that is not possible; names what is missing and where it belongs.
    """
    if _is_there(cls, arguments, root):
        return
    files, inbox = files_of(cls, arguments), root / f".{cls.__name__}.part"
    if mirrors and not files:
        raise ValueError(f"torchvision's {cls.__name__} has no address to replace: remove mirrors")
    try:
        if not download and not any((root / file.archive).exists() for file in files):
            raise OSError("downloading is switched off")
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{cls.__name__}.lock"):
            if _is_there(cls, arguments, root):
                return
            shutil.rmtree(inbox, ignore_errors=True)  # of a process that was killed
            inbox.mkdir()
            before = socket.getdefaulttimeout()
            socket.setdefaulttimeout(TIMEOUT)  # torchvision sets none
            try:
                for file in {file.archive: file for file in missing(files, root)}.values():
                    _unpack(file, root, inbox, mirrors if download else None)
                if not files:
                    construct(cls, inbox, arguments, download=True)
                _move(inbox, root)
            finally:
                socket.setdefaulttimeout(before)
                shutil.rmtree(inbox, ignore_errors=True)
    except ValueError:
        raise
    except Exception as error:  # from the network, anything may come
        raise _incomplete(cls, missing(files, root), root, error) from error


def _is_there(cls: Any, arguments: Mapping[str, Any], root: Path) -> bool:
    """Return whether nothing is missing; damage shows when the files are read."""
    if files := files_of(cls, arguments):
        return not missing(files, root)
    try:
        construct(cls, root, arguments)
    except Exception as error:  # other kinds are not about missing files
        return not isinstance(error, RuntimeError)
    return True


def _unpack(file: File, root: Path, inbox: Path, mirrors: Sequence[str] | None) -> None:
    """Unpack an archive into `inbox`: one in `root`, or a download unless `mirrors` is None."""
    from torchvision.datasets.utils import check_integrity, download_url, extract_archive

    archive, place = root / file.archive, inbox / file.archive
    place.parent.mkdir(parents=True, exist_ok=True)
    if archive.exists():
        if not check_integrity(archive, file.archive_md5):
            raise ValueError(
                f"{archive} is damaged (torchvision expects the MD5 {file.archive_md5}): delete "
                "it, or put a whole one in its place"
            )
        extract_archive(archive, place.parent)
        return
    if mirrors is None:
        raise OSError("downloading is switched off")
    problems = []
    for url in (*(f"{mirror.rstrip('/')}/{place.name}" for mirror in mirrors), *file.urls):
        log.info("downloading %s", url)
        try:
            download_url(url, place.parent, place.name, file.archive_md5)
            break
        except Exception as error:  # from the network, anything may come
            problems.append(f"{url}: {error_text(error)[:200]}")
    else:
        raise OSError("; ".join(problems))
    if file.path != file.archive:
        extract_archive(place, place.parent, remove_finished=True)


def _move(source: Path, target: Path) -> None:
    """Move what `target` lacks: each file, or each new folder, in one step."""
    for entry in source.iterdir():
        place = target / entry.name
        if not place.exists():
            entry.replace(place)
        elif entry.is_dir() and place.is_dir():
            _move(entry, place)


def _incomplete(cls: Any, lacking: Sequence[File], root: Path, reason: Exception) -> ValueError:
    names = [file.path for file in lacking] or ["its files"]
    more = f" and {len(names) - 4} more" if names[4:] else ""
    archives = sorted({file.archive for file in lacking} - {*names})
    instead = f", or {archives[0]}{' and the like' * (len(archives) > 1)}" if archives else ""
    mirror = ", or name a mirror: data.source.mirrors=[URL]" if lacking else ""
    return ValueError(
        f"{cls.__name__} is not complete in {root}: it lacks {', '.join(names[:4])}{more} "
        f"({error_text(reason)}); put them there{instead}{mirror}"
    )


def splits_of(cls: Any, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a class of torchvision is called with for each split, besides `options`.

    Raises:
        ValueError: it takes `split=`, but no split that we know.
    """
    takes = {name for base in cls.__mro__[:-1] for name in inspect.signature(base).parameters}
    if "train" in takes:
        return {"train": {"train": True}, "test": {"train": False}}
    if "split" not in takes or "split" in options:
        return {"train": {}, "test": {}}

    def first(*names: str) -> dict[str, Any] | None:
        return next(({"split": name} for name in names if _accepts(cls, options, name)), None)

    train, val = first("train", "trainval", "train-standard"), first("val", "valid")
    test = first("test")
    if train is None or (test or val) is None:
        raise ValueError(
            f"the splits of torchvision's {cls.__name__} are not known: state data.source.train "
            f"and data.source.test, as in {{split: train}}, or check data.options={dict(options)}"
        )
    # Where the labels of a test were never published (ImageNet, Places365), `val` serves as test.
    found = {"train": train, "val": val if test else None, "test": test or val}
    return {split: arguments for split, arguments in found.items() if arguments is not None}


def _accepts(cls: Any, options: Mapping[str, Any], split: str) -> bool:
    """Whether a class of torchvision knows a split: it looks for files, and finds none here."""
    with TemporaryDirectory() as empty:
        try:
            cls(empty, split=split, **options)
        except ValueError:
            return False
        except Exception:
            return True
    return True
