"""A search in words: who chose the values, what ended a trial early, and what was searched."""

from collections.abc import Mapping
from typing import Any

from resnet_lab.reporting.reading import Results

SAMPLERS = {
    "tpe": "TPE, which tries more of what did well (Bergstra et al. 2011)",
    "random": "random draws",
    "grid": "the points of a grid, in random order",
}
PRUNERS = {
    "median": "a trial ends when it is worse than the median of earlier ones after as many epochs",
    "halving": "asynchronous successive halving (Li et al. 2020)",
    "null": "none: every trial came to its end",
}


def search_facts(results: Results) -> list[tuple[str, str]]:
    """Return sampler, pruner and space of the searches, as far as these are recorded."""
    rows = []
    for about in results.about:
        search = about.get("search")
        if not isinstance(search, dict):  # none, or of a version that did not record it
            continue
        sampler, pruner = str(search.get("sampler")), str(search.get("pruner"))
        seed = "" if search.get("seed") is None else f", seed {search['seed']}"
        rows += [
            ("sampler", f"{SAMPLERS.get(sampler, sampler)}{seed}"),
            ("pruner", PRUNERS.get(pruner, pruner)),
            ("space", "; ".join(_ranges(search))),
        ]
    return rows


def _ranges(search: Mapping[str, Any]) -> list[str]:
    space = search.get("space")
    return [f"{key} {text}" for key, text in space.items()] if isinstance(space, dict) else []
