"""Modes of torch.compile."""

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
