"""The directory of a sweep's job, named after its overrides."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from resnet_lab.core.config import bears_on_result, override_key

NAME_BYTES = 255  # of a file name, on any file system


def job_dir(overrides: Sequence[str], sweep_dir: str | None = None) -> str:
    """Turn a sweep job's overrides into its directory name; different jobs get different names.

    The name depends on the job's own overrides alone, so that a sweep may be topped up later. It is
    the overrides themselves where a file name can hold them. Elsewhere it is as much of them as
    fits, with a hash of the whole.

    Args:
        overrides: of the job.
        sweep_dir: an earlier sweep's, where different jobs could have one name: a job that is there
            keeps its directory.
    """
    told = result_overrides(overrides)
    whole = ",".join(told) or "default"
    name = "".join("_" if char == "/" or not char.isprintable() else char for char in whole)
    if name == whole and len(name) <= 150 and len(name.encode()) <= NAME_BYTES:
        if _overrides_in(sweep_dir, name) in (told, []):
            return name
    else:
        before = ",".join(sorted(told)).replace("/", "_")
        if len(before) > 150:
            before = f"{before[:140]}-{zlib.crc32(before.encode(errors='replace')):08x}"
        if _overrides_in(sweep_dir, before) == told:
            return before
    digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{name.encode()[:130].decode(errors='ignore')}-{digest}"


def result_overrides(overrides: Sequence[str]) -> list[str]:
    """Return those overrides that bear on the result, sorted; of one key, the last one counts."""
    told = [item for item in overrides if bears_on_result(override_key(item))]
    return sorted(told, key=lambda item: item.partition("=")[0] + "=")


def _overrides_in(sweep_dir: str | None, job: str) -> list[str]:
    """Return what `result_overrides` gave for the job in a directory, as far as it is known."""
    if sweep_dir is None:
        return []
    try:
        status = json.loads(Path(sweep_dir, job, "status.json").read_text())
        return result_overrides([item for item in status["overrides"] if isinstance(item, str)])
    except (OSError, ValueError, KeyError, TypeError):
        return []
