"""Files from elsewhere are data, never code: a hostile specimen of each kind."""

import csv
import io
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image, PsdImagePlugin
from rich import get_console, reconfigure
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from resnet_lab import evaluate
from resnet_lab.core.configuration.building import build
from resnet_lab.core.configuration.config import NOT_OF_THE_NETWORK
from resnet_lab.core.console import console, errors_in_one_line, show
from resnet_lab.core.text import csv_cell, markdown, markdown_code, printable, printable_lines
from resnet_lab.data.sources import ImageFolder
from resnet_lab.reporting import report, terminal
from resnet_lab.reporting.run_record import RunRecord
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.checking.checks import resolved
from resnet_lab.runs.trained.run import Run
from tests.reporting.fakes import fake_job

# ---- data


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures, two classes, with splits."""
    root = tmp_path / "photos"
    for split in ("train", "test"):
        for grey, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for index in range(3):
                picture = Image.new("L", (8, 8), 100 * grey + index)
                picture.save(root / split / name / f"{index}.png")
    return root


def refused(source: ImageFolder) -> str:
    """Return what is said of a folder, in one line, before or while it is read."""
    said = ""
    try:
        source.prepare()
        source.read("train")
    except ValueError as caught:
        said = str(caught)
    assert said, "no error"
    assert "\n" not in said
    return said


FORMATS = {  # first bytes of formats that Pillow knows and we do not open, under a listed name
    "a PostScript program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n",
    "a Photoshop file": b"8BPS\0\1"
    + b"\0" * 6
    + b"\0\3\0\0\0\x08\0\0\0\x08\0\x08\0\3"
    + b"\0" * 12,
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + b"\0" * 64,
    "an icon": b"\0\0\1\0\1\0\x08\x08\0\0\1\0\x20\0\x10\0\0\0\x16\0\0\0" + b"\0" * 64,
}


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_listed_formats_are_opened(
    name: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*arguments: object) -> None:
        raise AssertionError("a plugin that nobody asked for was started")

    Image.init()
    for plugin in ("EPS", "PSD", "HDF5", "ICO"):
        monkeypatch.setitem(Image.OPEN, plugin, (opened, Image.OPEN[plugin][1]))
    assert PsdImagePlugin._accept(FORMATS["a Photoshop file"])  # the specimens are what they say
    path = photos / "train" / "cat" / "0.png"
    path.write_bytes(FORMATS[name])
    assert f"1 of 6 images cannot be read, the first is {path}" in refused(ImageFolder(str(photos)))


@pytest.mark.parametrize("kind", ["picture", "folder", "class", "split"])
def test_links_do_not_lead_out_of_an_image_folder(kind: str, photos: Path, tmp_path: Path) -> None:
    link = {
        "picture": photos / "train" / "cat" / "9.png",
        "folder": photos / "train" / "cat" / "more",
        "class": photos / "train" / "dog",
        "split": photos / "train",
    }[kind]
    secret = tmp_path / "secret"
    if link.exists():
        link.rename(secret)
    elif kind == "folder":
        secret.mkdir()
    else:
        Image.new("L", (8, 8)).save(secret, "png")
    link.symlink_to(secret)
    said = refused(ImageFolder(str(photos)))
    assert "is a link that leads out of" in said
    assert "data.source.follow_links=true" in said
    source = ImageFolder(str(photos), follow_links=True)
    source.prepare()
    assert len(source.read("train").labels) >= 6


def test_links_within_an_image_folder_and_to_it_are_followed(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "cat" / "9.png").symlink_to(photos / "test" / "cat" / "0.png")
    (tmp_path / "link").symlink_to(photos)
    for root in (photos, tmp_path / "link"):
        assert len(ImageFolder(str(root)).read("train").labels) == 7


# --- reports, comparisons and what is printed ---

NAMES = [
    "$x$", "$\\frac$", "a$b$c$d$", "\\1\\g<0>", "a\\", "[red]x[/red]", "[/]", "[link=x]y",
    "\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "a\rb", "a\nb", "a\tb", "\x00", "\u202eabc",
    "\u2028", "\udcff", "<script>alert(1)</script>", "<img src=x onerror=y>", "a|b", "`a``b`",
    "*a*", "_a_", "![a](http://b)", "=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1", "\t=1", "&lt;",
    "\"'><b>", "-->", "]]>", "", " ", "x" * 300, "名前", "😀", "${oc.env:HOME}", "%s%n", "_hidden",
]  # fmt: skip
SVG = {"svg", "defs", "style", "g", "path", "use", "clippath", "rect"}
KEY = "$a$.\\1<b>|\x1b[31m_"
HOSTILE = "\x1b[31m[red]$a$\\1<script>|`=\n\u202e\x00"


def hidden(text: str) -> list[str]:
    """Return what could act on a terminal, but line ends."""
    return [
        letter for letter in text if not letter.isprintable() and letter not in "\n\u200c\u200d"
    ]


def hostile_sweep(directory: Path, names: list[str]) -> Path:
    """Write a sweep whose jobs, settings, errors, metric and device are called so."""
    for number, name in enumerate(names):
        state = "failed" if number % 5 == 4 else "done"
        path = fake_job(
            directory, f"x={number}", "seed=0", state=state, value=0.5 + number / 100, error=name,
            curve=[0.1, 0.2, 0.3], device=name, commit=name, seconds=60.0 + number,
            epochs=name, precision=[name],
        )  # fmt: skip
        status = json.loads((path / "status.json").read_text())
        status["overrides"] = [f"+{KEY}={name}", f"+{HOSTILE}=1", "seed=0"]
        (path / "status.json").write_text(json.dumps(status))
    record = {"command": HOSTILE, "monitor": "val/acc", "mode": HOSTILE, "jobs": [HOSTILE]}
    (directory / "sweep.json").write_text(json.dumps(record))
    return directory


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The report of a hostile sweep: its pages, and what was printed."""
    root = hostile_sweep(tmp_path_factory.mktemp("elsewhere") / "[red]$a$\\1 <b>|`", NAMES)
    screen = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "console", lambda: screen)
        patch.setattr("resnet_lab.core.console.console", lambda: screen)
        result = report.report([root])
        report.show_report(result)
    assert isinstance(screen.file, io.StringIO)
    texts = {path.name: path.read_text(encoding="utf-8") for path in result.files}
    return texts | {"printed": screen.file.getvalue()}


