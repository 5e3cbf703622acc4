"""Parameter groups: which parameters learn, and at which rate.

A network is a head, its last layer `fc`, on a backbone, which is all the rest.
"""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

HEAD = "fc"  # the name of the last layer of every network here, and of torchvision's ResNets


def head_of(net: nn.Module) -> nn.Module:
    """Return the last layer of a network; raise a ValueError if none is called `HEAD`."""
    found = getattr(net, HEAD, None)
    if not isinstance(found, nn.Module):
        raise ValueError(
            f"{type(net).__name__} has no layer called {HEAD}: task.freeze, task.backbone_lr and "
            "model.replace_classifier need a head of that name"
        )
    return found


def freeze_parameters(net: nn.Module, freeze: str | None, backbone_lr: float) -> None:
    """Freeze the backbone of a network if `freeze` is "backbone".

    Raises a ValueError if a value is wrong, the two contradict each other, or there is no head.
    """
    if freeze not in (None, "backbone"):
        raise ValueError(f"task.freeze={freeze}: must be backbone (once called trunk) or null")
    if backbone_lr <= 0 or (freeze and backbone_lr != 1):
        raise ValueError(
            f"task.backbone_lr={backbone_lr}: must be a factor above 0, and 1 with "
            "task.freeze=backbone"
        )
    if freeze or backbone_lr != 1:
        head = head_of(net)
        if freeze:
            net.requires_grad_(False)
            head.requires_grad_(True)


def freeze_statistics(net: nn.Module) -> None:
    """Keep the running statistics of batch norms as they are, and use them in training too."""
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def parameter_groups(
    net: nn.Module, *, backbone_lr: float = 1.0, decay_norm_and_bias: bool = True
) -> list[dict[str, Any]]:
    """Sort the parameters that learn into groups for an optimizer, by rate and weight decay.

    Without `decay_norm_and_bias`, biases and norm layers have no weight decay. Returns at most four
    groups, each with its factor on the learning rate as `lr_scale`.
    """
    head = set(net.parameters() if backbone_lr == 1 else head_of(net).parameters())
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in net.parameters():
        if parameter.requires_grad:
            # Biases and the scales and shifts of norms are the parameters of one dimension.
            no_decay = not decay_norm_and_bias and parameter.ndim <= 1
            groups.setdefault((parameter not in head, no_decay), []).append(parameter)
    return [
        {"params": groups[backbone, no_decay], "lr_scale": backbone_lr if backbone else 1.0}
        | ({"weight_decay": 0.0} if no_decay else {})
        for backbone, no_decay in sorted(groups)
    ]
