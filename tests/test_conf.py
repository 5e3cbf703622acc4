"""Every YAML of conf/, found by glob, composes, resolves and builds; so does one of the user's."""

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from resnet_lab.core.configuration.building import build
from resnet_lab.core.configuration.config import CONF, NOT_OF_THE_NETWORK
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.core.errors import one_line
from resnet_lab.runs.checking.checks import resolved
from resnet_lab.runs.services import build_loggers
from resnet_lab.runs.trained.run import Run
from resnet_lab.runs.trainer import build_callbacks
from resnet_lab.sweeps.resolvers import register_resolvers
from resnet_lab.train import train
from tests.helpers import NETWORKS


def options(conf: Path) -> list[str]:
    """Return every option of every group as it is typed, such as hydra/launcher=slurm."""
    paths = conf.glob("*/**/*.yaml")
    return sorted(f"{path.parent.relative_to(conf).as_posix()}={path.stem}" for path in paths)


def compose_in(conf: Path, *overrides: str, hydra: bool = False) -> DictConfig:
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), **VERSION_BASE):
        return compose("train", list(overrides), return_hydra_config=hydra)


@contextmanager
def skip_what_is_not_installed(option: str) -> Iterator[None]:
    """Skip a test that lacks a package, which is not the fault of the option."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ModuleNotFoundError):
            cause = cause.__cause__ or cause.__context__
        if cause is None or (cause.name and find_spec(cause.name.partition(".")[0])):
            raise
        pytest.skip(f"{option}: {cause}")


def check(conf: Path, option: str, directory: Path) -> None:
    """Compose an option and build all that it names, but the trainer, which needs its machine."""
    group, _, name = option.partition("=")
    overrides = {"data=image_folder": [f"data.root={directory / 'pictures'}"]}.get(option, [])
    if group.startswith("hydra"):
        cfg = compose_in(conf, option, hydra=True)
        chosen = cfg.hydra.runtime.choices
        assert chosen[group] == name
        return
    try:
        cfg = resolved(compose_in(conf, option, *overrides))
    except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
        pytest.skip(f"{option} needs a value: {one_line(error)}")
    run = Run(directory, cfg, {}, trust=True)
    with skip_what_is_not_installed(option):
        data = run.build_data()
        assert (data.name, data.num_classes) == (cfg.data.name, cfg.data.num_classes)
        with torch.device("meta"):
            run.build_task()
        cfg.trainer.accelerator, cfg.trainer.precision = "cpu", "32-true"
        build_callbacks(run)
        build_loggers(run)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory of a run, and pictures for the option that has none of its own."""
    from PIL import Image

    for label in ("cat", "dog"):
        for number in range(5):
            path = tmp_path / "pictures" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (50 * number, 10, 10)).save(path)
    return tmp_path


@pytest.mark.parametrize("option", options(CONF))
def test_option_composes_resolves_and_builds(option: str, directory: Path) -> None:
    check(CONF, option, directory)


