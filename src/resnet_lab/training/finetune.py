"""Which parameters learn, and how fast: a network is a classifier, called `fc`, on a trunk."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

CLASSIFIER = "fc"  # the last layer of every network here, and of torchvision's


def classifier(net: nn.Module) -> nn.Module:
    """Return the last layer of a network.

    Raises:
        ValueError: it has none of that name.
    """
    found = getattr(net, CLASSIFIER, None)
    if not isinstance(found, nn.Module):
        raise ValueError(
            f"{type(net).__name__} has no layer called {CLASSIFIER}: task.freeze, task.trunk_lr "
            "and model.replace_classifier need a classifier of that name"
        )
    return found


def prepare(net: nn.Module, freeze: str | None, trunk_lr: float) -> None:
    """Freeze what is not to learn: with "trunk", everything but the classifier.

    Raises:
        ValueError: the two contradict each other, or there is no classifier.
    """
    if freeze not in (None, "trunk"):
        raise ValueError(f"task.freeze={freeze}: use trunk or null")
    if trunk_lr <= 0 or (freeze and trunk_lr != 1):
        raise ValueError(
            f"task.trunk_lr={trunk_lr}: use a factor above 0, and 1 with task.freeze=trunk"
        )
    if freeze or trunk_lr != 1:
        head = classifier(net)
        if freeze:
            net.requires_grad_(False)
            head.requires_grad_(True)


def keep_statistics(net: nn.Module) -> None:
    """Let batch norms use the statistics that they have, in training as well, and not move them."""
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def parameter_groups(
    net: nn.Module, *, trunk_lr: float = 1.0, decay_norm_and_bias: bool = True
) -> list[dict[str, Any]]:
    """Sort what learns into groups for an optimizer, by rate and weight decay.

    Args:
        net: a network.
        trunk_lr: of everything but the classifier, as a factor on the optimizer's rate.
        decay_norm_and_bias: False: no weight decay for biases and norms.

    Returns:
        At most four groups, each with its factor on the rate as `lr_scale`.
    """
    head = set(net.parameters() if trunk_lr == 1 else classifier(net).parameters())
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in net.parameters():
        if parameter.requires_grad:
            # Biases and the scales and shifts of norms are the parameters of one dimension.
            spared = not decay_norm_and_bias and parameter.ndim <= 1
            groups.setdefault((parameter not in head, spared), []).append(parameter)
    return [
        {"params": groups[trunk, spared], "lr_scale": trunk_lr if trunk else 1.0}
        | ({"weight_decay": 0.0} if spared else {})
        for trunk, spared in sorted(groups)
    ]