def test_no_control_character_reaches_a_terminal_or_a_page(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        assert hidden(text) == [], name
        assert text.encode("utf-8")
    assert "\\x1b[31mred" in pages["printed"]
    assert "[red]x[/red]" in pages["printed"]


def test_html_holds_no_element_of_theirs(pages: dict[str, str]) -> None:
    tags = Tags(pages["report.html"])
    assert not tags.found & {"script", "img", "b", "a", "link", "iframe"}
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages["report.html"]
    assert "<svg" in pages["report.html"]  # the plots survived


def test_a_table_in_markdown_keeps_its_columns(pages: dict[str, str]) -> None:
    rows = [line for line in pages["report.md"].splitlines() if line.startswith("| ")]
    assert len(rows) > len(NAMES) // 2
    assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows}) == 1
    told = [line for line in pages["report.md"].splitlines() if not line.startswith("- ")]
    assert not re.search(r"(?<!\\)<(script|img|b)\b", "\n".join(told))


def test_the_checklist_has_no_tag_outside_of_code(pages: dict[str, str]) -> None:
    prose = re.sub(r"(`+).*?\1", "", pages["checklist.md"])
    assert "#" in prose
    assert not re.search(r"(?<!\\)<(script|img|b)\b", prose)


@pytest.mark.parametrize("name", ["report.csv", "runs.csv"])
def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers(
    name: str, pages: dict[str, str]
) -> None:
    rows = list(csv.reader(io.StringIO(pages[name])))
    for cell in (cell for row in rows for cell in row):
        if cell.lstrip()[:1] in tuple("=+-@"):
            float(cell)
    assert len({len(row) for row in rows}) == 1


