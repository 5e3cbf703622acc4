"""Exports are held to PyTorch, say what they are, and are used without this package."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from resnet_lab import analyse, export, load
from resnet_lab.data.sources import Digits
from resnet_lab.exporting import exporter, quantised
from resnet_lab.exporting.exporter import Exporter
from resnet_lab.runs.trained.run import Run
from tests.helpers import REPOSITORY

needs_onnx = pytest.mark.skipif(
    not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))), reason="extra `export`"
)
needs_safetensors = pytest.mark.skipif(not find_spec("safetensors"), reason="extra `export`")
# Of the exporters of torch 2.14 and onnxscript, about their own code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def command(capsys: pytest.CaptureFixture):
    """Run the command in this process; return exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            export.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


def probabilities(run: Path, images: torch.Tensor) -> torch.Tensor:
    """Return the probabilities in float32, as exports compute."""
    return Exporter(Run.load(run)).network.predict_probabilities(images)


@pytest.fixture
def images() -> torch.Tensor:
    return Digits().read("test").pixels[:33]


def test_torch_export_takes_images_and_gives_probabilities(
    trained: Path, images: torch.Tensor, command
) -> None:
    code, out, err = command(trained, "--to", "torch")
    assert (code, err) == (0, "")
    assert "on 256 test images: differs from PyTorch by at most" in out
    extra = {"metadata.json": ""}
    program = torch.export.load(trained / "export/model.pt2", extra_files=extra)
    found = program.module()(images)
    assert torch.allclose(found, probabilities(trained, images), atol=1e-5)
    about = json.loads(extra["metadata.json"])
    assert about["classes"] == list("0123456789")
    assert about["input"] | {"mean": 0, "std": 0} == {
        "layout": "uint8 NHWC", "height": 8, "width": 8, "channels": 1, "fit": "crop",
        "centre": 1.0,
        "range": "auto", "mean": 0, "std": 0,
    }  # fmt: skip
    digest = hashlib.sha256((trained / "checkpoints/last.ckpt").read_bytes()).hexdigest()
    assert about["checkpoint_sha256"] == digest
    assert about["test"]["images"] == 360


def test_a_bare_export_takes_normalised_images_and_gives_logits(
    trained: Path, images: torch.Tensor, command, tmp_path: Path
) -> None:
    assert command(trained, "--to", "torch", "--bare", "--out", tmp_path / "bare")[0] == 0
    program = torch.export.load(tmp_path / "bare/model.pt2")
    net = load(trained)
    found = program.module()(net.normalised(images).contiguous())
    assert torch.allclose(found.softmax(1), probabilities(trained, images), atol=1e-5)
    assert not torch.allclose(found.sum(1), torch.ones(33))


@needs_onnx
def test_onnx_runs_without_this_package(
    trained: Path, images: torch.Tensor, command, tmp_path: Path
) -> None:
    """By the example of the documentation, word for word."""
    code, _, err = command(trained, "--to", "onnx")
    assert (code, err) == (0, "")
    text = (REPOSITORY / "docs/using.md").read_text()
    (example,) = re.findall(r"```python\n(import json\n.*?)```", text, re.DOTALL)
    assert "resnet_lab" not in example
    Image.fromarray(images[0, ..., 0].numpy()).save(tmp_path / "photo.png")
    shutil.copy(trained / "export/model.onnx", tmp_path / "model.onnx")
    said = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    expected = probabilities(trained, images[:1])[0].topk(5)
    lines = [line.split() for line in said.stdout.splitlines()]
    assert [int(line[0]) for line in lines] == expected.indices.tolist()
    shown = torch.tensor([float(line[1]) for line in lines])
    assert torch.allclose(shown, expected.values, atol=6e-5)


@needs_onnx
def test_int8_is_smaller_and_tells_its_accuracy(trained: Path, images, command) -> None:
    import onnxruntime

    code, out, err = command(trained, "--to", "int8", "--card")
    assert (code, err) == (0, "")
    path = trained / "export/model_int8.onnx"
    told = re.search(
        r"\((\d+) of 256 test images right, in float32 (\d+); same class for (\d+); (.*)\)", out
    )
    assert told is not None, out
    assert int(told[3]) >= 0.9 * 256
    assert f"({told[1]} of 256 test images right" in (trained / "export/README.md").read_text()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == list("0123456789")
    assert told[0].strip("()") in about["quantised"]
    (found,) = session.run(None, {"images": images.numpy()})
    expected = probabilities(trained, images)
    assert 0 < (torch.from_numpy(found) - expected).abs().max() < 0.3
    assert [file.name for file in path.parent.iterdir() if "onnx" in file.name] == [path.name]


@needs_onnx
def test_an_int8_export_that_says_other_classes_is_not_kept(
    trained: Path, monkeypatch, command
) -> None:
    monkeypatch.setattr(quantised, "AGREEING", 1.01)
    code, out, err = command(trained, "--to", "int8")
    assert (code, out) == (1, "")
    assert re.search(r"keeps the class of \d+ of 256 test images alone: it is not kept", err)
    assert not list((trained / "export").iterdir())


