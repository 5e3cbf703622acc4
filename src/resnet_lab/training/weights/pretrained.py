"""Load weights: published ones to start from, and those of a run's own checkpoints."""

import logging
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from resnet_lab.core.processes import leads
from resnet_lab.training.parameter_groups import HEAD, head_of
from resnet_lab.training.weights.published import PUBLISHED, digest, fetch

log = logging.getLogger(__name__)

# What people wrap state dicts in, and what DistributedDataParallel, torch.compile and
# LightningModules put before each name.
WRAPPINGS = ("state_dict", "model_state_dict", "model_state", "model", "net")
PREFIXES = ("module.", "_orig_mod.", "net.", "model.")
INITIAL = 5000  # images that data-dependent initialisation sees
HEADS = ("fc", "linear", "head", "classifier")  # names of the last layer elsewhere


def load_pretrained(net: nn.Module, weights: str, replace_classifier: bool = False) -> None:
    """Load published weights into a network before training.

    The weights are a checkpoint (ours, or a state dict in the usual wrappings, with the usual
    prefixes and names of a head), or the name of torchvision's weights for this network, or of
    `published.PUBLISHED`. With `replace_classifier` the new head stays.

    Raises:
        ValueError: the weights do not exist, cannot be read without running code, or do not fit.
    """
    if replace_classifier not in (True, False):
        raise ValueError(f"model.replace_classifier={replace_classifier}: must be true or false")
    path = fetch(weights) if weights in PUBLISHED else Path(weights)
    if not path.exists() and re.fullmatch(r"(\w+_Weights\.)?[A-Z][A-Z0-9_]*", weights):
        source, content = _download(net, weights)
    elif path.is_file():
        source, content = f"{path.absolute()} (sha256 {digest(path)[:16]})", read(path)
    else:
        what = "is a directory" if path.is_dir() else "does not exist"
        published = PUBLISHED if weights.startswith("akamaster") else ()
        choices = ["a checkpoint", *published, *_names(_torchvision_weights(net))]
        raise ValueError(f"model.weights={weights} {what}: use {' or '.join(choices)}")
    load_weights(net, _state_dict(net, content, weights), weights, replace_classifier)
    if leads():
        but = f", with a new {HEAD}" if replace_classifier else ""
        log.info("training starts from the weights of %s%s", source, but)


def initialise_from_images(net: nn.Module, data: Any) -> None:
    """Call `net.initialise` with images of the training set, for weights that depend on the data.

    Args:
        net: changed in place; its `initialise` takes float32 [N, C, H, W], normalised.
        data: an `ImageDataModule`, set up. Other data modules leave the weights as they are.
    """
    if hasattr(data, "images") and hasattr(data, "normalise"):
        images, indices = data.images("train")
        spread = torch.linspace(0, len(indices) - 1, min(len(indices), INITIAL)).long()
        net.initialise(data.normalise(images.pixels[indices[spread]]))  # type: ignore[operator]


