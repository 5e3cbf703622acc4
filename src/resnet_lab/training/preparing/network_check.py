"""Check a network before training starts: its compile mode, and that the data set fits."""

from collections.abc import Iterable

import torch
from torch import nn

from resnet_lab.data.facts import Facts
from resnet_lab.data.pixels import sides

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
CUDA_GRAPHS = ("reduce-overhead", "max-autotune")  # the modes that replay steps as CUDA graphs


def compile_mode(compile: bool | str, accumulate: int = 1) -> str | None:
    """Return the mode of torch.compile that `task.compile` names; None: torch's default.

    Args:
        compile: true, false or a mode.
        accumulate: batches whose gradients are added up for a step. CUDA graphs overwrite the
            gradient of the batch before (pytorch/pytorch#96693, #169545).

    Raises:
        ValueError: there is no such mode, or its gradients would be wrong.
    """
    if compile in CUDA_GRAPHS and accumulate > 1:
        raise ValueError(
            f"task.compile={compile} gives wrong gradients with "
            f"trainer.accumulate_grad_batches={accumulate}: use task.compile=true"
        )
    if isinstance(compile, bool):
        return None
    if compile not in COMPILE_MODES:
        raise ValueError(
            f"task.compile={compile}: must be true, false or one of {', '.join(COMPILE_MODES)}"
        )
    return compile


def check_network(net: nn.Module, facts: Facts) -> None:
    """Pass a blank image through a network, which stays in the mode that it is in.

    Raises a ValueError if it does not take such images or does not give one logit per class.
    """
    shape = (facts["channels"], *sides(facts["image_size"]))
    training = net.training
    try:
        # Eagerly: what is compiled for one image first is compiled for any number afterwards.
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            logits = net.eval()(torch.zeros(1, *shape))
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise ValueError(
            f"the model does not take images of {_shape(shape)} (channels, height, width): {text}"
        ) from error
    finally:
        net.train(training)
    if logits.shape != (1, len(facts["classes"])):
        raise ValueError(
            f"the model gives {_shape(logits.shape[1:])} outputs for the {len(facts['classes'])} "
            f"classes of {facts['name']}: leave model.num_classes to data.num_classes"
        )


def _shape(sizes: Iterable[int]) -> str:
    return " x ".join(str(size) for size in sizes)
