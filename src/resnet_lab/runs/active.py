"""Train in a run directory: open it, record how training goes and how it ends."""

import contextlib
import logging
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.config import made_here, override_key
from resnet_lab.core.console import LogFile
from resnet_lab.core.errors import is_for_the_user, one_line
from resnet_lab.core.files import leftovers, replacing, write, write_json
from resnet_lab.core.processes import await_first, leads
from resnet_lab.core.provenance import DIFF, PACKAGES, commit, now, record_code, versions
from resnet_lab.runs.checking.checks import resolved
from resnet_lab.runs.checking.metric_checks import verdict
from resnet_lab.runs.resuming import agree
from resnet_lab.runs.trained.run import TRIAL, Run

if TYPE_CHECKING:
    from resnet_lab.training.metrics import Sums

# Entries of the status that come from training; a resumed run takes them from its checkpoint.
OF_TRAINING = ("epochs", "steps", "seconds", "images_per_second", "metrics", "best")
RECORDS = ("config.yaml", "status.json", PACKAGES, DIFF)


class ActiveRun(Run):
    """One run directory, to train in.

    As a context manager around the training it records how that ended: `finish` makes it `done`, an
    exception `failed` with its traceback in `train.log`, Ctrl-C or a termination `interrupted`. A
    run that is already done is left as it is. An error of the user before training begins restores
    the directory as it was, except in a sweep. Only rank zero writes.
    """

    _lock: FileLock | None = None
    _log_file: LogFile | None = None
    _found: "_Found | None" = None  # until training begins
    _continued = False

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

        `overrides` are what the user typed, for the records. Raises a ValueError if the directory
        is something else, or in use, or holds another run.
        """
        path = Path(directory).resolve()
        if not leads():
            await_first(path / "config.yaml")
            run = cls.load(path, trust=trust)
            run._continue(config, overrides)
            return run
        found = _Found(path)
        lock = _claim(directory)
        try:
            unfinished = leftovers(path)
            if (path / "config.yaml").exists():
                run = cls.load(path, trust=trust)
                run._continue(config, overrides)
            else:
                ours = {".lock", "train.log", TRIAL, *(part.name for part in unfinished)}
                others = {entry.name for entry in path.iterdir()} - ours
                if others:
                    raise ValueError(
                        f"{directory} is no run directory, and not empty ({min(others)} is there): "
                        "name another run_dir"
                    )
                status = {"overrides": list(overrides)}
                run = cls(path, resolved(config, trust=trust), status, trust=trust)
                write(path / "config.yaml", OmegaConf.to_yaml(run.config), sync=True)
        except BaseException:
            found.restore()
            lock.release()
            raise
        for part in unfinished:
            part.unlink(missing_ok=True)
        run._lock, run._found = lock, found
        return run

    def _continue(self, config: DictConfig, overrides: Sequence[str]) -> None:
        """Continue an earlier run: take over what a new configuration may change; see `agree`."""
        self._continued = True
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

    @property
    def leads(self) -> bool:
        """Whether this process is rank zero, which writes the run's records."""
        return self._lock is not None

    def __enter__(self) -> "ActiveRun":
        if self.leads and not self.done:
            self._log_file = LogFile(self.directory / "train.log")
            logging.getLogger().addHandler(self._log_file)
            self.status.pop("error", None)
            self.update(
                state="running", started=now(), versions=versions(), commit=commit(),
                code=record_code(self.directory),
            )  # fmt: skip
            if self._continued:
                text = OmegaConf.to_yaml(self.config)
                if text != (self.directory / "config.yaml").read_text():
                    write(self.directory / "config.yaml", text, sync=True)
        return self

    def begin(self) -> None:
        """Mark the begin of training: from now on, an error makes the run `failed`."""
        self._found = None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not self.leads:
            return
        found, in_sweep = self._found, (self.directory.parent / "sweep.json").exists()
        try:
            if found is not None and is_for_the_user(error) and not in_sweep:
                self._close_log()
                found.restore()
            elif error is not None and not self.done:
                failed = isinstance(error, Exception)
                if self._log_file is not None:  # the console gets one line, the log everything
                    self._log_file.add_traceback(error)
                self.update(
                    state="failed" if failed else "interrupted",
                    error=one_line(error) if failed else "interrupted",
                )
                if not failed:
                    command = f"python -m resnet_lab.train --resume {shlex.quote(str(self.shown))}"
                    with contextlib.suppress(OSError):  # the terminal may be gone
                        print(f"interrupted; to resume: {command}", file=sys.stderr)
        except OSError as problem:  # a full disk must not hide the error that it caused
            if not isinstance(error, OSError):
                print(f"could not record the end of the run: {problem}", file=sys.stderr)
        finally:
            self.close()

    def close(self) -> None:
        """Release the directory."""
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
        """Change entries of `status.json`."""
        self.status.update(fields, updated=now())
        if self.leads:
            write_json(self.directory / "status.json", self.status, sync="state" in fields)

    def of_training(self) -> dict[str, Any]:
        """Return the entries of the status that come from training."""
        return {name: self.status[name] for name in OF_TRAINING if name in self.status}

    def rewind(self, recorded: Mapping[str, Any]) -> None:
        """Set these entries to what they were at the checkpoint that training resumes from."""
        for name in OF_TRAINING:
            self.status.pop(name, None)
        self.status.update(recorded)

    def finish(self, sums: "Sums | None", logged: Mapping[str, Any] | None = None) -> None:
        """Record that the run is done: with the sums of its test, where the task has any.

        `logged` are the metrics that the task logged, of the test too; None: it was not tested.
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


class _Found:
    """The content of a directory before a run, to restore it if the run is refused.

    A directory that this process made counts as one that was not there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        there = directory.is_dir()
        self._names = {path.name for path in directory.iterdir()} if there else set()
        self._keep = bool(self._names) or (there and not made_here(directory))
        records = [directory / name for name in RECORDS if name in self._names]
        self._content = {path: path.read_bytes() for path in records}

    def restore(self) -> None:
        """Remove the files that were added, and restore those that were changed."""
        for path, content in self._content.items():
            if not path.exists() or path.read_bytes() != content:
                with replacing(path) as part:
                    part.write_bytes(content)
        for path in self.directory.iterdir():
            if path.name not in self._names:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not self._keep:
            self.directory.rmdir()


def _claim(directory: str | Path) -> FileLock:
    """Make a directory where there is none, and return its lock, held by this process."""
    path = Path(directory).resolve()
    path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0.2)  # a report may be looking at it
    except Timeout:
        raise ValueError(
            f"{directory} is in use: another process trains there; wait, or leave run_dir out"
        ) from None
    return lock
