"""The grid: every combination of the values that were given."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.types import Override

from hydra_plugins.resnet_lab.sweeper import BaseSweeper


class Grid(BaseSweeper):
    """Try every combination, in a directory that can be resumed; see `resnet_lab.sweeps.launch`.

    Args:
        params: values to try by key, as an option of the group `sweep` names them.
    """

    def sweep(self, arguments: list[str]) -> Any:
        """Run every job that is not done yet."""
        from resnet_lab.sweeps.launch import run_jobs

        jobs = combinations(self.overrides(arguments))
        return run_jobs(self.config, self.context, self.launcher, jobs)


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each job; the values of the last key change first.

    Args:
        overrides: of the command line; a later one replaces an earlier one of the same key.

    Raises:
        ValueError: a grid cannot try the values of a sweep, or it has none.
    """
    values = {override.get_key_element(): _values(override) for override in overrides}
    return [list(job) for job in product(*values.values())]


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
