"""A run directory that is being trained in: claimed, recorded, finished."""

import contextlib
import json
import logging
import random
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.config import one_line, override_key
from resnet_lab.core.console import LogFormatter
from resnet_lab.core.processes import await_first, leads
from resnet_lab.core.provenance import commit, now, versions
from resnet_lab.core.threads import check_threads
from resnet_lab.core.trust import refuse_interpolations
from resnet_lab.runs.checks import check_values
from resnet_lab.runs.expected import verdict
from resnet_lab.runs.found import Found
from resnet_lab.runs.resuming import agree
from resnet_lab.runs.run import TRIAL, Run, leftovers, write

if TYPE_CHECKING:
    from resnet_lab.training.metrics import Sums

# Called with a run's directory and its status; a sweep keeps its record by one.
Listener = Callable[[Path, dict[str, Any]], None]

# Entries of the status that come from training, and are rewound with it.
FACTS = ("num_classes", "channels", "image_size")  # null in a configuration: found in the data
OF_TRAINING = ("epochs", "steps", "seconds", "images_per_second", "metrics", "best")


class ActiveRun(Run):
    """One run directory, to train in.

    As a context manager around the training it records how that ended: `finish` makes it `done`, an
    exception `failed` with its traceback in `train.log`, Ctrl-C or a termination `interrupted`. A
    run that is already done is left as it is. What a person got wrong and is told of before
    training begins leaves the directory as it was: a new one is deleted. (A job of a sweep records
    that, too.) The further processes of a distributed run write nothing.
    """

    def __init__(
        self, directory: Path, config: DictConfig, status: dict[str, Any], *, trust: bool = False
    ) -> None:
        super().__init__(directory, config, status, trust=trust)
        self._lock: FileLock | None = None
        self._log_file: logging.FileHandler | None = None
        self._found: Found | None = None  # until training begins
        self._listeners: Sequence[Listener] = ()

    @classmethod
    def open(
        cls,
        directory: str | Path,
        config: DictConfig,
        overrides: Sequence[str] = (),
        *,
        trust: bool = False,
        listeners: Sequence[Listener] = (),
    ) -> "ActiveRun":
        """Open a directory to train in: a new run, or an earlier one of the same configuration.

        Args:
            directory: new, empty, or an earlier run's.
            config: the configuration, resolved here.
            overrides: what the user typed, for the records.
            trust: whether to build whatever `config` names; see `resnet_lab.core.trust`.
            listeners: called with the directory and the status whenever the state changes.

        Raises:
            ValueError: the directory is something else, is in use by another process, or holds a
                run of another configuration.
        """
        path = Path(directory).resolve()
        if not leads():
            await_first(path / "config.yaml")
            run = cls._of(Run.load(path, trust=trust))
            run._go_on(config, overrides)
            return run
        found = Found(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        try:
            lock.acquire(timeout=0.2)  # a report may be looking at it
        except Timeout:
            raise ValueError(
                f"{directory} is in use: another process trains there; wait, or leave run_dir out"
            ) from None
        try:
            unfinished = leftovers(path)
            if (path / "config.yaml").exists():
                run = cls._of(Run.load(path, trust=trust))
                run._go_on(config, overrides)
            else:
                ours = {".lock", "train.log", TRIAL, *(part.name for part in unfinished)}
                others = {entry.name for entry in path.iterdir()} - ours
                if others:
                    raise ValueError(
                        f"{directory} is no run directory, and not empty ({min(others)} is there): "
                        "name another run_dir"
                    )
                run = cls(
                    path, resolved(config, trust=trust), {"overrides": list(overrides)}, trust=trust
                )
                write(path / "config.yaml", OmegaConf.to_yaml(run.config), sync=True)
        except BaseException:
            found.restore()
            lock.release()
            raise
        for part in unfinished:
            part.unlink(missing_ok=True)
        run._lock, run._found, run._listeners = lock, found, listeners
        return run

    def _go_on(self, config: DictConfig, overrides: Sequence[str]) -> None:
        """Take what a configuration may say anew; see `agree`."""
        config = config.copy()
        if OmegaConf.is_interpolation(config.trainer, "precision"):
            config.trainer.precision = self.config.trainer.precision  # measured once per run
        if config.seed is None:
            config.seed = self.config.seed  # drawn once per run
        if agree(resolved(config, trust=self.trust), self):
            self.status.pop("test", None)
            self.status.pop("expected", None)
            self.status["state"] = "interrupted"
        keys = {override_key(item) for item in overrides}
        kept = [item for item in self.status.get("overrides", ()) if override_key(item) not in keys]
        self.status["overrides"] = [*kept, *overrides]

    @classmethod
    def prepare(
        cls,
        directory: str | Path,
        config: DictConfig,
        overrides: Sequence[str] = (),
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Make a run directory for another process to train in; see `open`."""
        run = cls.open(directory, config, overrides, listeners=listeners)
        try:
            run.update(state=run.status.get("state", "pending"))
        finally:
            run.close()

    @classmethod
    def mark_failed(
        cls,
        directory: str | Path,
        error: str,
        printed: str,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Record the failure of a run whose process died before it could.

        Args:
            directory: of the run.
            error: what is known, in one line.
            printed: what the process printed, for the log.
            listeners: see `open`.
        """
        run = cls.open(directory, Run.load(directory).config, listeners=listeners)
        try:
            with (run.directory / "train.log").open("a") as log:
                log.write(f"{printed}\n{error}\n")
            run.update(state="failed", error=error)
        finally:
            run.close()

    @classmethod
    def _of(cls, run: Run) -> "ActiveRun":
        return cls(run.directory, run.config, run.status, trust=run.trust)

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's records."""
        return self._lock is not None

    def __enter__(self) -> "ActiveRun":
        if self.leads and not self.done:
            self._log_file = _LogFile(self.directory / "train.log")
            self._log_file.setFormatter(LogFormatter())
            logging.getLogger().addHandler(self._log_file)
            self.status.pop("error", None)
            self.update(state="running", started=now(), versions=versions(), commit=commit())
            text = OmegaConf.to_yaml(self.config)
            if text != (self.directory / "config.yaml").read_text():
                write(self.directory / "config.yaml", text, sync=True)
        return self

    def begin(self) -> None:
        """Say that training begins: from now on, an error is one of the run."""
        self._found = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.leads:
            return
        try:
            refused = self._found is not None and _is_of_the_user(error)
            if refused and not (self.directory.parent / "sweep.json").exists():
                self._close_log()
                assert self._found is not None
                self._found.restore()
            elif error is not None and not self.done:
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
                if not failed:
                    command = f"python -m resnet_lab.train --resume {shlex.quote(str(self.shown))}"
                    with contextlib.suppress(OSError):  # the terminal may be gone
                        print(f"interrupted; to go on: {command}", file=sys.stderr)
        except OSError as problem:  # a full disk must not hide the error that it caused
            if not isinstance(error, OSError):
                print(f"could not record the end of the run: {problem}", file=sys.stderr)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the directory."""
        self._close_log()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _close_log(self) -> None:
        if self._log_file is not None:
            logging.getLogger().removeHandler(self._log_file)
            with contextlib.suppress(OSError):  # what a full disk did not take was reported
                self._log_file.close()
            self._log_file = None

    def update(self, **fields: Any) -> None:
        """Change entries of `status.json`, and tell the listeners when the state changes."""
        self.status.update(fields, updated=now())
        if self.leads:
            text = json.dumps(_plain(self.status), indent=2) + "\n"
            write(self.directory / "status.json", text, sync="state" in fields)
            if "state" in fields:
                for listener in self._listeners:
                    listener(self.directory, self.status)

    def of_training(self) -> dict[str, Any]:
        """Return the entries of the status that come from training."""
        return {name: self.status[name] for name in OF_TRAINING if name in self.status}

    def rewind(self, recorded: Mapping[str, Any]) -> None:
        """Set those entries to what they were at the checkpoint that training goes on from."""
        for name in OF_TRAINING:
            self.status.pop(name, None)
        self.status.update(recorded)

    def finish(self, sums: "Sums | None", logged: Mapping[str, Any] | None = None) -> None:
        """Record that the run is done.

        Args:
            sums: of its test, where the task has any.
            logged: metrics that the task logged, those of the test too; None: it was not tested.
        """
        if logged is not None:
            own = {
                name.removeprefix("test/"): float(value)
                for name, value in logged.items()
                if name.startswith("test/")
            }
            self.status["test"] = {**own, **(sums.result() if sums else {})}
        if self.config.get("expected"):
            self.status["expected"] = verdict(self.config, self.status, trust=self.trust)
        self.update(state="done")


def _is_of_the_user(error: BaseException | None) -> bool:
    """Whether an error before training tells a person what to change."""
    lightnings = type(error).__name__ == "MisconfigurationException"
    return isinstance(error, ValueError | OSError) or lightnings


class _LogFile(logging.FileHandler):
    """A log that cannot be written is an error of the run, not a page on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # it is called while the error is being handled


def resolved(config: DictConfig, *, trust: bool = False) -> DictConfig:
    """Return a configuration as its run records it, with the facts of its data.

    Args:
        config: composed, or recorded.
        trust: whether to build whatever source of data it names; see `resnet_lab.core.trust`.

    Raises:
        ValueError: a value is missing or cannot be.
    """
    check_values(config)
    check_threads(OmegaConf.select(config, "trainer.threads", default="auto"))
    if config.data.get("source") and any(
        OmegaConf.select(config, f"data.{fact}", default=0) is None for fact in FACTS
    ):
        from resnet_lab.data.facts import state_found  # imports torch: only where it is needed

        config = state_found(config, trust=trust)
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    refuse_interpolations(plain, "config.yaml")
    resolved = OmegaConf.create(plain)
    assert isinstance(resolved, DictConfig)
    if resolved.seed is None:
        resolved.seed = random.SystemRandom().randrange(2**31)
    # A directory that may move does not say where it lies.
    for key in ("run_dir", "sweep_dir", "preflight"):
        resolved.pop(key, None)
    return resolved


def _plain(value: Any) -> Any:
    """Make JSON of status values: numbers that JSON lacks (NaN, infinity) become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
