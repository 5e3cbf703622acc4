"""Every notebook runs from top to bottom, and what is stored in it is fit to be read."""

import re
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.filterwarnings("ignore")  # Jupyter's own, about event loops and sockets
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(path, as_version=4)
    sources = "".join(cell.source for cell in notebook.cells)
    assert "trainer.max_epochs=12" in sources
    for cell in notebook.cells:  # the figures are as many after two epochs
        cell.source = cell.source.replace("trainer.max_epochs=12", "trainer.max_epochs=2")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # history is the user's own
    before = set(REPOSITORY.glob("logs/*"))
    # Not over TCP: its ports are chosen some seconds before the kernel takes them, and on a busy
    # machine they may be another process's by then.
    with tempfile.TemporaryDirectory() as short:  # the path of a socket has at most 107 letters
        sockets = {"transport": "ipc", "ip": f"{short}/kernel"}
        client = NotebookClient(
            notebook,
            timeout=600,
            startup_timeout=600,
            resources={"metadata": {"path": str(path.parent)}},
            config=Config({"KernelManager": sockets}),
        )
        client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", ()) for output in outputs) >= 3
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert list((tmp_path / "logs/runs").iterdir())
    assert set(REPOSITORY.glob("logs/*")) == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
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
