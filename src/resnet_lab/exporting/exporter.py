"""Export the network of a run: ONNX, `torch.export` and safetensors, each held to PyTorch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from resnet_lab.core.files import replacing
from resnet_lab.core.provenance import commit, now, versions
from resnet_lab.data import ImageDataModule
from resnet_lab.data.pixels import resize
from resnet_lab.runs.trained.inference import (
    TrainedNetwork,
    check_classifies,
    leave_uncompiled,
    load_split,
)
from resnet_lab.runs.trained.run import Run
from resnet_lab.training.weights.published import digest

NAMES = {"onnx": "model.onnx", "int8": "model_int8.onnx", "torch": "model.pt2",
         "safetensors": "model.safetensors"}  # fmt: skip
IMAGES = 256  # most test images that an export is held to PyTorch on
BATCHES = (1, 7)  # sizes of the first batches; the rest is one batch
TOLERANCE = 1e-4  # of probabilities; of logits, relative to the largest

Call = Callable[[Tensor], Tensor]


class Deployable(nn.Module):
    """A network with its preprocessing: from pixels to probabilities.

    Args:
        net: from normalised images to logits.
        mean: per channel, in [0, 1].
        std: likewise.
        temperature: that logits are divided by.
    """

    def __init__(
        self, net: nn.Module, mean: list[float], std: list[float], temperature: float
    ) -> None:
        super().__init__()
        self.net = net
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", 255 * torch.tensor(mean))
        self.register_buffer("scale", 1 / (255 * torch.tensor(std)))
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities [N, classes] of uint8 [N, H, W, C], of the network's input size."""
        normalised = (images.float() - self.mean) * self.scale
        logits: Tensor = self.net(normalised.permute(0, 3, 1, 2))
        return (logits / self.temperature).softmax(1)


class Export(NamedTuple):
    """An export that agrees with PyTorch."""

    path: Path  # of the file
    images: int  # test images that it was run on
    difference: float  # largest absolute difference of its outputs from PyTorch's
    agreeing: int  # images of which both predict the same class
    right: int  # images that it predicts the labelled class of