# What a user may write: a YAML, and why the test of it is skipped; None: it passes.
OWN = {
    "data/photos": (
        "defaults: [image_folder]\nroot: ???\nname: photos\n", "needs a value: .*data.root",
    ),
    "data/elsewhere": (
        "defaults: [digits]\nname: elsewhere\nsource: {_target_: not_installed.Reader}\n",
        "No module named 'not_installed'",
    ),
    "augment/gray": (
        "# @package data.augment\ngray: {_target_: torchvision.transforms.v2.RandomGrayscale}\n",
        None,
    ),
    "model/mine": ("_target_: torchvision.models.resnet18\nname: mine\n", None),
    "model/deep": ("defaults: [resnet20]\ndepth: 1202\n", None),
    "model/timm": ("_target_: not_installed.create_model\nname: a\n", "'not_installed'"),
    "optimizer/lion": ("_target_: not_installed.Lion\nlr: 0.1\n", "'not_installed'"),
    "scheduler/reduce": (
        "_target_: torch.optim.lr_scheduler.ReduceLROnPlateau\ninterval: epoch\n", None,
    ),
    "scheduler/cyclic": (
        "_target_: torch.optim.lr_scheduler.CyclicLR\ninterval: step\nbase_lr: 0.1\nmax_lr: 1.0\n",
        None,
    ),
    "trainer/tpu": ("defaults: [auto]\naccelerator: tpu\nprecision: bf16-true\n", None),
    "callbacks/timer": ("t: {_target_: lightning.pytorch.callbacks.Timer}\n", None),
    "logger/service": (
        "defaults: [csv]\nservice: {_target_: not_installed.Logger}\n", "'not_installed'",
    ),
    "experiment/mine": (
        "# @package _global_\ndefaults: [{override /data: mnist}, {override /logger: [csv]}]\n"
        "optimizer: {lr: 0.3}\n", None,
    ),
    "sweep/mine": ("# @package _global_\nhydra: {sweeper: {params: {seed: '0,1'}}}\n", None),
    "debug/mine": ("# @package _global_\ntrainer: {limit_train_batches: 1}\n", None),
    "hydra/launcher/mine": ("defaults: [local_pool]\nworkers: 3\n", None),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_an_option_of_the_user_s_is_found_and_turns_nothing_red(name: str, directory: Path) -> None:
    text, reason = OWN[name]
    conf = directory / "conf"
    shutil.copytree(CONF, conf)
    (conf / f"{name}.yaml").write_text(text)
    group, _, stem = name.rpartition("/")
    option = f"{group}={stem}"
    assert set(options(conf)) - set(options(CONF)) == {option}
    if reason is None:
        check(conf, option, directory)
    else:
        with pytest.raises(pytest.skip.Exception, match=reason):
            check(conf, option, directory)


def test_a_mistake_in_an_option_is_red(directory: Path) -> None:
    conf = directory / "conf"
    shutil.copytree(CONF, conf)
    (conf / "model/typo.yaml").write_text("_target_: resnet_lab.models.nothing.net\nname: typo\n")
    with pytest.raises(ValueError, match=r"model._target_=resnet_lab.models.nothing.net"):
        check(conf, "model=typo", directory)


@pytest.mark.parametrize("name", NETWORKS)
def test_our_networks_follow_the_facts_of_the_data(name: str, composed) -> None:
    cfg = composed(f"model={name}", "data=mnist")
    with torch.device("meta"):
        net = build(cfg, "model", without=NOT_OF_THE_NETWORK)
        assert net.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    written = OmegaConf.to_container(cfg.model, resolve=False)
    assert isinstance(written, dict)
    assert written["num_classes"] == "${data.num_classes}"
    assert written["in_channels"] == "${data.channels}"


@pytest.mark.parametrize("scheduler", ["cosine", "multistep", "none", "onecycle", "plateau"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_our_optimizers_go_with_our_schedulers(optimizer: str, scheduler: str, tiny) -> None:
    cfg = tiny(f"optimizer={optimizer}", f"scheduler={scheduler}")
    task = Run(Path(), cfg, {}).build_task()
    opt = task.optimizer(task.net.parameters())
    assert opt.param_groups[0]["lr"] == cfg.optimizer.lr
    length = {"total_steps": 10} if scheduler in ("cosine", "multistep", "onecycle") else {}
    schedule = task.scheduler(opt, **length)
    rates = []
    for _ in range(9):
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step(*([0.5] if scheduler == "plateau" else []))
    assert max(rates) <= cfg.optimizer.lr * 1.0001
    assert isinstance(schedule, torch.optim.lr_scheduler.LRScheduler)


@pytest.mark.parametrize("option", ["trainer=auto", "trainer=cpu", "trainer=ddp", "debug=limit"])
def test_our_trainers_build(option: str, composed) -> None:
    cfg = composed(option)
    trainer = build(cfg, "trainer", without=("threads",), logger=False)
    assert trainer.max_epochs == cfg.trainer.max_epochs
    assert trainer.num_devices == cfg.trainer.devices


def test_every_group_of_the_defaults_list_has_options() -> None:
    listed = OmegaConf.load(CONF / "train.yaml").defaults
    groups = {str(name) for entry in listed if OmegaConf.is_dict(entry) for name in entry}
    assert {"data", "model", "experiment", "debug"} <= groups
    for group in groups:
        assert list((CONF / group).glob("*.yaml")), group


def test_the_protocol_of_the_paper_trains_on_all_images(composed, tmp_path: Path) -> None:
    cfg = composed("experiment=he2015_resnet20", "protocol=paper")
    assert (cfg.trainer.max_epochs, cfg.trainer.max_steps, cfg.data.val_size) == (-1, 64_000, 0)
    assert cfg.expected.value == 0.9125
    steps = "trainer.max_steps=8"
    short = ("data=digits", "model.depth=8", "trainer.precision=32-true", steps, "expected=null")
    cfg = composed(
        "experiment=he2015_resnet20", "protocol=paper", *short, "trainer.log_every_n_steps=1"
    )
    train(cfg, tmp_path / "run")
    with (tmp_path / "run/metrics.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file) if row["lr"]]
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)
    assert Run.load(tmp_path / "run").status["steps"] == 8
