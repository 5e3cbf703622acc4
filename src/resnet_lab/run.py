"""A run directory: the unit of truth, and how to load it back.

| file | what |
| --- | --- |
| `config.yaml` | the resolved configuration: enough to rebuild the run |
| `status.json` | state, metrics, speed, versions, commit, error; replaced atomically |
| `checkpoints/best.ckpt`, `last.ckpt` | plain tensors and types: `weights_only=True` loads them |
| `train.log` | what was printed, with the traceback of a failure |

The directory may be moved and renamed: nothing in it says where it lies.
"""

import json
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from resnet_lab.config import build

if TYPE_CHECKING:  # torch and Lightning are imported where a run is built
    from resnet_lab.data import ImageDataModule
    from resnet_lab.data.module import Facts
    from resnet_lab.task import ImageClassifier


class Run:
    """One run directory, to read.

    Attributes:
        directory: absolute path.
        config: the resolved configuration.
        status: the content of `status.json`.
    """

    def __init__(self, directory: Path, config: DictConfig, status: dict[str, Any]) -> None:
        self.directory = directory
        self.config = config
        self.status = status

    @classmethod
    def load(cls, directory: str | Path) -> "Run":
        """Open a run to read it.

        Raises:
            ValueError: the directory is missing or is no run directory.
        """
        path = Path(directory).resolve()
        if not path.is_dir():
            raise ValueError(f"{directory}: no such directory; runs lie under logs/runs")
        if not (path / "config.yaml").is_file():
            raise ValueError(f"{directory} is no run directory: it holds no config.yaml")
        config = OmegaConf.load(path / "config.yaml")
        if not isinstance(config, DictConfig) or "model" not in config:
            raise ValueError(f"{path / 'config.yaml'} is not the configuration of a run")
        try:
            status = json.loads((path / "status.json").read_text())
        except FileNotFoundError:
            status = {}
        except json.JSONDecodeError as error:
            raise ValueError(f"{path / 'status.json'} is damaged: {error}") from error
        return cls(path, config, status)

    @property
    def shown(self) -> Path:
        """The directory as a person would type it: relative where it lies below the current one."""
        here = Path.cwd()
        return (
            self.directory.relative_to(here) if here in self.directory.parents else self.directory
        )

    @property
    def done(self) -> bool:
        """Whether the run was trained and tested to its end."""
        return self.status.get("state") == "done"

    def build_data(self, facts: "Facts | None" = None) -> "ImageDataModule":
        """Build the data module of the configuration; nothing is read yet.

        Args:
            facts: of a checkpoint; its mean and std then normalise, also where the configuration
                leaves them to be measured.
        """
        if facts is not None:
            self.config.data.mean, self.config.data.std = facts["mean"], facts["std"]
        data: ImageDataModule = build(self.config, "data", without=("root",), seed=self.config.seed)
        return data

    def build_task(self) -> "ImageClassifier":
        """Build the network of the configuration, untrained, in its task."""
        from resnet_lab.task import ImageClassifier

        config = self.config
        task: ImageClassifier = build(
            config,
            "task",
            net=build(config, "model", without=("name",)),
            optimizer=build(config, "optimizer", _partial_=True),
            scheduler=build(config, "scheduler", without=("interval",), _partial_=True),
            interval=OmegaConf.select(config, "scheduler.interval") or "step",
            num_classes=config.data.num_classes,
            monitor=config.monitor,
            seed=config.seed,
        )
        return task

    def load_task(self, which: str = "best") -> "tuple[ImageClassifier, Facts]":
        """Build the network with the weights of a checkpoint.

        Args:
            which: "best", "last" or a path.

        Returns:
            The task, in evaluation mode, and the facts of the data that it was trained on.

        Raises:
            ValueError: there is no such checkpoint, it cannot be read, or it is of another network.
        """
        import torch

        from resnet_lab.task import load_weights

        path = self.checkpoint(which)
        try:
            if not zipfile.is_zipfile(path):  # what torch makes of other files is anyone's guess
                raise RuntimeError("it is damaged, or something else")
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError) as error:
            raise ValueError(f"{path} cannot be read as a checkpoint: {error}") from error
        if not isinstance(state, dict) or "state_dict" not in state or "data" not in state:
            raise ValueError(f"{path} is not a checkpoint of resnet-lab")
        task = self.build_task()
        load_weights(task, state["state_dict"], str(path))
        return task.eval(), state["data"]

    def has_checkpoint(self, which: str) -> bool:
        """Whether the run has a checkpoint "best" or "last"."""
        return (self.directory / "checkpoints" / f"{which}.ckpt").is_file()

    def checkpoint(self, which: str = "best") -> Path:
        """Return the path of a checkpoint.

        Args:
            which: "best", "last" or a path.

        Raises:
            ValueError: there is none.
        """
        named = self.directory / "checkpoints" / f"{which}.ckpt"
        path = named if which in ("best", "last") else Path(which)
        if not path.is_file():
            raise ValueError(f"{path}: no such checkpoint; use best, last or the path of one")
        return path