class Exporter:
    """Export a network of a run.

    Everything is computed in float32 on the CPU, whatever the precision of the training was.

    Args:
        run: a run directory.
        checkpoint: "best", "last" or a path; None: the one that the run itself tested.
        data_dir: where the data lies now; None: where it lay when the run was trained.
        temperature: that logits are divided by.
        preprocessing: True: from uint8 [N, H, W, C] to probabilities. False: from normalised
            float32 [N, C, H, W] to logits.

    Raises:
        ValueError: no such checkpoint or data.
    """

    def __init__(
        self,
        run: Run,
        checkpoint: str | None = None,
        data_dir: str | None = None,
        *,
        temperature: float = 1.0,
        preprocessing: bool = True,
    ) -> None:
        leave_uncompiled(run)
        run.config.trainer.precision = "32-true"
        checkpoint, task, facts, data = load_split(run, "test", checkpoint, data_dir)
        check_classifies(run, task)
        self.network = TrainedNetwork(run, checkpoint, task, facts, data, "cpu")
        self.run = run
        self.checkpoint = checkpoint
        self.preprocessing = preprocessing
        net = self.network.module.float().eval()
        self.net = net.to(memory_format=torch.contiguous_format)
        self.module = (
            Deployable(net, facts["mean"], facts["std"], temperature) if preprocessing else net
        ).eval()
        self.pixels, self.labels = drawn(data, "test", IMAGES)
        self.temperature = self.network.temperature = temperature

    def metadata(self) -> dict[str, Any]:
        """Return what a file says of itself: classes, preprocessing, where it comes from."""
        network, facts = self.network, self.network.facts
        height, width = network.data.image_size
        path = self.run.checkpoint(self.checkpoint)
        tested = self.checkpoint == self.run.config.test
        return {
            "classes": network.classes,
            "input": {
                "layout": "uint8 NHWC" if self.preprocessing else "float32 NCHW, normalised",
                "height": height,
                "width": width,
                "channels": facts["channels"],
                "fit": network.form.fit,
                "centre": network.form.centre,
                "range": network.form.extent,
                "mean": facts["mean"],
                "std": facts["std"],
            },
            "output": "probabilities" if self.preprocessing else "logits",
            "temperature": self.temperature,
            "data": facts["name"],
            "model": OmegaConf.to_container(self.run.config.model, resolve=False),
            "checkpoint_sha256": digest(path),
            # Of the weights that were tested, and of no others.
            "test": self.run.status.get("test") if tested else None,
            "versions": self.run.status.get("versions"),
            "commit": self.run.status.get("commit"),
            "exported": {"at": now(), "versions": versions(), "commit": commit()},
        }

    def export(self, kind: str, path: Path) -> Export:
        """Write a file, run it on test images, and keep it only if it agrees with PyTorch.

        Raises a ValueError if a package is missing, or the export does not agree.
        """
        write = {"onnx": self._onnx, "torch": self._torch, "safetensors": self._safetensors}[kind]
        with replacing(path) as part:
            try:
                call = write(part)
            except ImportError as error:
                raise ValueError(
                    f"--to {kind} needs {error.name}: pip install 'resnet-lab[export]'"
                ) from error
            return self._held(call, path)

    def _held(self, call: Call, path: Path) -> Export:
        """Compare what an export says with what the network says, preprocessing included."""
        rest = len(self.pixels) - sum(BATCHES)
        sizes = [*BATCHES, rest] if rest > 0 else [len(self.pixels)]
        whole = self.preprocessing and path.suffix != ".safetensors"  # which holds weights alone
        inputs = self.pixels if whole else self._normalised(self.pixels)
        with torch.inference_mode():
            found = torch.cat([call(part) for part in torch.split(inputs, sizes)])
        network = self.network
        expected = network.predict_probabilities(self.pixels) if whole else network(self.pixels)
        difference = float((expected - found).abs().max())
        scale = max(1.0, float(expected.abs().max()))
        if not difference <= TOLERANCE * scale:  # also if it is not a number
            raise ValueError(
                f"{path.name} differs from PyTorch by up to {difference:.2g} on "
                f"{len(self.labels)} test images: it is not kept"
            )
        said = found.argmax(1)
        agreeing = int((said == expected.argmax(1)).sum())
        right = int((said == self.labels).sum())
        return Export(path, len(self.labels), difference, agreeing, right)

    def _normalised(self, pixels: Tensor) -> Tensor:
        return self.network.normalised(pixels).contiguous()

    def inputs(self, pixels: Tensor) -> Tensor:
        """Return images, uint8 [N, H, W, C], as the export takes them."""
        return pixels if self.preprocessing else self._normalised(pixels)

    def _onnx(self, path: Path) -> Call:
        import onnx  # noqa: F401  # asked for first, to name what is missing
        import onnxruntime
        import onnxscript  # noqa: F401

        program = torch.onnx.export(
            self.module, (self.inputs(self.pixels[:2]),), dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"], output_names=[self.metadata()["output"]],
        )  # fmt: skip
        assert program is not None
        for name, value in self.metadata().items():
            program.model.metadata_props[name] = text_of(value)
        program.save(str(path), external_data=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

        def call(images: Tensor) -> Tensor:
            (found,) = session.run(None, {"images": images.numpy()})
            return torch.from_numpy(found)

        return call

    def _torch(self, path: Path) -> Call:
        program = torch.export.export(
            self.module,
            (self.inputs(self.pixels[:2]),),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        extra = {"metadata.json": json.dumps(self.metadata(), indent=2)}
        with path.open("wb") as file:
            torch.export.save(program, file, extra_files=extra)
        with path.open("rb") as file:
            loaded: Call = torch.export.load(file).module()
        return loaded

    def _safetensors(self, path: Path) -> Call:
        from safetensors.torch import load_file, save

        texts = {name: text_of(value) for name, value in self.metadata().items()}
        state = {name: tensor.contiguous() for name, tensor in self.net.state_dict().items()}
        path.write_bytes(save(state, texts))
        other = self.run.build_net().eval()
        other.load_state_dict(load_file(path))
        return other


def drawn(data: ImageDataModule, split: str, count: int) -> tuple[Tensor, Tensor]:
    """Return up to `count` images of a split, uint8 [N, H, W, C] of the input size, and labels."""
    images, indices = data.images(split)
    # Seeded, as a folder is sorted by class.
    order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(0))
    chosen = indices[order[:count]]
    pixels = images.pixels[chosen].cpu()
    if len(pixels) and pixels.shape[1:3] != data.image_size:
        fitted = resize(pixels, data.image_size, data.fit or "stretch")
        pixels = fitted.round().clamp(0, 255).to(torch.uint8)
    return pixels, images.labels[chosen].cpu()


def text_of(value: Any) -> str:
    """Return a value for metadata that holds texts alone."""
    return value if isinstance(value, str) else json.dumps(value)
