"""Choose the number of CPU threads that trains or evaluates fastest on this machine now.

Threads that share an operation wait for each other at its end. On a busy machine one of them is
always late, so a small network is several times slower on two threads than on one: the best number
depends on the network and on the load of the machine.
"""

import copy
import logging
import os
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.core.device import is_cpu
from resnet_lab.core.processes import launched_together
from resnet_lab.core.threads import available_cores, check_threads, most_threads, using

if TYPE_CHECKING:
    from resnet_lab.data import ImageDataModule

log = logging.getLogger(__name__)

TURNS = 5  # timed steps of each number of threads
ALIKE = 1.03  # ratio of times up to which the smaller number of threads is preferred
LOST = 1.5  # a number of threads is dropped if its minimum is above this times the best median
LONG = 0.5  # seconds; a shorter step is always timed
ALLOWANCE = 0.25  # seconds that the comparison may take in a run of any length
SHARE = 0.01  # of the duration of the run, if that is more
FRESH = 60.0  # seconds for which a choice holds for further runs of this process that are alike
recent: dict[str, tuple[float, int]] = {}  # when, and the number, by what decides it


def for_training(
    config: DictConfig, net: nn.Module, data: "ImageDataModule", earlier: int | None = None
) -> int:
    """Return the number of threads for a run.

    Args:
        config: of the run.
        net: to be trained; it is not changed.
        data: set up.
        earlier: number of threads that this run had before it was interrupted. Results stay the
            same to the last bit only with the same number.
    """
    processes = local_processes(config)
    most = most_for(config)
    if earlier is not None:
        if earlier > most:
            log.warning(
                "this run had %d threads and resumes with %d, all that it may use here: its "
                "numbers may differ in the last digits", earlier, most,
            )  # fmt: skip
        return min(earlier, most)
    setting = setting_of(config)
    check_threads(setting, most)
    if isinstance(setting, int):
        return setting
    if most == 1 or not is_cpu(config.trainer.accelerator):
        return most
    if not hasattr(data, "images"):  # of the user's own, which is not in memory to be timed with
        return most
    decides = (config.model, config.data, config.trainer)
    key = str([OmegaConf.to_container(part, resolve=True) for part in decides] + [most])
    began, number = recent.get(key, (-FRESH, 0))
    if time.monotonic() < began + FRESH:
        return number
    images, indices = data.images("train")
    chosen = indices[: max(1, data.batch_size // processes)]
    with isolate_rng(include_cuda=False):
        step = training_step(
            net, data.normalise(images.pixels[chosen]), images.labels[chosen],
            str(config.trainer.precision),
        )  # fmt: skip
        number = fastest(step, len(chosen), most, length(config, data.size("train")))
    recent[key] = time.monotonic(), number
    return number


def for_evaluation(
    config: DictConfig, net: Callable[[Tensor], object], images: Tensor, batches: int
) -> int:
    """Return the number of threads for an evaluation of a run, from its first batch, normalised."""
    most, setting = most_threads(), setting_of(config)
    if isinstance(setting, int):
        return min(setting, most)
    if most == 1 or batches == 0 or not is_cpu("auto"):
        return most

    def step(size: int) -> None:
        with torch.inference_mode():
            net(images[:size])

    return fastest(step, len(images), most, batches)


def setting_of(config: DictConfig) -> Any:
    """Return `trainer.threads` of a run; old runs have none."""
    return OmegaConf.select(config, "trainer.threads", default="auto")


def most_for(config: DictConfig) -> int:
    """Return how many threads each process of a run may use."""
    own = int(os.environ.get("SLURM_CPUS_PER_TASK", "0"))
    if launched_together() and own >= available_cores():
        return most_threads()  # srun has bound each process to its own cores
    return most_threads(local_processes(config))


def local_processes(config: DictConfig) -> int:
    """Return how many processes of a run share this machine's cores."""
    devices = config.trainer.devices
    if isinstance(devices, int) and devices > 0:
        return devices
    if is_cpu(config.trainer.accelerator):
        return 1
    return len(devices) if OmegaConf.is_list(devices) else max(1, torch.cuda.device_count())


def length(config: DictConfig, images: int) -> int:
    """Return about how many steps a run has."""
    if fast := config.trainer.get("fast_dev_run"):
        return int(fast)
    batches, limit = images // config.data.batch_size, config.trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    steps = batches * max(1, config.trainer.max_epochs or 1)
    most: int = OmegaConf.select(config, "trainer.max_steps", default=-1)
    return min(steps, most) if most > 0 else steps


def training_step(
    net: nn.Module, images: Tensor, labels: Tensor, precision: str
) -> Callable[[int], None]:
    """Return a function that runs a training step of some of the images on a copy of a network."""
    dtype = torch.float64 if precision.startswith("64") else torch.float32
    half = torch.float16 if precision.startswith("16") else torch.bfloat16
    autocast = torch.autocast("cpu", half, enabled="16" in precision)
    twin, images = copy.deepcopy(net).to(dtype).train(), images.to(dtype)

    def step(size: int) -> None:
        with autocast:
            loss = F.cross_entropy(twin(images[:size]).float(), labels[:size])
        torch.autograd.backward(loss)

    return step


def fastest(step: Callable[[int], object], size: int, most: int, steps: int) -> int:
    """Return the number of threads on which `step` is fastest now; torch's own number is restored.

    The numbers 1, 2, 4, ... and `most` are timed in turns, so that other load affects all of them
    alike, and the medians are compared. One that is clearly slower drops out. The comparison takes
    about a hundredth of the run, or a quarter of a second if that is more. If it would take longer,
    the step is so long that all threads are used without measuring.

    Args:
        step: called with a number of images.
        size: images in a batch.
        most: threads that may be used.
        steps: of the whole run.
    """
    with using(1):
        one = _probe(step, size)
    if one > LONG and steps * SHARE < 2 * most:
        return most
    numbers = [2**power for power in range(most.bit_length()) if 2**power < most] + [most]
    times: dict[int, list[float]] = {}
    for number in numbers:
        with using(number):  # two images show a number that is far too slow, cheaper than a step
            if number == 1 or _seconds(step, min(2, size)) < max(2 * one, ALLOWANCE):
                times[number] = []
    began = time.perf_counter()
    for turn in range(TURNS + 1):
        if turn == 1 and one <= LONG:  # the first turn set up memory and kernels
            times = {number: [] for number in times}
        for number, found in times.items():
            with using(number):
                found.append(_seconds(step, size))
        medians = {number: statistics.median(found) for number, found in times.items()}
        best = min(medians.values())
        if turn > 1:  # a single slow moment drops no number
            times = {n: found for n, found in times.items() if min(found) < LOST * best}
        allowed = max(ALLOWANCE, SHARE * steps * best)
        if len(times) == 1 or time.perf_counter() - began > allowed:
            break
    return min(number for number in times if medians[number] <= ALIKE * best)


def _probe(step: Callable[[int], object], size: int) -> float:
    """Estimate the seconds of a step from small batches, which is cheap for a long one."""
    images = min(2, size)
    while True:
        seconds = _seconds(step, images)
        if seconds > LONG / 4 or images == size:
            return seconds * size / images
        images = min(4 * images, size)


def _seconds(step: Callable[[int], object], size: int) -> float:
    start = time.perf_counter()
    step(size)
    return time.perf_counter() - start
