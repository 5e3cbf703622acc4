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
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from resnet_lab.building import build
from resnet_lab.trust import read_config

if TYPE_CHECKING:  # torch and Lightning are imported where a run is built
    from resnet_lab.data import ImageDataModule
    from resnet_lab.data.module import Facts
    from resnet_lab.task import ImageClassifier

OVER = ("done", "pruned")  # states of a run that is not trained any further
TRIAL = "trial.json"  # of a run that a search may prune; see `resnet_lab.study`

NOT_OF_THE_NETWORK = ("name", "weights", "replace_classifier")  # under `model`, for other readers


class Run:
    """One run directory, to read.

    Attributes:
        directory: absolute path.
        config: the resolved configuration.
        status: the content of `status.json`.
        trust: whether the configuration may name any class: it is the word of the person who runs
            this, and not of whoever made the directory. See `resnet_lab.trust`.
    """

    def __init__(
        self, directory: Path, config: DictConfig, status: dict[str, Any], *, trust: bool = False
    ) -> None:
        self.directory = directory
        self.config = config
        self.status = status
        self.trust = trust

    @classmethod
    def load(cls, directory: str | Path, *, trust: bool = False) -> "Run":
        """Open a run to read it.

        Args:
            directory: of the run.
            trust: whether to build whatever its configuration names; see `resnet_lab.trust`.

        Raises:
            ValueError: the directory is missing or is no run directory.
        """
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
        except json.JSONDecodeError as error:
            raise ValueError(f"{path / 'status.json'} is damaged: {error}") from error
        return cls(path, config, status, trust=trust)

    @property
    def shown(self) -> Path:
        """The directory as a person would type it: relative where it lies below the current one."""
        return shown(self.directory)

    @property
    def done(self) -> bool:
        """Whether the run came to its end: trained and tested, or given up by a search."""
        return self.status.get("state") in OVER

    def build(self, key: str, *, without: tuple[str, ...] = (), **arguments: Any) -> Any:
        """Build what the configuration describes under a key; see `resnet_lab.building`."""
        return build(self.config, key, trust=self.trust, without=without, **arguments)

    def build_data(self, facts: "Facts | None" = None) -> "ImageDataModule":
        """Build the data module of the configuration; nothing is read yet.

        Args:
            facts: of a checkpoint; its mean and std then normalise, also where the configuration
                leaves them to be measured.
        """
        if facts is not None:
            self.config.data.mean, self.config.data.std = facts["mean"], facts["std"]
        data: ImageDataModule = self.build("data", without=("root",), seed=self.config.seed)
        return data

    def build_task(self) -> "ImageClassifier":
        """Build the network of the configuration, untrained, in its task."""
        from resnet_lab.task import ImageClassifier

        config = self.config
        task: ImageClassifier = self.build(
            "task",
            net=self.build("model", without=NOT_OF_THE_NETWORK),
            optimizer=self.build("optimizer", _partial_=True),
            scheduler=self.build("scheduler", without=("interval",), _partial_=True),
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
        from resnet_lab.weights import load_weights, read

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


def write(path: Path, text: str) -> None:
    """Replace a file: readers see the old text or the new one, never half."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)


def shown(path: Path) -> Path:
    """Return an absolute path as a person would type it: relative where it lies below this one."""
    here = Path.cwd()
    return path.relative_to(here) if here in path.parents else path
