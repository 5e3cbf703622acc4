"""Check and describe the device, and find the precision that is fastest on it."""

import functools
import os
import platform
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from resnet_lab.core.threads import using

MEMORY_SHARE = "RESNET_LAB_GPU_MEMORY"  # part of a GPU's memory that a job of a pool may take


def limit_gpu_memory() -> None:
    """Keep this process to the part of its GPU's memory that `MEMORY_SHARE` names."""
    share = os.environ.get(MEMORY_SHARE)
    if share is not None and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(float(share))


def visible_gpus() -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES calls each GPU that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = named.split(",") if named else [str(number) for number in range(count)]
    return names[:count]


def check_accelerator(accelerator: str, devices: object) -> None:
    """Raise a ValueError for an accelerator or devices that this machine does not have."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {
        "cpu": True,
        "gpu": gpus > 0 or torch.backends.mps.is_available(),
        "cuda": gpus > 0,
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(accelerator, True):
        raise ValueError(
            f"trainer.accelerator={accelerator}: PyTorch finds none here; it has "
            + ", ".join(name for name, present in there.items() if present)
            + "; use trainer=auto or trainer=cpu"
        )
    if accelerator in ("gpu", "cuda") and isinstance(devices, int) and devices > gpus > 0:
        raise ValueError(f"trainer.devices={devices}: this machine has {gpus}")


def check_precision(accelerator: str, precision: object, averages: bool = False) -> None:
    """Refuse a precision that cannot train as it was asked to; `averages` of weights need bits."""
    on_gpu = accelerator != "cpu" and (
        torch.cuda.is_available() or torch.backends.mps.is_available()
    )
    if str(precision) in ("16", "16-mixed") and not on_gpu:
        raise ValueError(
            f"trainer.precision={precision}: PyTorch scales no float16 losses on a CPU; use "
            "bf16-mixed or 32-true"
        )
    if averages and str(precision) in ("bf16-true", "16-true"):
        raise ValueError(
            f"trainer.precision={precision} rounds away the small changes of an average of weights "
            "(callbacks=ema, callbacks=swa); use bf16-mixed or 32-true"
        )


def is_cpu(accelerator: str) -> bool:
    """Whether an accelerator, as Lightning names it, is the CPU on this machine."""
    if accelerator == "auto":
        return not (torch.cuda.is_available() or torch.backends.mps.is_available())
    return accelerator == "cpu"


def best_precision(accelerator: str) -> str:
    """Return the fastest of Lightning's precisions that trains as well as float32.

    GPUs are known by their generation: bfloat16 from NVIDIA's Ampere on, float16 with loss scaling
    on Volta and Turing. CPUs are measured: many run bfloat16 in software, slower than float32.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        major, _ = torch.cuda.get_device_capability()
        return "bf16-mixed" if major >= 8 else "16-mixed" if major == 7 else "32-true"
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return "32-true"
    return "bf16-mixed" if bf16_speedup() > 1.3 else "32-true"


@functools.lru_cache(maxsize=1)
def bf16_speedup() -> float:
    """Measure how many times as fast as in float32 a convolution runs in bfloat16 on this CPU.

    The convolution is a middle layer of a CIFAR network at batch 64. Hardware bfloat16 gives 1.8
    and more, emulation well below 1: the threshold is 1.3. The two are measured in turn on one
    thread and the best times count, so that a busy machine changes nothing; it takes 0.1 s.
    """
    layers = {
        dtype: [
            torch.rand(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
            for shape in ((64, 32, 16, 16), (32, 32, 3, 3))
        ]
        for dtype in (torch.float32, torch.bfloat16)
    }
    best = dict.fromkeys(layers, float("inf"))
    with using(1), torch.inference_mode():
        for _ in range(15):
            for dtype, (images, weight) in layers.items():
                start = time.perf_counter()
                F.conv2d(images, weight, padding=1)
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]


def describe(accelerator: str = "auto") -> str:
    """Return the name of the processor that trains, as its maker writes it."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else ())
        if line.startswith("model name")
    ]
    threads = torch.get_num_threads()
    plural = "s" if threads > 1 else ""
    return f"{threads} thread{plural} of {names[0] if names else platform.processor()}"


def free_on(device: torch.device) -> int | None:
    """Return the free memory of a GPU in bytes; None for other devices."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU has been given to do, so that a clock counts it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