def read(path: Path) -> Any:
    """Read a checkpoint to the CPU; raise a ValueError if that would need code to be run."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever, for a file of another kind
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is None:
            raise ValueError(
                f"{path} cannot be read as a checkpoint: it is damaged or no checkpoint"
            ) from error
        raise ValueError(
            f"{path} cannot be read as a checkpoint without running code ({code[1]}): if you trust "
            "it, load it with weights_only=False and save its state dict alone"
        ) from error


def load_weights(
    module: nn.Module, state: Mapping[str, Tensor], source: str, replace_classifier: bool = False
) -> None:
    """Load weights strictly; with `replace_classifier` the head stays as it is.

    Raises:
        ValueError: names or shapes differ; the message names the first of each kind.
    """
    own = module.state_dict()
    if replace_classifier:
        kept = head_of(module).state_dict(prefix=f"{HEAD}.")
        state = {name: state[name] for name in state if not _is_head(name)} | kept
    # Checkpoints from before torch 0.4.1 have no num_batches_tracked.
    lacking = {name for name in own.keys() - state.keys() if "num_batches_tracked" not in name}
    besides = state.keys() - own.keys()
    differing = {name for name in own.keys() & state.keys() if own[name].shape != state[name].shape}
    shapes = [
        f"{name} is {_sides(state[name])} there and {_sides(own[name])} here" for name in differing
    ]
    problems = [
        f"{what} {', '.join(sorted(names)[:3])}"
        + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for what, names in (
            ("missing:", lacking),
            ("unexpected:", besides),
            ("shapes differ:", shapes),
        )
        if names
    ]
    if problems:
        way_out = ""
        backbone = {name for name in lacking | besides | differing if not _is_head(name)}
        if not backbone:
            way_out = f"; set model.replace_classifier=true to train a new {HEAD}"
        elif backbone == {"conv1.weight"}:
            way_out = "; the stem (model.stem) or the number of image channels differs"
        raise ValueError(f"{source} is of another network: {'; '.join(problems)}{way_out}")
    module.load_state_dict(dict(state))


def _is_head(name: str) -> bool:
    return name.startswith(f"{HEAD}.")


def _state_dict(net: nn.Module, content: Any, source: str) -> dict[str, Tensor]:
    """Return the weights in a checkpoint, under the network's own names."""
    while isinstance(content, Mapping):
        inner = [content[name] for name in WRAPPINGS if isinstance(content.get(name), Mapping)]
        if not inner:
            break
        content = inner[0]
    found = content.items() if isinstance(content, Mapping) else ()
    own = net.state_dict().keys()
    state: dict[str, Tensor] = {}
    for name, value in found:
        if isinstance(value, Tensor):
            bare = _own_name(name, own)
            if bare in state:
                raise ValueError(f"{source} holds two networks: {bare} occurs twice")
            state[bare] = value
    if not state:
        raise ValueError(f"{source} holds no state dict: use the checkpoint of a network")
    return state


def _own_name(name: str, own: Iterable[str]) -> str:
    """Return a name without prefixes, with the head called `HEAD`."""
    while name not in own:
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            break
        name = name.removeprefix(prefix)
    layer, _, rest = name.partition(".")
    if layer in HEADS and not any(known.startswith(f"{layer}.") for known in own):
        return f"{HEAD}.{rest}"
    return name


def _torchvision_weights(net: nn.Module) -> type[Enum] | None:
    """Return torchvision's weights for this network; stem and head may differ."""

    def shapes(net: nn.Module) -> dict[str, torch.Size]:
        named = net.state_dict().items()
        return {name: t.shape for name, t in named if not name.startswith(("conv1.", HEAD))}

    own = shapes(net)
    for name in torchvision.models.list_models(
        torchvision.models, include=("resnet*", "resnext*", "wide_resnet*")
    ):
        with torch.device("meta"):
            theirs = torchvision.models.get_model(name)
        if shapes(theirs) == own:
            weights: type[Enum] = torchvision.models.get_model_weights(name)
            return weights
    return None


def _names(weights: type[Enum] | None) -> list[str]:
    return [f"{weights.__name__}.{member.name}" for member in weights] if weights else []


def _download(net: nn.Module, name: str) -> tuple[str, Any]:
    """Download torchvision's weights; return their address and content."""
    weights = _torchvision_weights(net)
    if weights is None:
        raise ValueError(f"model.weights={name}: torchvision has none for this network; use a file")
    family, _, version = name.rpartition(".")
    if family not in ("", weights.__name__) or version not in weights.__members__:
        names = " or ".join(_names(weights))
        raise ValueError(f"model.weights={name}: torchvision has {names} for this network")
    if net.get_parameter("conv1.weight").shape[2:] != (7, 7):
        raise ValueError(f"model.weights={name} needs another stem: set model.stem=imagenet")
    member: Any = weights[version]
    try:
        content = member.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"model.weights={name}: {member.url} could not be fetched ({error}); download it "
            "elsewhere and set model.weights to the file"
        ) from error
    return member.url, content


def _sides(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape)
