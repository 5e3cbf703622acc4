"""A run directory that is being trained in: claimed, recorded, finished."""

import contextlib
import json
import logging
import random
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from resnet_lab.checks import check_values
from resnet_lab.config import flat, mode_of, one_line
from resnet_lab.console import LogFormatter
from resnet_lab.distributed import await_first, leads
from resnet_lab.provenance import commit, now, versions
from resnet_lab.run import TRIAL, Run, write
from resnet_lab.sweep import note
from resnet_lab.trust import refuse_interpolations

if TYPE_CHECKING:
    from resnet_lab.metrics import ClassificationSums

# Where things lie, and what is asked of a launch, may differ when a run is gone on with.
MAY_DIFFER = ("data_dir", "log_dir", "run_dir", "sweep_dir", "preflight")


class ActiveRun(Run):
    """One run directory, to train in.

    As a context manager around the training it records how that ended: `finish` makes it `done`, an
    exception `failed` with its traceback in `train.log`, Ctrl-C or a termination `interrupted`. A
    run that is already done is left as it is. The further processes of a distributed run write
    nothing.
    """

    def __init__(
        self, directory: Path, config: DictConfig, status: dict[str, Any], *, trust: bool = False
    ) -> None:
        super().__init__(directory, config, status, trust=trust)
        self._lock: FileLock | None = None
        self._log_file: logging.FileHandler | None = None

    @classmethod
    def open(
        cls,
        directory: str | Path,
        config: DictConfig,
        overrides: Sequence[str] = (),
        *,
        trust: bool = False,
    ) -> "ActiveRun":
        """Open a directory to train in: a new run, or an earlier one of the same configuration.

        Args:
            directory: new, empty, or an earlier run's.
            config: the configuration, resolved here.
            overrides: what the user typed, for the records.
            trust: whether to build whatever `config` names; see `resnet_lab.trust`.

        Raises:
            ValueError: the directory is something else, is in use by another process, or holds a
                run of another configuration.
        """
        path = Path(directory).resolve()
        if not leads():
            await_first(path / "config.yaml")
            return cls._of(Run.load(path, trust=trust))
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        try:
            lock.acquire(timeout=0.2)  # a report may be looking at it
        except Timeout:
            raise ValueError(
                f"{directory} is in use: another process trains there; wait, or leave run_dir out"
            ) from None
        try:
            if (path / "config.yaml").exists():
                run = cls._of(Run.load(path, trust=trust))
                _check_same(config, run.config, path)
            else:
                others = {entry.name for entry in path.iterdir()} - {".lock", "train.log", TRIAL}
                if others:
                    raise ValueError(
                        f"{directory} is no run directory, and not empty ({min(others)} is there): "
                        "name another run_dir"
                    )
                run = cls(path, resolved(config), {}, trust=trust)
                write(path / "config.yaml", OmegaConf.to_yaml(run.config))
        except BaseException:
            lock.release()
            raise
        run._lock = lock
        run.status["overrides"] = list(overrides) or run.status.get("overrides", [])
        return run

    @classmethod
    def prepare(
        cls, directory: str | Path, config: DictConfig, overrides: Sequence[str] = ()
    ) -> None:
        """Make a run directory for another process to train in; see `open`."""
        run = cls.open(directory, config, overrides)
        try:
            run.update(state=run.status.get("state", "pending"))
        finally:
            run.close()

    @classmethod
    def bury(cls, directory: str | Path, error: str, printed: str) -> None:
        """Record the failure of a run whose process died before it could.

        Args:
            directory: of the run.
            error: what is known, in one line.
            printed: what the process printed, for the log.
        """
        run = cls.open(directory, Run.load(directory).config)
        try:
            with (run.directory / "train.log").open("a") as log:
                log.write(f"{printed}\n{error}\n")
            last = printed.strip().splitlines()[-1:]
            run.update(state="failed", error=": ".join([error, *last]))
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
                if not failed:
                    command = f"python -m resnet_lab.train --resume {shlex.quote(str(self.shown))}"
                    print(f"interrupted; to go on: {command}", file=sys.stderr)
        except OSError as problem:  # a full disk must not hide the error that it caused
            if not isinstance(error, OSError):
                print(f"could not record the end of the run: {problem}", file=sys.stderr)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the directory."""
        if self._log_file is not None:
            logging.getLogger().removeHandler(self._log_file)
            with contextlib.suppress(OSError):  # what a full disk did not take was reported
                self._log_file.close()
            self._log_file = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def update(self, **fields: Any) -> None:
        """Change entries of `status.json`, and the sweep's record when the state changes."""
        self.status.update(fields, updated=now())
        if self.leads:
            write(self.directory / "status.json", json.dumps(_plain(self.status), indent=2) + "\n")
            if "state" in fields:
                note(self)

    def finish(self, sums: "ClassificationSums | None") -> None:
        """Record that the run is done, with its test metrics where it was tested."""
        if sums is not None:
            self.status["test"] = sums.result()
            expected = self.config.get("expected")
            if expected:
                self.status["expected"] = _verdict(expected, self.status)
        self.update(state="done")


class _LogFile(logging.FileHandler):
    """A log that cannot be written is an error of the run, not a page on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # it is called while the error is being handled


def resolved(config: DictConfig) -> DictConfig:
    """Return a configuration as its run records it.

    Raises:
        ValueError: a value is missing or cannot be.
    """
    check_values(config)
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
        if key not in MAY_DIFFER and now.get(key) != then.get(key)
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


def _plain(value: Any) -> Any:
    """Make JSON of status values: numbers that JSON lacks (NaN, infinity) become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
