"""A run directory: the unit of truth. Its configuration, status, log and checkpoints.

| file | what |
| --- | --- |
| `config.yaml` | the resolved configuration: enough to rebuild the run |
| `status.json` | state, metrics, speed, versions, commit, error; replaced atomically |
| `checkpoints/best.ckpt`, `last.ckpt` | plain tensors and types: `weights_only=True` loads them |
| `train.log` | what was printed, with the traceback of a failure |

The directory may be moved and renamed: nothing in it says where it lies.
"""

import json
import logging
import os
import pickle
import random
import sys
import traceback
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from resnet_lab.config import build, flat, mode_of, one_line
from resnet_lab.distributed import leads
from resnet_lab.provenance import commit, versions

if TYPE_CHECKING:  # torch and Lightning are imported where a run is built
    from resnet_lab.data import ImageDataModule
    from resnet_lab.data.module import Facts
    from resnet_lab.metrics import ClassificationSums
    from resnet_lab.task import ImageClassifier

# Where things lie and what is shown may differ between the two halves of a resumed run.
LOCATIONS = ("data_dir", "log_dir", "run_dir", "sweep_dir")


class Run:
    """One run directory.

    As a context manager around the training it records how that ended: `finish` makes it `done`, an
    exception `failed` with its traceback in `train.log`, Ctrl-C or a termination `interrupted`. A
    run that is already done is left as it is.

    Attributes:
        directory: absolute path.
        config: the resolved configuration.
        status: the content of `status.json`.
    """

    def __init__(self, directory: Path, config: DictConfig, status: dict[str, Any]) -> None:
        self.directory = directory
        self.config = config
        self.status = status
        self._lock: FileLock | None = None
        self._log_file: logging.FileHandler | None = None

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

    @classmethod
    def open(
        cls,
        directory: str | Path,
        config: DictConfig,
        overrides: Sequence[str] = (),
    ) -> "Run":
        """Open a directory to train in: a new run, or an earlier one of the same configuration.

        The further processes of a distributed run get it to read only.

        Args:
            directory: new, empty, or an earlier run's.
            config: the configuration, resolved here.
            overrides: what the user typed, for the records.

        Raises:
            ValueError: the directory is something else, is in use by another process, or holds a
                run of another configuration.
        """
        path = Path(directory).resolve()
        if not leads():
            return cls.load(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"{directory} is in use: another process trains there; wait, or leave run_dir out"
            ) from None
        try:
            if (path / "config.yaml").exists():
                run = cls.load(path)
                _check_same(config, run.config, path)
            else:
                others = {entry.name for entry in path.iterdir()} - {".lock", "train.log"}
                if others:
                    raise ValueError(
                        f"{directory} is no run directory, and not empty ({min(others)} is there): "
                        "name another run_dir"
                    )
                run = cls(path, _resolved(config), {})
                _write(path / "config.yaml", OmegaConf.to_yaml(run.config))
        except BaseException:
            lock.release()
            raise
        run._lock = lock
        run.status["overrides"] = list(overrides) or run.status.get("overrides", [])
        return run

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

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's records."""
        return self._lock is not None

    def __enter__(self) -> "Run":
        if self.leads and not self.done:
            self._log_file = logging.FileHandler(self.directory / "train.log")
            self._log_file.setFormatter(
                logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
            )
            logging.getLogger().addHandler(self._log_file)
            self.status.pop("error", None)
            self.update(state="running", started=_now(), versions=versions(), commit=commit())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.leads:
            return
        try:
            if error is not None and not self.done:
                failed = isinstance(error, Exception)
                if self._log_file is not None:  # the console gets one line, the log everything
                    text = "".join(traceback.format_exception(kind, error, trace))
                    self._log_file.emit(
                        logging.LogRecord(__name__, logging.ERROR, __file__, 0, text, None, None)
                    )
                self.update(
                    state="failed" if failed else "interrupted",
                    error=one_line(error) if failed else "interrupted",
                )
        except OSError as problem:  # a full disk must not hide the error that filled it
            print(f"could not record the end of the run: {problem}", file=sys.stderr)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the directory."""
        if self._log_file is not None:
            logging.getLogger().removeHandler(self._log_file)
            self._log_file.close()
            self._log_file = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def update(self, **fields: Any) -> None:
        """Change entries of `status.json`; readers see the old file or the new one, never half."""
        self.status.update(fields, updated=_now())
        if self.leads:
            _write(self.directory / "status.json", json.dumps(_plain(self.status), indent=2) + "\n")

    def finish(self, sums: "ClassificationSums | None") -> None:
        """Record that the run is done, with its test metrics where it was tested."""
        if sums is not None:
            self.status["test"] = sums.result()
            expected = self.config.get("expected")
            if expected:
                self.status["expected"] = _verdict(expected, self.status)
        self.update(state="done")

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


def _resolved(config: DictConfig) -> DictConfig:
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    assert isinstance(resolved, DictConfig)
    if resolved.seed is None:
        resolved.seed = random.SystemRandom().randrange(2**31)
    if not isinstance(resolved.seed, int):
        raise ValueError(f"seed={resolved.seed}: needs a whole number, or null to draw one")
    for key in ("run_dir", "sweep_dir"):  # a directory that may move does not say where it lies
        resolved.pop(key, None)
    return resolved


def _check_same(config: DictConfig, earlier: DictConfig, path: Path) -> None:
    if OmegaConf.is_interpolation(config.trainer, "precision"):
        config.trainer.precision = earlier.trainer.precision  # measured once per run
    if config.seed is None:
        config.seed = earlier.seed  # drawn once per run
    now, then = flat(config), flat(earlier)
    keys = sorted(now.keys() | then.keys())
    differ = [
        f"{key}={now.get(key)} (was {then.get(key)})"
        for key in keys
        if key not in LOCATIONS and now.get(key) != then.get(key)
    ]
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise ValueError(
            f"{path} holds a run of another configuration: {', '.join(differ[:3])}{more}; "
            "leave run_dir out to start a new run"
        )


def _verdict(expected: DictConfig, status: Mapping[str, Any]) -> dict[str, Any]:
    """Hold a run to what its experiment expects: at least as good as the value, to a tolerance."""
    split, _, name = expected.metric.partition("/")
    found = status["test"] if split == "test" else status["best"]["metrics"]
    measured = found[name if split == "test" else expected.metric]
    short = expected.value - measured if mode_of(name) == "max" else measured - expected.value
    plain = OmegaConf.to_container(expected)
    assert isinstance(plain, dict)
    return {**plain, "measured": measured, "passed": bool(short <= expected.tolerance)}


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)


def _plain(value: Any) -> Any:
    """Make JSON of status values: numbers that JSON lacks (NaN, infinity) become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
