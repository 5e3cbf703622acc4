"""What Hydra's sweep syntax means to a search."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from resnet_lab.sweeps.searching.space import Space

LR = "optimizer.lr=tag(log,interval(1e-3,1))"


def read(*overrides: str) -> Space:
    return Space.read(OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("interval(0,1)", FloatDistribution(0, 1)),
        ("tag(log,interval(1e-3,1))", FloatDistribution(1e-3, 1, log=True)),
        ("int(interval(1,5))", IntDistribution(1, 5)),
        ("tag(log,int(interval(1,100)))", IntDistribution(1, 100, log=True)),
        ("range(32,129,32)", IntDistribution(32, 128, step=32)),
        ("range(3)", IntDistribution(0, 2)),
        ("range(10,0,-5)", IntDistribution(5, 10, step=5)),
        ("range(0.1,0.5,0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("20,32", CategoricalDistribution(["20", "32"])),
        ("true,null,a,'a b'", CategoricalDistribution(["True", "null", "a", "'a b'"])),
        ("choice(1,2,1)", CategoricalDistribution(["1", "2"])),
        (
            "[trivial],[trivial,erasing]",
            CategoricalDistribution(["[trivial]", "[trivial,erasing]"]),
        ),
    ],
)
def test_the_syntax_of_hydra(text: str, meant: object) -> None:
    assert read(f"key={text}").ranges == {"key": meant}


def test_single_values_are_fixed_and_later_overrides_win() -> None:
    space = read("model.depth=20,32", "a=1", "+b=x", "~c", LR, "model.depth=8")
    assert list(space.ranges) == ["optimizer.lr"]
    assert space.overrides({"optimizer.lr": 1 / 3}) == [
        "model.depth=8", "a=1", "+b=x", "~c=null", "optimizer.lr=0.333333",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tag(log,interval(0,1))", "a logarithmic interval begins above 0"),
        ("interval(2,1)", "no number lies there; give the lower end first"),
        ("range(5,5)", "the range is empty"),
        ("tag(normal,interval(0,1))", "the one tag that a search knows is tag(log,interval(...))"),
        ("tag(log,choice(1,2))", "the one tag that a search knows is tag(log,interval(...))"),
    ],
)
def test_a_range_that_cannot_be(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^optimizer.lr=") as error:
        read(f"optimizer.lr={text}")
    assert str(error.value) == f"optimizer.lr={text}: {told}"


def test_the_ends_try_every_choice_and_both_ends_of_a_range() -> None:
    ends = read("a=x,y,z", "b=interval(0,1)", "c=range(8,33,6)").extremes()
    assert [each["a"] for each in ends] == ["x", "y", "z"]
    assert {each["b"] for each in ends} == {0, 1}
    assert {each["c"] for each in ends} == {8, 32}


def test_the_grid_of_a_space() -> None:
    space = read("a=x,y", "b=range(0.1,0.35,0.1)", "c=range(8,21,6)")
    assert space.grid() == {"a": ["x", "y"], "b": [0.1, 0.2, 0.3], "c": [8, 14, 20]}
    assert space.points == 18
