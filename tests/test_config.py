from pathlib import Path

import pytest
from omegaconf import OmegaConf

from resnet_lab.config import build, flat, mode_of, monitor_mode, new_dir, one_line


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [("val/loss", "min"), ("train/loss", "min"), ("val/acc", "max"), ("val/acc_top5", "max")],
)
def test_the_direction_follows_from_the_metric(monitor: str, mode: str) -> None:
    assert mode_of(monitor) == mode
    assert mode_of(monitor, mode) == mode
    other = "max" if mode == "min" else "min"
    with pytest.raises(ValueError, match=f"^monitor_mode={other}: {monitor} is better when"):
        mode_of(monitor, other)


@pytest.mark.parametrize("monitor", ["val/ece", "val/error", "val/nll", "val/mae", "val/loss_x"])
def test_an_unknown_direction_is_asked_for(monitor: str, composed) -> None:
    with pytest.raises(ValueError, match=rf"^monitor={monitor}: .* monitor_mode=min or"):
        mode_of(monitor)
    for mode in ("min", "max"):
        assert mode_of(monitor, mode) == mode
        cfg = composed(f"monitor={monitor}", f"monitor_mode={mode}", "callbacks=early_stopping")
        assert monitor_mode(cfg) == mode
        assert cfg.callbacks.checkpoint.mode == mode
        assert cfg.callbacks.early_stopping.mode == mode
    with pytest.raises(ValueError, match=r"^monitor_mode=up: use min, max or null$"):
        mode_of(monitor, "up")


def test_new_directories_never_coincide(tmp_path: Path) -> None:
    made = [new_dir(None, str(tmp_path / "runs"), "now") for _ in range(3)]
    assert [Path(path).name for path in made] == ["now", "now-2", "now-3"]
    assert new_dir("given", str(tmp_path), "now") == "given"


class Part:
    def __init__(
        self,
        size: int,
        rate: float = 0.1,
        name: str | None = None,
        deep: bool = True,
        sides: list[int] | int = 0,
        many: list[int] | None = None,
    ):
        self.size, self.rate, self.name = size, rate, name
        if size == 13:
            raise ValueError("13 brings bad luck")


def node(**values: object):
    return OmegaConf.create({"part": {"_target_": f"{__name__}.Part", **values}})


def test_build_makes_the_object() -> None:
    part = build(
        node(size=3, rate=1, sides=2, hint="for others"), "part", without=("hint",), name="x"
    )
    assert (part.size, part.rate, part.name) == (3, 1, "x")
    assert build(OmegaConf.create({"part": None}), "part") is None


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"size": "big"}, "part.size=big: expected int"),
        ({"size": True}, "part.size=True: expected int"),
        ({"size": 1.5}, "part.size=1.5: expected int"),
        ({"size": 1, "rate": "x"}, "part.rate=x: expected float"),
        ({"size": 1, "name": 5}, r"part.name=5: expected (str \| None|Optional\[str\])"),
        ({"size": 1, "deep": 1}, "part.deep=1: expected bool"),
        ({"size": 1, "many": 3}, "part.many=3: expected"),
        (
            {"size": 1, "colour": 1},
            "part.colour: Part takes no such argument; there are deep, many, name, rate, sides",
        ),
        ({}, "part: .*missing 1 required"),
        ({"size": 13}, "^13 brings bad luck$"),
    ],
)
def test_build_names_what_is_wrong(values, text) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        build(node(**values), "part")
    assert "\n" not in one_line(caught.value)


def test_a_target_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"part._target_=no.such.Thing"):
        build(OmegaConf.create({"part": {"_target_": "no.such.Thing"}}), "part")


def test_flat_lists_every_leaf() -> None:
    cfg = OmegaConf.create({"a": {"b": 1, "c": "${a.b}", "d": {}}, "e": [1, 2]})
    assert flat(cfg) == {"a.b": 1, "a.c": 1, "a.d": {}, "e": [1, 2]}


def test_unexpected_errors_keep_their_type() -> None:
    assert one_line(KeyError("x")) == "KeyError: 'x'"
    assert one_line(ValueError("two\nlines")) == "two lines"
    assert one_line(RuntimeError()) == "RuntimeError: RuntimeError"