def test_int8_needs_validation_images(trained: Path, monkeypatch, command) -> None:
    monkeypatch.setattr(quantised, "FEWEST", 1000)
    code, out, err = command(trained, "--to", "int8")
    assert (code, out) == (1, "")
    assert "on validation images: needs 1000, and this run has" in err


@needs_safetensors
def test_safetensors_hold_the_weights_by_their_names(trained: Path, command) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    assert command(trained, "--to", "safetensors")[0] == 0
    path = trained / "export/model.safetensors"
    state = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    found = load_file(path)
    assert found.keys() == {name.removeprefix("net.") for name in state if name.startswith("net.")}
    assert all(torch.equal(found[name], state[f"net.{name}"]) for name in found)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["model"])["depth"] == 8


def test_the_temperature_is_exported(trained: Path, images: torch.Tensor, command) -> None:
    code, _, err = command(trained, "--to", "torch", "--calibrated")
    assert code == 1
    assert "no fitted temperature" in err
    analyse.main([str(trained)])
    assert command(trained, "--to", "torch", "--calibrated", "--card")[0] == 0
    temperature = json.loads((trained / "analysis.json").read_text())["temperature"]
    found = torch.export.load(trained / "export/model.pt2").module()(images)
    logits = probabilities(trained, images).log()
    assert torch.allclose(found, (logits / temperature).softmax(1), atol=1e-4)
    text = (trained / "export/README.md").read_text()
    assert f"at temperature {temperature:.3f}" in text


def test_an_export_that_differs_is_not_kept(trained: Path, monkeypatch, command) -> None:
    class Wrong(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(images), 10)

    monkeypatch.setattr(Exporter, "_torch", lambda *_: Wrong())
    code, out, err = command(trained, "--to", "torch")
    assert (code, out) == (1, "")
    assert re.search(r"model.pt2 differs from PyTorch by up to .* it is not kept", err)
    assert not list((trained / "export").iterdir())


def test_the_card_says_what_was_recorded_of_these_weights(trained: Path, command) -> None:
    assert command(trained, "--card", "--to", "torch")[0] == 0
    text = (trained / "export/README.md").read_text()
    test = Run.load(trained).status["test"]
    assert f"Test accuracy {100 * test['acc']:.2f} % (95 % interval" in text
    digest = hashlib.sha256((trained / "export/model.pt2").read_bytes()).hexdigest()
    assert f"- `model.pt2`: sha256 `{digest}`" in text
    assert "optimizer.lr: `0.05`" in text
    (data,) = Run.load(trained).status["data_sha256"].values()
    assert f"- `training images` of the data: sha256 `{data}`" in text
    assert command(trained, "--card", "--checkpoint", "best")[0] == 0
    assert "These weights were not tested." in (trained / "export/README.md").read_text()


def test_a_package_that_is_missing_is_named(trained: Path, monkeypatch, command) -> None:
    for name in ("onnx", "safetensors", "safetensors.torch"):
        monkeypatch.setitem(sys.modules, name, None)
    for kind, package in (("onnx", "onnx"), ("int8", "onnx"), ("safetensors", "safetensors")):
        code, _, err = command(trained, "--to", kind)
        assert code == 1
        assert f"needs {package}" in err
        assert "pip install 'resnet-lab[export]'" in err


def test_pictures_of_another_size_are_fitted_first(composed, command, monkeypatch) -> None:
    from resnet_lab.train import train
    from tests.helpers import TINY

    cfg = composed(*TINY, "data.image_size=12", "trainer.max_epochs=1", "task.compile=false")
    train(cfg, "larger", trust=True)
    monkeypatch.setattr(exporter, "IMAGES", 20)
    assert command("larger", "--to", "torch")[0] == 0
    program = torch.export.load("larger/export/model.pt2")
    assert program.module()(torch.zeros(2, 12, 12, 1, dtype=torch.uint8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to write: --card or --to onnx, int8"),
        (["--to", "torch", "--bare", "--calibrated"], "leave one out"),
        (["--to", "torch", "--checkpoint", "nowhere"], "no such checkpoint"),
        (["--card", "--data-dir", "nowhere"], "no such directory"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], said: str, trained: Path, command) -> None:
    code, out, err = command(trained, *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (trained / "export").exists()


def test_a_preprocessing_that_differs_is_found(trained: Path, monkeypatch, command) -> None:
    init = exporter.Deployable.__init__
    monkeypatch.setattr(
        exporter.Deployable,
        "__init__",
        lambda self, net, mean, *rest: init(self, net, [mean[0] + 0.01], *rest),
    )
    code, _, err = command(trained, "--to", "torch")
    assert code == 1
    assert "differs from PyTorch" in err
