import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.resnet_lab.grid import combinations

GRIDS = {
    ("lr=0.1,0.05", "seed=0,1"): [
        ["lr=0.1", "seed=0"],
        ["lr=0.1", "seed=1"],
        ["lr=0.05", "seed=0"],
        ["lr=0.05", "seed=1"],
    ],
    ("a=1",): [["a=1"]],
    (): [[]],
    ("seed=range(3)",): [["seed=0"], ["seed=1"], ["seed=2"]],
    ("+a=choice(x,[y,z])", "~b"): [["+a=x", "~b=null"], ["+a=[y,z]", "~b=null"]],
    ("a='b c','d'",): [["a='b c'"], ["a='d'"]],
    ("a=1,2", "b=5", "a=3"): [["a=3", "b=5"]],  # the last one counts, at the place of the first
    ("a@p=x,y", "++c={d: 1}"): [["a@p=x", "++c={d:1}"], ["a@p=y", "++c={d:1}"]],
}


@pytest.mark.parametrize("typed", GRIDS, ids=" ".join)
def test_grid_tries_all_combinations_in_order(typed: tuple[str, ...]) -> None:
    overrides = OverridesParser.create().parse_overrides(list(typed))
    assert combinations(overrides) == GRIDS[typed]


@pytest.mark.parametrize("typed", ["lr=interval(0,1)", "seed=range(3,3)"])
def test_grid_refuses_what_it_cannot_try(typed: str) -> None:
    with pytest.raises(ValueError, match=r"cannot try every number|no value to try"):
        combinations(OverridesParser.create().parse_overrides([typed]))
