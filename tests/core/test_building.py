import functools
import re
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf

from resnet_lab.core.configuration.building import build, errors_of
from resnet_lab.core.errors import one_line


class Part:
    def __init__(
        self,
        size: int,
        rate: float = 0.1,
        name: str | None = None,
        deep: bool = True,
        sides: list[int] | int = 0,
        many: Sequence[int] | None = None,
        pair: tuple[float, float] = (0.0, 1.0),
        kind: Literal["a", "b"] = "a",
        inner: "Part | None" = None,
    ):
        self.size, self.rate, self.name = size, rate, name
        if size == 13:
            raise ValueError("13 brings bad luck")
        if size == 14:
            raise ValueError("part.size=14: too large")


def made(values: dict[str, Any], **options: Any) -> Any:
    node = {"_target_": f"{__name__}.Part", **values}
    return build(OmegaConf.create({"part": node}), "part", trust=True, **options)


def test_build_makes_the_object() -> None:
    part = made({"size": 3, "rate": 1, "sides": 2, "x": "for others"}, without=("x",), name="n")
    assert (part.size, part.rate, part.name) == (3, 1, "n")
    assert build(OmegaConf.create({"part": None}), "part") is None
    later = made({"rate": 1}, _partial_=True)
    assert isinstance(later, functools.partial)
    assert later(size=2).size == 2


def given(*args: Any, **named: Any) -> dict[str, Any]:
    return {"args": args, **named}


def test_build_makes_what_is_inside_too_as_hydra_does() -> None:
    inner = {"_target_": f"{__name__}.given", "_args_": [[{"_target_": f"{__name__}.given"}], 2]}
    later = {"_target_": f"{__name__}.given", "_partial_": True, "b": 1}
    node = {"_target_": f"{__name__}.given", "plain": {"x": [1]}, "inner": inner, "later": later}
    found = build(OmegaConf.create({"node": node}), "node", trust=True)
    assert (found["plain"], found["inner"]) == ({"x": [1]}, {"args": ([{"args": ()}], 2)})
    assert type(found["plain"]["x"]) is list
    assert found["later"](c=2) == {"args": (), "b": 1, "c": 2}
    flat = {**node, "_recursive_": False}
    found = build(OmegaConf.create({"node": flat}), "node", trust=True)
    assert (found["inner"], found["later"]) == (inner, later)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"size": "big"}, "part.size=big: must be an integer"),
        ({"size": True}, "part.size=True: must be an integer"),
        ({"size": 1.5}, "part.size=1.5: must be an integer"),
        ({"size": None}, "part.size=null: must be an integer"),
        ({"size": [1]}, "part.size=[1]: must be an integer"),
        ({"size": {"a": 1}}, "part.size={'a': 1}: must be an integer"),
        ({"size": 1, "rate": "x"}, "part.rate=x: must be a number"),
        ({"size": 1, "rate": float("nan")}, "part.rate=nan: must be a finite number"),
        ({"size": 1, "pair": [0.5, float("inf")]}, "part.pair.1=inf: must be a finite number"),
        ({"size": 1, "name": 5}, "part.name=5: must be text or null"),
        ({"size": 1, "deep": 1}, "part.deep=1: must be true or false"),
        ({"size": 1, "kind": "c"}, "part.kind=c: must be a or b"),
        ({"size": 1, "many": 3}, "part.many=3: must be a list, each an integer, or null"),
        ({"size": 1, "many": ["x"]}, "part.many=['x']: must be a list, each an integer"),
        ({"size": 1, "pair": [1]}, "part.pair=[1]: must be a list of 2, each a number"),
        ({"size": 1, "inner": "x"}, "part.inner=x: must be an object, by its _target_: Part"),
        (
            {"size": 1, "inner": {"_target_": f"{__name__}.Part", "size": "y"}},
            "part.inner.size=y: must be an integer",
        ),
        (
            {"size": 1, "colour": 1},
            "part.colour: Part takes no such argument; there are deep, inner, kind, many, name",
        ),
        ({"size": 1, "_nam": 1}, "part._nam: Part takes no such argument; did you mean name"),
        ({}, "part.size has no value: set it with +part.size=..."),
        ({"size": 13}, "part: 13 brings bad luck"),
        ({"size": 14}, "part.size=14: too large"),
        ({"size": 1, "_partial_": True}, "part._partial_ is set by resnet-lab itself"),
        ({"_target_": "no.such.Thing"}, "part._target_=no.such.Thing"),
        ({"_target_": "torch.optim"}, "part._target_=torch.optim: must be a class or a function"),
        ({"_target_": 5}, "part._target_=5: must be the dotted path of a class"),
    ],
)
def test_build_names_what_is_wrong(values, text) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        made(values)


def test_what_the_code_gives_is_not_silently_replaced() -> None:
    with pytest.raises(ValueError, match=r"^part\.name is set by resnet-lab itself"):
        made({"size": 1, "name": "mine"}, name="ours")


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="part=3: must be an object, by its _target_, or null"):
        build(OmegaConf.create({"part": 3}), "part", trust=True)


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("optimizer", "torch.nn.Linear"),
        ("model", "torch.optim.SGD"),
        ("callbacks.mine", "torch.nn.Linear"),
        ("logger.mine", "torch.nn.Linear"),
    ],
)
def test_a_part_has_to_be_of_the_kind_of_its_place(key: str, target: str) -> None:
    config = OmegaConf.create({})
    OmegaConf.update(config, key, {"_target_": target})
    with pytest.raises(ValueError, match=f"{key}._target_={target}: must be a subclass of"):
        build(config, key, trust=True)


def test_a_part_that_is_made_later_is_named() -> None:
    with pytest.raises(ValueError, match=r"^optimizer: Invalid momentum"), errors_of("optimizer"):
        raise ValueError("Invalid momentum value: -1")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"stochastic_depth": "x"}, "model.stochastic_depth=x: must be a number"),
        ({"stochastic_dept": 0.1}, "model.stochastic_dept: cifar_resnet takes no such argument"),
        ({"residual": "no"}, "model.residual=no: must be true or false"),
    ],
)
def test_the_options_that_a_model_passes_on_are_checked(values: dict, text: str) -> None:
    node = {"_target_": "resnet_lab.models.resnet.cifar_resnet", "depth": 8, **values}
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        build(OmegaConf.create({"model": node}), "model")


def test_a_target_that_cannot_be_imported_is_told_in_plain_words() -> None:
    config = OmegaConf.create({"task": {"_target_": "no_such_package"}})
    with pytest.raises(ValueError, match=r"_target_=no_such_package: No module named 'no_such_p"):
        build(config, "task", trust=True)


def lacking() -> None:
    raise ModuleNotFoundError("Requirement 'wandb>=0.12' not met: run pip install wandb")


def test_a_package_that_a_target_lacks_is_told_without_the_type_of_the_error() -> None:
    config = OmegaConf.create({"logger": {"_target_": f"{__name__}.lacking"}})
    with pytest.raises(ValueError, match=r"^logger: Requirement 'wandb>=0.12' not met: run pip"):
        build(config, "logger", trust=True)


def test_the_new_name_of_a_renamed_key_is_told(composed) -> None:
    with pytest.raises(Exception, match="trunk_lr") as caught:
        composed("task.trunk_lr=0.1")
    assert one_line(caught.value) == "task.trunk_lr: no such key; it is called task.backbone_lr now"
    recorded = composed("+task.trunk_lr=0.1")
    with pytest.raises(ValueError, match=r"task.trunk_lr: .*it is called task.backbone_lr now"):
        build(recorded, "task", net=None)
