"""What docs/extending.md says to write works as it stands: a copy trains with all of it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from resnet_lab import train
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.resolvers import register_resolvers
from tests.helpers import REPOSITORY, TINY, Compose

PACKAGE = train.__name__.partition(".")[0]
PAGE = (REPOSITORY / "docs/extending.md").read_text().partition("\n## Your own project")[0]
FILES = re.findall(r"<!-- new file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]

# Of each kind that the page adds, one; and a check that the run directory alone is enough.
EVERYTHING = (
    "data=bloodmnist", "model=convmixer", "model.width=8", "model.depth=2", "augment=[invert]",
    "callbacks=weight_norm", "optimizer=nadam", "scheduler=polynomial",
    "metrics=[full,worst]", "monitor=val/worst", "loss=poly", "task=ordered", "data.batch_size=16",
    "run_dir=run",
)  # fmt: skip
SCRIPT = f"""
import sys
from {PACKAGE} import evaluate, train
train.main()
evaluate.main(["run", "--json"])
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with the files of the page."""
    project = tmp_path_factory.mktemp("project")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("src", "conf"):
        shutil.copytree(REPOSITORY / folder, project / folder, symlinks=True, ignore=ignore)
    for name, text in FILES:
        path = project / name
        path.write_text(text)
    return project


@pytest.fixture
def compose_in_copy(copy: Path) -> Iterator[Compose]:
    """A function that composes the copy's `conf/train.yaml` with overrides."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(copy / "conf"), **VERSION_BASE):
        yield lambda *overrides: compose("train", list(overrides))


def test_everything_on_the_page_trains_together(copy: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 64), ("val", 24), ("test", 24)):
        arrays[f"{split}_images"] = draw.integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 8).reshape(-1, 1).astype(np.uint8)
    data = tmp_path / "data"
    data.mkdir()
    np.savez(data / "bloodmnist.npz", **arrays)
    small = [override for override in TINY if not override.startswith("model.")]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *small, *EVERYTHING],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(copy / "src"), "RESNET_LAB_DATA": str(data)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert '"images": 24' in ended.stdout
    header = (tmp_path / "run/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"weight_norm", "val/worst", "val/mae", "val/kappa"} <= set(header)


@pytest.mark.slow  # tests/runs/test_own_modules.py trains such ones in this process
def test_modules_of_ones_own_train(copy: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in "ab":
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(8):
                pixels = draw.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *TINY, "task=two_optimizers", "data=pictures",
         "run_dir=run"],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert '"acc": ' in ended.stdout


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_compose(words: list[str], compose_in_copy: Compose) -> None:
    overrides = []
    for word in words:
        if word == "-m":
            continue
        override = OverridesParser.create().parse_override(word)
        if override.is_sweep_override():
            word = f"{override.key_or_group}={next(override.sweep_string_iterator())}"
        overrides.append(word)
    assert compose_in_copy(*overrides).trainer.max_epochs > 0


def test_a_set_of_torchvision_needs_no_python(compose_in_copy: Compose) -> None:
    data = Run(Path(), compose_in_copy("data=eurosat"), {}, trust=True).build_data()
    assert data.source.dataset == "EuroSAT"


def test_a_network_of_torchvision_needs_no_python(compose_in_copy: Compose) -> None:
    run = Run(Path(), compose_in_copy("data=cifar10", "model=mobilenet"), {}, trust=True)
    assert run.build_net()(torch.zeros(2, 3, 64, 64)).shape == (2, 10)
