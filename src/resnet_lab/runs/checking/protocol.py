"""What a LightningModule and a LightningDataModule of one's own have to offer, beside Lightning's.

A module under `task`: it may take `net` and whatever else `Run.build_task` gives.

| member | what |
| --- | --- |
| `net` | the network, an nn.Module from images to outputs |
| `metric_names(split)` | what it logs once an epoch, such as val/acc, to be monitored |

A data module under `data`:

| member | what |
| --- | --- |
| `batch_size` | images in a batch, over all devices |
| `size(split)` | number of images in train, val and test; 0 for none |
| `facts()` | see `resnet_lab.data.facts.Facts`; stored in every checkpoint |

One that has `images`, `normalise` and the like of `ImageDataModule` besides gets more: its labels
are checked, the number of threads is measured, and runs can be compared image by image.
"""

import inspect
from typing import Any

OF_TASK = ("net", "metric_names")
OF_DATA = ("batch_size", "size", "facts")

# Values under `data` that others refer to, which a data module need not take.
FOR_OTHERS = (
    "name", "root", "dataset", "options", "file", "num_classes", "channels", "image_size", "mean",
    "std", "sampler", "folds", "fold", "transform", "target_transform", "streaming", "workers",
)  # fmt: skip


def check_members(key: str, built: Any, members: tuple[str, ...]) -> None:
    """Raise a ValueError that names the first member which a module of the user's own lacks."""
    for name in members:
        if not hasattr(built, name):
            raise ValueError(
                f"{key}: {type(built).__name__} has no {name}, which a run needs: see Your own "
                "module in docs/extending.md"
            )


def taken(target: Any, names: Any) -> set[str]:
    """Return which arguments a class takes."""
    parameters = inspect.signature(target).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return set(names)
    return {parameter.name for parameter in parameters} & set(names)
