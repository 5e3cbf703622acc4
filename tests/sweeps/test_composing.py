"""Jobs composed from what they share: the same as Hydra composes them one by one."""

from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration import building
from resnet_lab.core.configuration.config import CONF
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.sweeps.composing import Composer
from resnet_lab.sweeps.preflight import Preflight
from resnet_lab.sweeps.resolvers import register_resolvers
from tests.helpers import TINY

JOBS = (
    (),
    ("seed=3",),
    ("optimizer.lr=0.5", "seed=1"),
    ("optimizer.lr=0.5", "optimizer=adamw"),
    ("model=resnet18", "model.depth=20"),
    ("augment=[]",),
    ("augment=[trivial,erasing]", "seed=1"),
    ("~callbacks.summary", "+trainer.max_time=null"),
    ("+a.b=1", "++optimizer.momentum=0.5"),
    ("+tag={a: 1, b: [x,y]}",),
    ("experiment=he2015_resnet20", "optimizer.lr=0.3"),
    ("name=${data.name}_x", "trainer.max_epochs=7"),
)


@pytest.fixture
def engine() -> Iterator[tuple[DictConfig, HydraContext]]:
    """What a sweeper has to compose its jobs: the common configuration and Hydra's context."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config("train", ["sweep_dir=x"], RunMode.MULTIRUN)
        HydraConfig.instance().set_config(config)
        yield config, HydraContext(hydra.config_loader, Mock())
    HydraConfig.instance().cfg = None


def test_jobs_are_what_hydra_composes(engine: tuple[DictConfig, HydraContext]) -> None:
    config, context = engine
    compose, composed = Composer(config, context), {}
    for overrides in JOBS:
        composed[overrides] = context.config_loader.load_sweep_config(config, list(overrides))
        OmegaConf.set_struct(composed[overrides], False)
        composed[overrides].pop("hydra")
    for overrides in (*JOBS, *reversed(JOBS)):  # none is changed by those before it
        expected, found = composed[overrides], compose(overrides)
        plain = [OmegaConf.to_container(each, resolve=True) for each in (expected, found)]
        assert plain[0] == plain[1], overrides
        assert list(plain[0]) == list(plain[1]), overrides


@pytest.mark.parametrize("wrong", ["model=resnet21", "sed=1", "optimizer.lrr=1", "~sed", "+seed=1"])
def test_a_job_that_does_not_compose_is_refused(
    wrong: str, engine: tuple[DictConfig, HydraContext]
) -> None:
    with pytest.raises(ValueError, match=wrong.strip("~+").partition("=")[0]):
        Composer(*engine)([wrong])


def test_what_jobs_share_is_composed_and_checked_once(
    engine: tuple[DictConfig, HydraContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, context = engine
    loader, composed, built = context.config_loader, [], []
    load, build = loader.load_sweep_config, building.build
    monkeypatch.setattr(
        loader, "load_sweep_config", lambda *given: composed.append(given) or load(*given)
    )
    for place in ("resnet_lab.runs.trainer.build", "resnet_lab.runs.trained.run.build"):
        monkeypatch.setattr(
            place, lambda cfg, key, **more: built.append(key) or build(cfg, key, **more)
        )
    compose, preflight = Composer(config, context), Preflight()
    for number in range(8):
        preflight.check(compose([*TINY, f"optimizer.lr={0.1 + number / 100}", f"seed={number}"]))
    assert len(composed) == 1
    once = {"trainer", "model", "data", "callbacks.checkpoint", "callbacks.lr", "logger.csv"}
    assert {key: built.count(key) for key in once} == dict.fromkeys(once, 1)
    assert built.count("optimizer") == 8
