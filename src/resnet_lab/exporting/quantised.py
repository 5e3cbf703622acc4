"""Export to int8: static quantisation of the ONNX file, its accuracy beside that of float32."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_lab.core.files import replacing
from resnet_lab.exporting.exporter import Exporter, drawn, text_of

IMAGES = 256  # most validation images that the ranges of activations are measured on
FEWEST = 32  # of them
BATCH = 32
AGREEING = 0.9  # share of test images that must keep their class


class Quantised(NamedTuple):
    """An int8 export, beside the float32 one that it was made of."""

    path: Path
    images: int  # test images that both were run on
    right: int  # of them, int8
    right_before: int  # of them, float32
    agreeing: int  # of which both predict the same class
    size: int  # bytes
    size_before: int

    def __str__(self) -> str:
        return (
            f"{self.right:,} of {self.images:,} test images right, in float32 "
            f"{self.right_before:,}; same class for {self.agreeing:,}; "
            f"{self.size / 1000:,.0f} kB, in float32 {self.size_before / 1000:,.0f} kB"
        )


class _Reader:
    """Hands batches of images to onnxruntime, then None."""

    def __init__(self, batches: Iterator[NDArray[Any]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def quantise(exporter: Exporter, path: Path) -> Quantised:
    """Write the network with weights and activations of 8 bits, and measure it on test images.

    Weights have a scale for each channel; the ranges of activations are those of validation images.

    Raises:
        ValueError: a package is missing, there are too few validation images, or the classes of
            more than a tenth of the test images change.
    """
    exporter.network.data.setup("validate")
    pixels, _ = drawn(exporter.network.data, "val", IMAGES)
    if len(pixels) < FEWEST:
        raise ValueError(
            f"--to int8 measures the ranges of activations on validation images: needs {FEWEST}, "
            f"and this run has {len(pixels)} (data.val_size)"
        )
    inputs = exporter.inputs(pixels).numpy()
    batches = np.array_split(inputs, -(-len(inputs) // BATCH))
    with tempfile.TemporaryDirectory() as folder, replacing(path) as part:
        whole = Path(folder) / "model.onnx"
        before = exporter.export("onnx", whole)
        import onnx
        from onnxruntime import InferenceSession
        from onnxruntime.quantization import quantize_static

        with _quiet():
            quantize_static(whole, part, _Reader(iter(batches)), per_channel=True)
        said = []
        for file in (whole, part):
            session = InferenceSession(file, providers=["CPUExecutionProvider"])
            outputs = session.run(None, {"images": exporter.inputs(exporter.pixels).numpy()})
            said.append(torch.from_numpy(outputs[0]).argmax(1))
        agreeing = int((said[0] == said[1]).sum())
        if agreeing < AGREEING * before.images:
            raise ValueError(
                f"{path.name} keeps the class of {agreeing} of {before.images} test images alone: "
                "it is not kept"
            )
        right = int((said[1] == exporter.labels).sum())
        found = Quantised(
            path, before.images, right, before.right, agreeing,
            part.stat().st_size, whole.stat().st_size,
        )  # fmt: skip
        model = onnx.load(part)
        about = exporter.metadata() | {"quantised": f"int8: {found}"}
        onnx.helper.set_model_props(model, {key: text_of(value) for key, value in about.items()})
        onnx.save(model, part)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out onnxruntime's advice, which is logged to the root."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