@given(st.text())
def test_any_text_is_one_visible_line(text: str) -> None:
    shown = printable(text)
    assert hidden(shown) == []
    assert "\n" not in shown
    assert printable(shown) == shown
    shown.encode()
    cell = csv_cell(text)
    assert isinstance(cell, str)
    if cell.lstrip()[:1] in tuple("=+-@"):
        float(cell)
    assert "\n" not in markdown(text) + markdown_code(text)


@pytest.mark.parametrize("value", [-1, -0.5, "-0.5", "1e-3", "+3", 7, None, True])
def test_numbers_stay_numbers_in_a_csv(value: object) -> None:
    assert csv_cell(value) == value


def test_any_name_is_drawn_as_it_stands() -> None:
    from resnet_lab.reporting import html
    from resnet_lab.reporting.plots.figure import new_figure
    from resnet_lab.reporting.plots.images import confusion_matrix, image_grid

    many = len(NAMES)
    image_grid(np.zeros((many, 4, 4, 3), np.uint8), NAMES).canvas.draw()
    confusion_matrix(np.eye(many, dtype=int), NAMES).canvas.draw()
    for name in NAMES:
        assert Tags(html.svg(new_figure(1, 1), name)).found <= SVG
        assert Tags(html.png(new_figure(1, 1), name)).found == {"img"}


def test_a_dollar_in_a_name_is_no_formula() -> None:
    from resnet_lab.reporting.plots.images import confusion_matrix

    figure = confusion_matrix(np.eye(2, dtype=int), ["$\\frac$", "$b$"])
    figure.canvas.draw()
    names = [text for text in figure.axes[0].get_xticklabels() if "$" in text.get_text()]
    assert [text.get_parse_math() for text in names] == [False, False]


def test_a_class_called_like_markup_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnet_lab import evaluate

    screen = Console(file=io.StringIO(), width=120)
    monkeypatch.setattr(evaluate, "console", lambda: screen)
    entry = {"acc": 0.5, "acc_low": 0.4, "acc_high": 0.6, "images": 10}
    classes = {"[red]": entry, "\x1b[31m": entry, "all": entry}
    evaluate._show({**entry, "classes": classes, "split": "test", "loss": 1.0})
    assert isinstance(screen.file, io.StringIO)
    printed = screen.file.getvalue()
    assert hidden(printed) == []
    assert "[red]" in printed
    assert "\\x1b[31m" in printed


@pytest.mark.parametrize(
    "text",
    [
        "seed: ${oc.env:HOME}\nmodel: {name: '${oc.env:HOME}'}\n",
        "model: {name: '${now:%Y}'}\n",
    ],
)
def test_a_recorded_interpolation_is_not_followed(text: str, tmp_path: Path) -> None:
    for number in range(2):
        path = fake_job(tmp_path, f"model.name={number}" if number else "seed=0")
        (path / "config.yaml").write_text(text)
    report.report([tmp_path])
    written = "".join(path.read_text() for path in tmp_path.glob("re*.*"))
    assert os.environ["HOME"] not in written.replace(str(tmp_path), "")
    assert "${" in written


def test_aliases_that_grow_without_bounds_are_not_read(tmp_path: Path) -> None:
    path = fake_job(tmp_path, "seed=0")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (path / "config.yaml").write_text("\n".join(lines))
    start = time.monotonic()
    assert report.report([tmp_path], write=False).leaderboard.ranked
    assert time.monotonic() - start < 30  # it would take hours


@pytest.mark.parametrize("name", ["../outside", "/etc", "a/../../outside", "\x00", ".."])
def test_an_entry_of_a_sweep_stays_below_it(name: str, tmp_path: Path) -> None:
    fake_job(tmp_path / "outside", "seed=9")
    fake_job(tmp_path / "sweep", "seed=0")
    entries = [{"directory": name, "overrides": ["seed=9"], "state": "done"}]
    (tmp_path / "sweep/sweep.json").write_text(json.dumps({"jobs": entries}))
    results = report.report([tmp_path / "sweep"], write=False).results
    assert [job.directory.name for job in results.jobs] == ["seed=0"]


