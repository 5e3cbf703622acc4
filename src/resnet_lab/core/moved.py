"""Names of version 0.1 in recorded configurations, so that old runs can still be evaluated."""

from typing import Any

# Where the classes and functions of a module are today.
MOVED = {
    "resnet_lab.data.augment": "resnet_lab.data.transforms",
    "resnet_lab.data.auto_augment": "resnet_lab.data.transforms",
    "resnet_lab.data.erase": "resnet_lab.data.transforms",
    "resnet_lab.data.image_folder": "resnet_lab.data.sources",
    "resnet_lab.data.torchvision_source": "resnet_lab.data.sources",
    "resnet_lab.loggers": "resnet_lab.runs.loggers",
    "resnet_lab.mixing": "resnet_lab.training.mixing",
    "resnet_lab.schedulers": "resnet_lab.training.schedulers",
    "resnet_lab.sharding": "resnet_lab.training.sharding",
    "resnet_lab.task": "resnet_lab.training.task",
}

GONE = {"resnet_lab.profiler.NoProfiler": "lightning.pytorch.profilers.PassThroughProfiler"}


def with_new_names(node: Any) -> Any:
    """Return a plain configuration in which each `_target_` has the name that it has today."""
    if isinstance(node, list):
        return [with_new_names(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: with_new_names(value) for name, value in node.items()}
    if isinstance(node.get("_target_"), str):
        target = node["_target_"]
        module, _, name = target.rpartition(".")
        node["_target_"] = (
            f"{MOVED[module]}.{name}" if module in MOVED else GONE.get(target, target)
        )
    return node
