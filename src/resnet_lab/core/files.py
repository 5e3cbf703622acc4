"""Write files so that a reader or a killed process never leaves or sees half of one."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Give a path to write to, which replaces `path` once it is written.

    With `sync` the content is on the disk by then, so that a power cut cannot lose both the old
    file and the new one. It takes some milliseconds.
    """
    name = path.name.replace("tfevents", "events")  # TensorBoard reads whatever is called so
    part = path.with_name(f".{name}.{os.getpid()}.part")
    try:
        yield part
        if sync:
            with part.open("rb") as file:
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def leftovers(directory: Path) -> list[Path]:
    """Return the unfinished files of processes that were killed while they wrote them."""
    found = [*directory.glob(".*.part"), *directory.glob("checkpoints/.*.part")]
    return [path for path in found if re.fullmatch(r"\..+\.(ckpt|\d+)\.part", path.name)]


def write(path: Path, text: str, *, sync: bool = False) -> None:
    """Replace a text file; see `replacing`."""
    with replacing(path, sync=sync) as part:
        part.write_text(text)


def write_json(path: Path, value: Any, *, sync: bool = False) -> None:
    """Replace a JSON file; numbers that JSON lacks (NaN, infinity) become null."""
    write(path, as_json(value, indent=2) + "\n", sync=sync)


def as_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON; numbers that JSON lacks (NaN, infinity) become null."""
    return json.dumps(_without_nan(value), indent=indent)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and value - value != 0 else value


def cache_folder() -> Path:
    """Return the folder of the user for what can be made again; it need not exist."""
    place = os.environ.get("XDG_CACHE_HOME")
    return (Path(place) if place else Path.home() / ".cache") / "resnet_lab"


def shown(path: Path) -> Path:
    """Return an absolute path as a person would type it: relative where it lies below this one."""
    here = Path.cwd()
    return path.relative_to(here) if here in path.parents else path


def folder_in(directory: Path, name: str) -> Path:
    """Make a folder in a run directory; one that came from elsewhere may hold a link instead."""
    folder = directory / name
    if folder.is_symlink():
        raise ValueError(f"{folder} is a link to elsewhere: delete it, or name another --out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
