"""Load a run directory, and rebuild its data, network and task.

| file | what |
| --- | --- |
| `config.yaml` | the resolved configuration: enough to rebuild the run |
| `status.json` | state, metrics, speed, versions, commit, error; replaced atomically |
| `checkpoints/best.ckpt`, `last.ckpt` | plain tensors and types: `weights_only=True` loads them |
| `train.log` | what was printed, with the traceback of a failure |

The directory may be moved and renamed: nothing in it says where it lies.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.building import build
from resnet_lab.core.configuration.config import NOT_OF_THE_NETWORK
from resnet_lab.core.configuration.recorded import read_config
from resnet_lab.core.configuration.trust import locate
from resnet_lab.core.directions import OF_THE_ENTRY, monitor_mode
from resnet_lab.core.files import shown
from resnet_lab.runs.checking.protocol import FOR_OTHERS, OF_DATA, OF_TASK, check_members, taken

if TYPE_CHECKING:  # torch and Lightning are imported where a run is built
    from torch import nn

    from resnet_lab.data import ImageDataModule
    from resnet_lab.data.facts import Facts
    from resnet_lab.training.image_task import ImageTask

STATES = ("done", "running", "pending", "interrupted", "pruned", "failed")
OVER = ("done", "pruned")  # states of a run that is not trained any further
TRIAL = "trial.json"  # of a run that a search may prune; see `resnet_lab.sweeps.searching.study`

ANEW = "delete it; to make it anew, resume the run: what it said is in the last checkpoint"


R = TypeVar("R", bound="Run")


@dataclass(eq=False)
class Run:
    """A run directory, to read."""

    directory: Path  # absolute
    config: DictConfig  # resolved
    status: dict[str, Any]  # content of `status.json`
    trust: bool = field(default=False, kw_only=True)  # see `resnet_lab.core.configuration.trust`

    @classmethod
    def load(cls: type[R], directory: str | Path, *, trust: bool = False) -> R:
        """Open a run to read it; raise a ValueError if the directory is missing or no run's."""
        path = Path(directory).resolve()
        if not path.is_dir():
            raise ValueError(f"{directory}: no such directory; runs lie under logs/runs")
        if not (path / "config.yaml").is_file():
            raise ValueError(f"{directory} is no run directory: it holds no config.yaml")
        config = read_config(path / "config.yaml")
        if "model" not in config:
            raise ValueError(f"{path / 'config.yaml'} is not the configuration of a run")
        try:
            status = json.loads((path / "status.json").read_text())
        except FileNotFoundError:
            status = {}
        except ValueError as error:
            raise ValueError(f"{path / 'status.json'} is damaged ({error}): {ANEW}") from error
        if not isinstance(status, dict):
            raise ValueError(f"{path / 'status.json'} is damaged (it is no mapping): {ANEW}")
        return cls(path, config, status, trust=trust)

    @property
    def shown(self) -> Path:
        """The directory as a person would type it: relative where it lies below the current one."""
        return shown(self.directory)

    @property
    def done(self) -> bool:
        """Whether the run is finished: trained and tested, or pruned by a search."""
        return self.status.get("state") in OVER

    def build(self, key: str, *, without: tuple[str, ...] = (), **arguments: Any) -> Any:
        """Build what the configuration describes under a key; see `core.configuration.building`."""
        return build(self.config, key, trust=self.trust, without=without, **arguments)

    def build_data(self, facts: "Facts | None" = None) -> "ImageDataModule":
        """Build the data module of the configuration; nothing is read yet.

        The mean and std of a checkpoint's `facts` normalise, also where the configuration leaves
        them to be measured.
        """
        if facts is not None:
            self.config.data.mean, self.config.data.std = facts["mean"], facts["std"]
        target = locate("data", self.config.data, trust=self.trust)
        left = set(FOR_OTHERS) - taken(target, FOR_OTHERS)
        given = {"seed": self.config.seed} if taken(target, ("seed",)) else {}
        data: ImageDataModule = self.build("data", without=tuple(left), **given)
        check_members("data", data, OF_DATA)
        return data

    def move_data(self, data_dir: str | Path) -> None:
        """Look for the data in another directory than the run was trained with.

        What lay in the recorded `data_dir`, or the directory of a data set that has its own
        (`data.root`), lies there now.
        """
        if not Path(data_dir).is_dir():
            raise ValueError(f"data_dir={data_dir}: no such directory")
        if not reroot(self.config, str(data_dir)):
            file = self.config.data.get("file")
            own = Path(file).parent if file else self.config.data.get("root")
            if own is None:
                raise ValueError(
                    f"data_dir={data_dir}: the data of {self.shown} is no files; leave it out"
                )
            reroot(self.config, str(data_dir), str(own))

    def build_net(self) -> "nn.Module":
        """Build the network of the configuration, untrained."""
        net: nn.Module = self.build("model", without=NOT_OF_THE_NETWORK)
        return net

    def build_task(self, net: "nn.Module | None" = None) -> "ImageTask":
        """Build the task of the configuration, around its network or one that is built already."""
        config = self.config
        given = {
            "net": self.build_net() if net is None else net,
            "optimizer": self.build("optimizer", _partial_=True),
            "scheduler": self.build("scheduler", without=("interval",), _partial_=True),
            "interval": OmegaConf.select(config, "scheduler.interval") or "step",
            "num_classes": config.data.num_classes,
            "monitor": config.monitor,
            "monitor_mode": monitor_mode(config, trust=self.trust),
            "seed": config.seed,
        }
        target = locate("task", config.task, trust=self.trust)
        known = taken(target, [*given, "loss"])
        if config.get("loss"):
            if "loss" not in known:
                raise ValueError(f"loss: {target.__name__} takes none: it has its own")
            given["loss"] = self.build("loss")
        chosen = {name: value for name, value in given.items() if name in known}
        task: ImageTask = self.build("task", **chosen)
        check_members("task", task, OF_TASK)
        self._add_metrics(task)
        return task

    def _add_metrics(self, task: "ImageTask") -> None:
        """Have a task measure what the group `metrics` lists."""
        import torch

        entries = {name: node for name, node in (self.config.get("metrics") or {}).items() if node}
        if not entries:
            return
        if not hasattr(task, "add_metrics"):
            name = type(task).__name__
            raise ValueError(f"metrics.{min(entries)}: {name} logs its own metrics; leave it out")
        with torch.device("cpu"):  # the network may be on another, which holds no values
            metrics = {
                name: self.build(f"metrics.{name}", without=OF_THE_ENTRY) for name in entries
            }
            splits = {name: node.get("splits") or ["val", "test"] for name, node in entries.items()}
            task.add_metrics(metrics, splits)

    def load_task(self, which: str = "best") -> "tuple[ImageTask, Facts]":
        """Build the task, in evaluation mode, with the weights of "best", "last" or a path.

        Returns it with the facts of the data that it was trained on. Raises a ValueError if there
        is no such checkpoint, it cannot be read, or it is of another network.
        """
        from resnet_lab.training.weights.pretrained import load_weights, read

        path = self.checkpoint(which)
        state = read(path)
        if not isinstance(state, dict) or "state_dict" not in state or "data" not in state:
            raise ValueError(f"{path} is not a checkpoint of resnet-lab")
        task = self.build_task()
        load_weights(task, state["state_dict"], str(path))
        return task.eval(), state["data"]

    def has_checkpoint(self, which: str) -> bool:
        """Whether the run has a checkpoint "best" or "last"."""
        return (self.directory / "checkpoints" / f"{which}.ckpt").is_file()

    def checkpoint(self, which: str = "best") -> Path:
        """Return the path of "best", "last" or a path; raise a ValueError if there is none."""
        named = self.directory / "checkpoints" / f"{which}.ckpt"
        path = named if which in ("best", "last") else Path(which)
        if not path.is_file():
            raise ValueError(f"{path}: no such checkpoint; use best, last or the path of one")
        return path


def reroot(config: DictConfig, now: str, before: str | None = None) -> bool:
    """Replace a leading directory in every path of the data; return whether there was one.

    The configuration is changed in place. The directory lay in `before`, or if that is None in the
    recorded `data_dir`, which becomes `now`.
    """
    old = str(config.data_dir) if before is None else before
    found = False

    def moved(value: Any) -> Any:
        nonlocal found
        if isinstance(value, dict):  # `name` is no path, even if a directory is called so
            return {key: entry if key == "name" else moved(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [moved(entry) for entry in value]
        if isinstance(value, str) and f"{value}/".startswith(f"{old.rstrip('/')}/"):
            found = True
            return now + value[len(old.rstrip("/")) :]
        return value

    config.data = moved(OmegaConf.to_container(config.data, resolve=True))
    if before is None:
        config.data_dir = now
    return found
