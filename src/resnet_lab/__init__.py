"""Train, evaluate and compare residual networks with PyTorch Lightning and Hydra."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_lab.runs.trained.inference import load as load

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Import `load` when it is asked for: it needs torch, and the commands' --help does not."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # by name: no library module depends on this

    return import_module(f"{__name__}.runs.trained.inference").load
