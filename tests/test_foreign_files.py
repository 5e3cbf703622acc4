"""Hostile specimens of what may lie in a run directory from elsewhere: data, never code."""

import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from rich import get_console, reconfigure
from rich.live import Live
from rich.table import Table
from rich.text import Text

from resnet_lab import evaluate
from resnet_lab.active_run import ActiveRun, resolved
from resnet_lab.building import build
from resnet_lab.console import console, errors_in_one_line, printable, show
from resnet_lab.reporting.jobs import Job
from resnet_lab.run import NOT_OF_THE_NETWORK, Run

# Targets that a recorded configuration must not reach, at any place.
HOSTILE = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "evil.Net",  # of a module that lies beside: importing it is running it
    "torch.hub.load",
    "torch.load",
    "torch.jit.load",
    "torch.os.system",  # reached through a package that is allowed
    "torch.utils.cpp_extension.load",
    "torch.utils.cpp_extension.load_inline",
    "torchvision.models.resnet.load_state_dict_from_url",
    "torchvision.datasets.utils.download_url",
    "lightning.pytorch.LightningModule.load_from_checkpoint",
    "lightning.pytorch.cli.LightningCLI",
    "lightning.pytorch.trainer.connectors.signal_connector._HandlersCompose",
    "resnet_lab.train.main",
    "resnet_lab.weights.read",
    "resnet_lab.active_run.ActiveRun",
    "resnet_lab.pool.subprocess.Popen",
    "hydra.utils.instantiate",
    "functools.partial",
    "torch.nn.Module.__subclasses__",
    "torch.nn",
    "",
    "torch..nn",
    ["os.system"],
]

Plant = Callable[..., Path]