def test_a_lock_that_is_a_link_is_not_opened(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path = fake_job(tmp_path / "sweep", "seed=0", state="running", value=None)
    (path / ".lock").symlink_to(precious)
    report.report([tmp_path / "sweep"], write=False)
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    "status",
    [
        "[" * 100_000,
        json.dumps({"state": "done", "best": {"value": 10**400, "epoch": 10**400, "monitor": 3}}),
        json.dumps({"state": ["done"], "best": [], "test": "x", "seconds": {}, "overrides": {}}),
        json.dumps({"state": "done", "overrides": [1, None, "=", "", "a"], "updated": 5}),
        json.dumps({"state": "done", "overrides": [f"seed={'9' * 5000}", "seed=²"]}),
    ],
)
def test_any_status_is_read(status: str, tmp_path: Path) -> None:
    path = fake_job(tmp_path, "seed=0")
    (path / "status.json").write_text(status)
    for told in ('{"jobs": 5}', '{"jobs": {}, "monitor": [], "mode": {}}', "[" * 100_000):
        (tmp_path / "sweep.json").write_text(told)
        assert len(report.report([tmp_path]).results.jobs) == 1


@pytest.mark.parametrize(
    "rows",
    ["1e9,1\n", "0,1\n999999999999999999999,1\n", "0,nan\n1,inf\n2,1e300\n3,-1\n", '0,"1\n1,2\n'],
)
def test_damaged_curves_leave_the_report(rows: str, tmp_path: Path) -> None:
    for number in range(3):
        path = fake_job(tmp_path, f"model={number}", "seed=0", curve=[0.1, 0.2])
    (path / "metrics.csv").write_text(f"epoch,val/acc\n{rows}")
    result = report.report([tmp_path])
    assert len(result.files) == 5
    assert "Validation accuracy against model" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "status",
    [
        {"state": HOSTILE, "best": {"monitor": HOSTILE, "value": 0.5, "epoch": 3}},
        {"best": [], "test": {"acc": 0.5, "acc_low": HOSTILE}, "seconds": "x", "device": [HOSTILE]},
        {"test": {"acc": 0.5, "loss": None}, "images_per_second": "fast", "epochs": HOSTILE},
    ],
)
def test_two_runs_from_elsewhere_are_compared(status: dict[str, object], tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    from resnet_lab.reporting.comparing import rows as compare
    from resnet_lab.runs.trained.run import Run

    texts = ({"model": {"name": "${oc.env:HOME}", HOSTILE: 1}}, {"model": {"name": HOSTILE}})
    first, second = (Run(tmp_path, OmegaConf.create(text), status) for text in texts)
    rows = compare.config_rows([first, second]) + compare.metric_rows([first, second])
    told = "".join(cell for row in rows for cell in row)
    assert hidden(told) == []
    assert "\n" not in told
    assert "${oc.env:HOME}" in told
    assert os.environ["HOME"] not in told


# Targets that a recorded configuration must not reach, at any place.
TARGETS = [
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
    "resnet_lab.training.weights.pretrained.read",
    "resnet_lab.runs.active.ActiveRun",
    "resnet_lab.sweeps.launchers.job_process.subprocess.Popen",
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


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_recorded_target_is_refused_before_it_is_imported(target, plant: Plant) -> None:
    node = {"_target_": target, "_args_": ["touch ran"]}
    run = Run.load(plant("model", node))
    with pytest.raises(ValueError, match=r"^model\._target_="):
        run.build("model", without=NOT_OF_THE_NETWORK)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_recorded_target_is_refused_however_deep(target) -> None:
    node = {"_target_": target, "_args_": ["touch ran"], "_partial_": True}
    around = {"_target_": "resnet_lab.training.task.ImageClassifier", "_recursive_": False}
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


def test_commands_refuse_in_one_line(plant: Plant, capsys, monkeypatch) -> None:
    from resnet_lab import analyse, export, load, predict, train

    run = plant("model._target_", "evil.Net")
    (run / "checkpoints").mkdir()
    torch.save({"state_dict": {}, "data": {}}, run / "checkpoints" / "last.ckpt")
    Image.new("L", (8, 8)).save("photo.png")
    for command, *more in (
        (evaluate,), (analyse,), (predict, "photo.png"), (export, "--to", "torch"),
    ):  # fmt: skip
        with pytest.raises(SystemExit):
            command.main([str(run), *more])
        err = capsys.readouterr().err
        assert err.startswith("error: model._target_=evil.Net: ")
        assert err.count("\n") == 1
    with pytest.raises(ValueError, match=r"model\._target_=evil\.Net: "):
        load(run)
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


def create_model(model_name: str, num_classes: int = 10) -> torch.nn.Module:
    return torch.nn.Linear(1, num_classes)


def test_a_network_of_timm_needs_no_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in: timm is not among what we install."""
    timm = ModuleType("timm")
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setattr(timm, "create_model", create_model, raising=False)
    node = {"_target_": "timm.create_model", "model_name": "resnet26", "num_classes": 3}
    with pytest.raises(ValueError, match=r"_target_=timm\.create_model: .*add --trust"):
        build(OmegaConf.create({"model": node}), "model")  # it is of another module
    monkeypatch.setattr(create_model, "__module__", "timm.models._factory")
    assert build(OmegaConf.create({"model": node}), "model").out_features == 3


def test_aliases_are_refused_wherever_a_run_is_loaded(plant: Plant) -> None:
    run = plant("name", "mine * & yours")  # no alias
    assert Run.load(run).config.name == "mine * & yours"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with (run / "config.yaml").open("a") as file:
        file.write("\n".join(lines))
    with pytest.raises(ValueError, match=r"config\.yaml: what a run records has no aliases"):
        Run.load(run)


ELSEWHERE = {
    "trainer.profiler": {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "dirpath": "x"},
    "trainer.plugins": [{"_target_": "lightning.pytorch.plugins.AsyncCheckpointIO", "a": "/x"}],
    "callbacks.mine": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "/x"},
    "callbacks.yours": {
        "_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "filename": "../../x",
    },
    "logger.csv": {"_target_": "lightning.pytorch.loggers.CSVLogger", "name": "../x"},
    "logger.home": {"_target_": "lightning.pytorch.loggers.CSVLogger", "name": "~/x"},
    "logger.service": {
        "_target_": "lightning.pytorch.loggers.MLFlowLogger", "tracking_uri": "file:x",
    },
    "logger.deep": {
        "_target_": "lightning.pytorch.loggers.WandbLogger", "settings": {"root_dir": "x"},
    },
}  # fmt: skip


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_run_from_elsewhere_writes_into_its_own_directory_alone(key: str, plant: Plant) -> None:
    run = Run.load(plant(key, ELSEWHERE[key]))
    with pytest.raises(ValueError, match=rf"^{key}\..*its own directory alone; .*add --trust"):
        run.build("trainer" if key.startswith("trainer") else key)


@pytest.mark.parametrize("value", ["${oc.env:SECRET}", "a ${name}", ["${seed}"], {"${seed}": 1}])
def test_an_interpolation_is_refused_and_never_resolved(value, plant: Plant, monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "swordfish")
    run = plant("task.note", value)
    with pytest.raises(ValueError, match=r"config\.yaml: task\.note.*holds no \$\{") as caught:
        Run.load(run)
    assert "swordfish" not in str(caught.value)
    assert "swordfish" not in str(RunRecord(run, "done", {}, {}).config)  # what a report shows


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
    assert printable_lines(ESCAPES) == r"cat\x1b[2J\x1b]0;title\x07 \x9b31m\u202egnp x"
    assert printable_lines("föö\n\tbär\U0001f600") == "föö\n\tbär\U0001f600"


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
    assert left == ["_ControlCodes"]


def test_the_log_of_a_run_holds_no_control_characters(tiny) -> None:
    with ActiveRun.open("mine", tiny()):
        logging.getLogger("resnet_lab").warning("saw %s", ESCAPES)
    text = Path("mine/train.log").read_text()
    assert r"saw cat\x1b[2J" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_a_composed_configuration_records_no_interpolation(tiny) -> None:
    assert "${" not in OmegaConf.to_yaml(resolved(tiny()))
