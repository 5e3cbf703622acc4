"""The jobs of a grid: combinations of the values that were given."""

import re
from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from resnet_lab.core.configuration.config import override_key

PLAIN = re.compile(r"[\w./@%+-]+")  # text that Hydra reads as it stands


def combinations(
    overrides: Sequence[Override], zipped: Any = None, jobs: Any = None
) -> list[list[str]]:
    """Return the overrides of each job; the values of the last key change first.

    Args:
        overrides: of the command line; a later one replaces an earlier one of the same key.
        zipped: keys whose values are taken together, the first with the first and so on: a list of
            keys, or several such lists.
        jobs: a list of jobs, each a mapping from keys to values or a list of overrides; or the path
            of a YAML file that holds one. Each is combined with the grid of `overrides`.
    """
    values = {override.get_key_element(): _values(override) for override in overrides}
    axes: dict[str, list[list[str]]] = {key: [[v] for v in each] for key, each in values.items()}
    for keys in _groups(zipped):
        _zip(axes, keys)
    grid = [list(chain(*job)) for job in product(*axes.values())]
    if jobs is None:
        return grid
    listed = _read_jobs(jobs)
    for item in chain(*listed):
        if override_key(item) in {override_key(f"{key}=") for key in values}:
            raise ValueError(
                f"hydra.sweeper.jobs and the command line both set {override_key(item)}: "
                "leave one out"
            )
    return [[*job, *rest] for job in listed for rest in grid]


def _values(override: Override) -> list[str]:
    """Return what an override sets its key to in turn, as overrides of one value each."""
    key, text = override.get_key_element(), override.input_line
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ValueError(
            f"{text}: a grid cannot try every number there; name the values, as in "
            f"{key}=0.1,0.2, or search with hydra/sweeper=optuna"
        )
    values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    if not values:
        raise ValueError(f"{text}: there is no value to try in it")
    return values


def _groups(zipped: Any) -> list[list[str]]:
    """Return the groups of keys of `hydra.sweeper.zip`."""
    given = OmegaConf.to_container(zipped) if OmegaConf.is_config(zipped) else zipped
    if not given:
        return []
    groups = [given] if isinstance(given, list) and isinstance(given[0], str) else given
    if not isinstance(groups, list) or not all(
        isinstance(keys, list) and len(keys) > 1 and all(isinstance(key, str) for key in keys)
        for keys in groups
    ):
        raise ValueError(
            f"hydra.sweeper.zip={given}: must be a list of two keys or more, as in "
            "[model.depth,trainer.max_epochs], or a list of such lists"
        )
    return groups


def _zip(axes: dict[str, list[list[str]]], keys: Sequence[str]) -> None:
    """Make one axis, at the place of the first key, of the axes of several keys."""
    by_key = {override_key(f"{name}="): name for name in axes}
    for key in keys:
        if key not in by_key:
            raise ValueError(
                f"hydra.sweeper.zip: {key} has no values of its own here; give them, as in "
                f"{key}=1,2, each key in one list only"
            )
    names = [by_key[key] for key in keys]
    counts = {key: len(axes[name]) for key, name in zip(keys, names, strict=True)}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{key} has {count}" for key, count in counts.items())
        raise ValueError(f"hydra.sweeper.zip: the keys differ in how many values they have: {told}")
    first, *others = names
    rows = zip(*(axes[name] for name in names), strict=True)
    axes[first] = [list(chain(*row)) for row in rows]
    for name in others:
        del axes[name]


def _read_jobs(jobs: Any) -> list[list[str]]:
    """Return the overrides of each job of `hydra.sweeper.jobs`."""
    where = "hydra.sweeper.jobs"
    given = OmegaConf.to_container(jobs) if OmegaConf.is_config(jobs) else jobs
    if isinstance(given, str):
        where = f"hydra.sweeper.jobs={given}"
        try:
            given = yaml.safe_load(Path(given).read_text())
        except FileNotFoundError as error:
            raise ValueError(f"{where}: no such file") from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"{where}: is no YAML file: {error}") from error
    if not isinstance(given, list) or not given:
        raise ValueError(f"{where}: must be a list of jobs, such as {{model.depth: 20}}")
    return [_overrides_of(where, number, job) for number, job in enumerate(given, 1)]


def _overrides_of(where: str, number: int, job: Any) -> list[str]:
    if isinstance(job, dict):
        return [f"{key}={_typed(value)}" for key, value in job.items()]
    if isinstance(job, list) and all(isinstance(item, str) and "=" in item for item in job):
        return list(job)
    raise ValueError(
        f"{where}: job {number} must be a mapping from keys to values, or a list of key=value"
    )


def _typed(value: Any) -> str:
    """Return a value as a person types it on the command line."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_typed(each)}" for key, each in value.items()) + "}"
    text = str(value)
    if not isinstance(value, str) or PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
