"""Every notebook runs from top to bottom; what is stored in ours is fit to be read."""

import os
import re
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from tests.helpers import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
NAMES = (
    "1_first_run", "2_explore_data", "3_analyse_a_run", "4_compare_a_sweep",
    "5_your_own_data_and_network", "6_why_residual_networks_work",
)  # fmt: skip
OURS = [path for path in NOTEBOOKS if path.stem in NAMES]  # others need only run


def test_there_are_notebooks() -> None:
    assert OURS


def run(notebook: nbformat.NotebookNode, folder: Path, tmp_path: Path) -> list[dict]:
    """Run a notebook from top to bottom, as in its folder; return what its cells put out."""
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}  # history is the user's
    # Not over TCP: its ports are chosen some seconds before the kernel takes them, and on a busy
    # machine they may be another process's by then.
    with tempfile.TemporaryDirectory() as short:  # the path of a socket has at most 107 letters
        client = NotebookClient(
            notebook,
            timeout=600,
            startup_timeout=600,
            resources={"metadata": {"path": str(folder)}},
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{short}/kernel"}}),
        )
        client.execute(env=environment)
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.filterwarnings("ignore")  # Jupyter's own, about event loops and sockets
@pytest.mark.parametrize(
    "path",
    [  # the first one takes the way that all of them take
        pytest.param(path, marks=[pytest.mark.slow] * (path in OURS[1:]), id=path.stem)
        for path in NOTEBOOKS
    ],
)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    if path not in OURS:
        run(notebook, path.parent, tmp_path)
        return
    for cell in notebook.cells:  # the figures are as many after two epochs
        cell.source = re.sub(r"(trainer\.max_epochs=)\d+", r"\g<1>2", cell.source)
    before = set(REPOSITORY.glob("logs/*"))
    outputs = run(notebook, path.parent, tmp_path)
    assert sum("image/png" in output.get("data", ()) for output in outputs) >= 3
    assert not [output for output in outputs if output.get("name") == "stderr"]
    trains = any("train(" in cell.source for cell in notebook.cells)
    assert any(tmp_path.glob("logs/*/*")) == trains
    assert set(REPOSITORY.glob("logs/*")) == before


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_of_the_user_s_need_only_run(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook()
    told = "import pathlib, resnet_lab\npathlib.Path('told').write_text(resnet_lab.__name__)"
    notebook.cells = [nbformat.v4.new_code_cell(told)]
    path = tmp_path / "mine.ipynb"
    nbformat.write(notebook, path)
    test_notebook_runs(path, tmp_path)
    assert (tmp_path / "told").read_text() == "resnet_lab"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_stored_outputs_tell_nothing_of_the_machine(path: Path) -> None:
    assert path.stat().st_size < 500_000
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            shown = [value for kind, value in output.get("data", {}).items() if "png" not in kind]
            for text in (output.get("text", ""), *shown):
                assert not re.search(r"(^|\s)/(\w+/)+\w|Warning|Tip:", str(text)), text
