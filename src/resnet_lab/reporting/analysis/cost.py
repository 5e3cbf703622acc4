"""What a network costs: parameters, multiplications, time, size."""

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from resnet_lab.core.device import describe
from resnet_lab.runs.trained.inference import TrainedNetwork

SIZES = (1, 256)  # images in a batch
SECONDS = 0.3  # for each of them


def cost(network: TrainedNetwork, pixels: torch.Tensor) -> dict[str, Any]:
    """Measure the cost of inference on images, uint8 [N, H, W, C], from the network's input on.

    Returns:
        `parameters`, `macs` (multiply-accumulate operations for an image, half of the FLOPs that
        torch counts), `images_per_second` by batch size, `bytes` of weights and buffers,
        `checkpoint_bytes` on disk, `device`, `precision`.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.forward(network.normalised(pixels[:1]))
    return {
        "parameters": sum(parameter.numel() for parameter in network.module.parameters()),
        "macs": counter.get_total_flops() // 2,
        "images_per_second": {str(size): _rate(network, pixels[:1], size) for size in SIZES},
        "bytes": sum(tensor.nbytes for tensor in network.module.state_dict().values()),
        "checkpoint_bytes": network.run.checkpoint(network.checkpoint).stat().st_size,
        "device": describe("cpu" if network.device.type == "cpu" else "auto"),
        "precision": str(network.run.config.trainer.precision),
    }


def _rate(network: TrainedNetwork, pixels: torch.Tensor, size: int) -> float:
    """Return images a second, by the median of repeated batches after two to warm up.

    Not by torch's Timer, whose median is that of means: a busy machine moves it.
    """
    images = network.normalised(pixels.expand(size, -1, -1, -1))
    times: list[float] = []
    with torch.inference_mode():
        for _ in range(2):
            network.forward(images).cpu()
        began = time.perf_counter()
        while len(times) < 3 or time.perf_counter() - began < SECONDS:
            start = time.perf_counter()
            network.forward(images).cpu()  # a GPU is waited for
            times.append(time.perf_counter() - start)
    return size / sorted(times)[len(times) // 2]
