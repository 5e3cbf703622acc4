"""Every YAML of conf/, found by glob: it composes, resolves and builds."""

import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from resnet_lab.core.building import build
from resnet_lab.core.config import CONF, NOT_OF_THE_NETWORK
from resnet_lab.runs.active import resolved
from resnet_lab.runs.run import Run

OPTIONS = sorted(path.relative_to(CONF).with_suffix("") for path in CONF.glob("*/*.yaml"))


@pytest.fixture
def extra(tmp_path: Path) -> dict[str, list[str]]:
    """What an option needs besides itself."""
    from PIL import Image

    for label in ("cat", "dog"):
        for number in range(5):
            path = tmp_path / "pictures" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (50 * number, 10, 10)).save(path)
    return {"data/image_folder": [f"data.root={tmp_path / 'pictures'}"]}


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.parts[0] != "hydra"], ids=str)
def test_option_composes_and_resolves(option: Path, composed, extra) -> None:
    cfg = composed(f"{option.parent}={option.name}", *extra.get(str(option), []))
    assert OmegaConf.to_container(resolved(cfg), resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.parts[0] == "model"], ids=str)
def test_model_option_builds_and_fits_the_default_data(option: Path, composed) -> None:
    import torch

    cfg = composed(f"model={option.name}", "data=mnist")
    with torch.device("meta"):
        net = build(cfg, "model", without=NOT_OF_THE_NETWORK)
        assert net.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.parts[0] == "data"], ids=str)
def test_data_option_builds_without_reading(option: Path, composed, extra) -> None:
    cfg = composed(f"data={option.name}", *extra.get(str(option), []))
    data = Run(Path(), cfg, {}).build_data()
    assert data.name == cfg.data.name
    assert data.num_classes == cfg.data.num_classes


@pytest.mark.parametrize("scheduler", sorted(p.stem for p in CONF.glob("scheduler/*.yaml")))
@pytest.mark.parametrize("optimizer", sorted(p.stem for p in CONF.glob("optimizer/*.yaml")))
def test_every_optimizer_goes_with_every_scheduler(optimizer: str, scheduler: str, tiny) -> None:
    import torch

    cfg = tiny(f"optimizer={optimizer}", f"scheduler={scheduler}")
    task = Run(Path(), cfg, {}).build_task()
    opt = task.optimizer(task.net.parameters())
    assert opt.param_groups[0]["lr"] == cfg.optimizer.lr
    given = inspect.signature(task.scheduler).parameters
    length = {"total_steps": 10} if "total_steps" in given else {}
    schedule = task.scheduler(opt, **length)
    rates = []
    for _ in range(9):
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step(*([0.5] if scheduler == "plateau" else []))
    assert max(rates) <= cfg.optimizer.lr * 1.0001
    assert isinstance(schedule, torch.optim.lr_scheduler.LRScheduler)


@pytest.mark.parametrize("group", ["callbacks", "logger", "trainer"])
def test_every_option_of_the_group_builds(group: str, composed, tmp_path: Path) -> None:
    for path in sorted(CONF.glob(f"{group}/*.yaml")):
        cfg = composed(f"{group}={path.stem}")
        if group == "trainer":
            if cfg.trainer.accelerator == "gpu":
                continue  # the machine that tests may have none
            trainer = build(cfg, "trainer", without=("threads",), logger=False)
            assert trainer.max_epochs == cfg.trainer.max_epochs
            assert trainer.num_devices == cfg.trainer.devices
            continue
        more = {"save_dir": tmp_path} if group == "logger" else {}
        for name, node in cfg[group].items():
            assert (build(cfg, f"{group}.{name}", **more) is None) == (node is None)


def test_every_group_has_an_option_and_is_in_the_defaults_list() -> None:
    listed = OmegaConf.load(CONF / "train.yaml").defaults
    groups = {str(name) for entry in listed if OmegaConf.is_dict(entry) for name in entry}
    assert groups == {path.name for path in CONF.iterdir() if path.is_dir()}
    for group in groups:
        assert list((CONF / group).glob("*.yaml")), group


def test_no_option_states_the_number_of_classes_twice() -> None:
    for path in CONF.glob("model/*.yaml"):
        text = path.read_text()
        assert "num_classes: ${data.num_classes}" in text, path
        assert "in_channels: ${data.channels}" in text, path