@pytest.fixture
def plant(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """A function that makes a run directory whose configuration was changed by somebody."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)

    def changed(key: str, value: Any) -> Path:
        shutil.rmtree("theirs", ignore_errors=True)
        ActiveRun.open("theirs", tiny()).close()
        config = OmegaConf.load("theirs/config.yaml")
        OmegaConf.update(config, key, value, force_add=True)
        plain = OmegaConf.to_container(config, resolve=False)
        Path("theirs/config.yaml").write_text(yaml.safe_dump(plain))
        return Path("theirs")

    yield changed
    assert not (tmp_path / "ran").exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize("target", HOSTILE, ids=str)
def test_a_recorded_target_is_refused_before_it_is_imported(target, plant: Plant) -> None:
    node = {"_target_": target, "_args_": ["touch ran"]}
    run = Run.load(plant("model", node))
    with pytest.raises(ValueError, match=r"^model\._target_="):
        run.build("model", without=NOT_OF_THE_NETWORK)


@pytest.mark.parametrize("target", HOSTILE, ids=str)
def test_a_recorded_target_is_refused_however_deep(target) -> None:
    node = {"_target_": target, "_args_": ["touch ran"], "_partial_": True}
    around = {"_target_": "resnet_lab.task.ImageClassifier", "_recursive_": False}
    config = OmegaConf.create({"task": {**around, "mix": {"x": [[node]]}}})
    with pytest.raises(ValueError, match=r"^task\.mix\.x\.0\.0\._target_="):
        build(config, "task")


def test_a_target_is_refused_wherever_objects_are_built(plant: Plant, tmp_path: Path) -> None:
    node = {"_target_": "evil.Net"}
    for key in ("model", "optimizer", "scheduler", "task", "data", "data.source"):
        run = Run.load(plant(key, node))
        with pytest.raises(ValueError, match=r"_target_=evil\.Net: .*add --trust"):
            run.build_data() if key.startswith("data") else run.build_task()
    for key in ("callbacks.mine", "logger.mine", "trainer", "trainer.strategy"):
        run = Run.load(plant(key, node))
        with pytest.raises(ValueError, match=r"_target_=evil\.Net: .*add --trust"):
            run.build(key.removesuffix(".strategy"))


def test_evaluate_and_resume_refuse_in_one_line(plant: Plant, capsys, monkeypatch) -> None:
    from resnet_lab import train

    run = plant("model._target_", "evil.Net")
    (run / "checkpoints").mkdir()
    import torch

    torch.save({"state_dict": {}, "data": {}}, run / "checkpoints" / "last.ckpt")
    with pytest.raises(SystemExit):
        evaluate.main([str(run)])
    err = capsys.readouterr().err
    assert err.startswith("error: model._target_=evil.Net: ")
    assert err.count("\n") == 1
    monkeypatch.setattr(sys, "argv", ["train.py", "--resume", str(run)])
    with pytest.raises(SystemExit):
        train.main()
    assert capsys.readouterr().err.startswith("error: model._target_=evil.Net: ")


def test_trust_lifts_the_refusal(tmp_path: Path, monkeypatch, tiny) -> None:
    code = "import torch\nclass Net(torch.nn.Module):\n    pass\n"
    (tmp_path / "my_package.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    config = tiny()
    config.model = {"_target_": "my_package.Net", "name": "mine"}
    with ActiveRun.open("mine", config, trust=True) as run:  # what a person typed
        assert type(run.build("model", without=("name",))).__name__ == "Net"
    with pytest.raises(ValueError, match=r"model\._target_=my_package\.Net: .*add --trust"):
        Run.load("mine").build("model", without=("name",))
    trusted = Run.load("mine", trust=True)
    assert type(trusted.build("model", without=("name",))).__name__ == "Net"


@pytest.mark.parametrize(
    "target",
    ["torch.nn.Identity", "torchvision.models.resnet18", "resnet_lab.models.resnet.resnet"],
)
def test_what_runs_are_made_of_needs_no_trust(target: str) -> None:
    node = {"_target_": target, **({"depth": 18} if "lab" in target else {})}
    config = OmegaConf.create({"model": {**node, "num_classes": 10}})
    if "lab" in target:
        config.model.in_channels = 3
    assert build(config, "model").training


@pytest.mark.parametrize(
    ("name", "value"),
    [("checkpoint_path", "theirs/evil.bin"), ("model_name", "hf-hub:evil/net")],
)
def test_timm_unpickles_nothing_for_others(name: str, value: str) -> None:
    config = OmegaConf.create({"model": {"_target_": "timm.create_model", name: value}})
    with pytest.raises(ValueError, match=f"model.{name}={value}: timm would unpickle it"):
        build(config, "model")


@pytest.mark.parametrize("value", ["${oc.env:SECRET}", "a ${name}", ["${seed}"], {"${seed}": 1}])
def test_an_interpolation_is_refused_and_never_resolved(value, plant: Plant, monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "swordfish")
    run = plant("task.note", value)
    with pytest.raises(ValueError, match=r"config\.yaml: task\.note.*holds no \$\{") as caught:
        Run.load(run)
    assert "swordfish" not in str(caught.value)
    assert Job(run, "done", {}, {}).config == {}  # what a report shows


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch ran']",
        "a: !!python/name:os.system ''",
        "[1, 2]",
        "a: [",
        "\x00",
        "",
    ],
)
def test_a_damaged_configuration_is_one_clear_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml") as caught:
        Run.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()


ESCAPES = "cat\x1b[2J\x1b]0;title\x07\r\x9b31m\u202egnp\u2028x"


def test_control_characters_are_written_out() -> None:
    assert printable(ESCAPES) == r"cat\x1b[2J\x1b]0;title\x07\r\x9b31m\u202egnp\u2028x"
    assert printable("föö\n\tbär\U0001f600") == "föö\n\tbär\U0001f600"


def test_an_error_with_control_characters_is_one_plain_line(capsys) -> None:
    with pytest.raises(SystemExit), errors_in_one_line():
        raise ValueError(f"no such class {ESCAPES}")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err[:-1].isprintable()


def test_tables_and_messages_reach_the_terminal_as_plain_text(capsys) -> None:
    reconfigure()  # as it is at first, whatever was drawn before
    table = Table("class")
    table.add_row(ESCAPES)
    show(table)
    show(Text(ESCAPES))
    console().print(ESCAPES, markup=False)
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    assert r"cat\x1b[2J" in out


def test_what_is_printed_beside_a_progress_bar_does_not_end_it_twice() -> None:
    """Rich takes the last hook away when a bar ends, and a bar may begin before ours is there."""
    reconfigure()
    with Live("bar", console=get_console()):
        console().print(ESCAPES)
    left = [type(hook).__name__ for hook in get_console()._render_hooks]
    assert left == ["_Printable"]


def test_the_log_of_a_run_holds_no_control_characters(tiny) -> None:
    with ActiveRun.open("mine", tiny()):
        logging.getLogger("resnet_lab").warning("saw %s", ESCAPES)
    text = Path("mine/train.log").read_text()
    assert r"saw cat\x1b[2J" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_a_composed_configuration_records_no_interpolation(tiny) -> None:
    assert "${" not in OmegaConf.to_yaml(resolved(tiny()))
