"""Search: a sweep whose values Optuna chooses by the results of earlier trials.

A trial is chosen the moment that a pool, Ray or SLURM may run a further one, by the results so far.
Other launchers get batches, and wait for the slowest trial of each. Each trial is a job of the
sweep: values that were tried before are not trained again, and a trial of a killed process is
resumed.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import optuna
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig
from optuna.trial import TrialState

from resnet_lab.core.configuration.config import is_finite_number
from resnet_lab.core.directions import monitor_mode
from resnet_lab.core.errors import one_line
from resnet_lab.runs.trained.run import OVER
from resnet_lab.sweeps.job import Job, find_job
from resnet_lab.sweeps.launch import check, damage, finish, fix_directory, refuse_misuse
from resnet_lab.sweeps.launchers.runner import Stream
from resnet_lab.sweeps.record import best_value, change, load, read_status
from resnet_lab.sweeps.searching.space import Space
from resnet_lab.sweeps.searching.study import (
    STORAGE,
    Options,
    Study,
    described,
    open_study,
    refuse_lost_study,
    write_trial,
)
from resnet_lab.sweeps.sweep import Sweep

log = logging.getLogger(__name__)

NAMES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
}

SAMPLES = 3  # trials that are checked, and shown by a preflight, before the search begins


@dataclass
class Search:
    """A search, in a sweep directory."""

    config: DictConfig  # what the trials have in common, with Hydra's own node
    context: HydraContext
    launcher: Launcher
    space: Space
    options: Options
    n_trials: int  # of the whole study, whatever became of them
    n_jobs: int | None = None  # at once; None: as many as the launcher has slots for

    def __post_init__(self) -> None:
        grid = self.options.sampler == "grid"
        self.trials = min(self.n_trials, self.space.points) if grid else self.n_trials
        self._open: dict[str, list[optuna.Trial]] = {}  # that run, by directory of the job

    def run(self) -> list[JobReturn]:
        """Search until there are so many trials.

        Raises a ValueError if the trials cannot run, the directory holds another search, or no
        trial was finished.
        """
        refuse_misuse(self.config)
        if self.config.sweep_dir and (earlier := Path(self.config.sweep_dir)).is_dir():
            refuse_lost_study(earlier)
            if (earlier / STORAGE).exists():
                self._study(earlier)  # before anything is changed there
        self._check()
        if self.config.preflight:
            return []
        with Sweep.open(fix_directory(self.config), self.config) as sweep:
            study = self._study(sweep.directory)
            with change(sweep.directory) as record:
                record.update(search=self._described(), trials=self.trials)
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            left = [trial.number for trial in running]  # given back by a process that was killed
            over = study.count() - len(left)
            if over:
                log.info("%d of %d trials are done already", over, self.trials)

            def ended(job: Job, result: JobReturn) -> None:
                """Tell the result of a job to the study, and a failure to the sweep."""
                error = result._return_value
                if result.status is JobStatus.FAILED and isinstance(error, Exception):
                    sweep.mark_failed({job.directory: one_line(error)})
                for trial in self._open.pop(job.directory):
                    _tell(study, trial, sweep.directory / job.directory)

            jobs = self._jobs(sweep, study, left)
            stream = Stream(jobs, self.trials - over, self._name, ended)
            returns = _launch(self.launcher, stream, over)
        self._conclude(study)
        finish(sweep, [job for job in returns if job.status is not JobStatus.FAILED])
        if not study.count(TrialState.COMPLETE):
            errors = [job["error"] for job in load(sweep.directory)["jobs"] if job["error"]]
            last = f"; the last error: {errors[-1]}" if errors else ""
            raise ValueError(f"no trial came to its end{last}")
        return returns

    def _described(self) -> dict[str, Any]:
        """Return sampler, pruner and space in words, for the record of the sweep."""
        sampler, pruner, seed = self.options
        text = self.space.described()
        space = {key: text[key] for key in self.space.ranges}
        words = {"sampler": described(sampler), "pruner": described(pruner)}
        return {**words, "seed": seed, "space": space}

    def _study(self, directory: Path | None) -> Study:
        monitor, mode = str(self.config.monitor), monitor_mode(self.config, trust=True)
        return open_study(directory, monitor, mode, self.space, self.options)

    def _check(self) -> None:
        """Check the first trials and the ends of every range; with a preflight, show the trials."""
        from resnet_lab.sweeps.preflight import check_disk, show_table

        study = self._study(None)
        samples: list[dict[str, Any]] = []
        while len(samples) < min(SAMPLES, self.trials) and not study.exhausted:
            trial = study.choose()
            samples.append(trial.params)
            study.tell(trial, 0.0)  # some samplers act only then
        tried = [*samples, *self.space.extremes()]
        jobs = [find_job(self.config, self.space.overrides(values)) for values in tried]
        estimates = check(self.config, self.context, jobs)
        largest = max(estimate.checkpoints for estimate in estimates)
        check_disk(self.config.sweep_dir or self.config.log_dir, largest * self.trials)
        if self.config.preflight:
            log.info("the first of %d trials of a new search:", self.trials)
            show_table(jobs[: len(samples)], estimates[: len(samples)])

    def _jobs(self, sweep: Sweep, study: Study, left: list[int]) -> Iterator[Job | None]:
        """Choose trials as they are asked for: the unfinished ones `left`, then new ones."""
        while left or (study.count() < self.trials and not study.exhausted):
            if self.n_jobs and sum(map(len, self._open.values())) >= self.n_jobs:
                yield None
                continue
            trial = study.choose(left.pop(0) if left else None)
            job = find_job(self.config, self.space.overrides(trial.params))
            if job.directory in self._open:  # the same values are being tried
                self._open[job.directory].append(trial)
                yield None
                continue
            sweep.add([job])
            directory = sweep.directory / job.directory
            error = damage(sweep, job)
            if error is not None:
                sweep.mark_failed({job.directory: error})
            if error is not None or (read_status(directory) or {}).get("state") in OVER:
                _tell(study, trial, directory)
                continue
            if self.options.pruner is not None:
                write_trial(directory, trial, self.options.pruner)
            self._open[job.directory] = [trial]
            yield job

    def _name(self, job: Job) -> str:
        return " ".join(self.space.tried(self._open[job.directory][0].params))

    def _conclude(self, study: Study) -> None:
        counts = {name: study.count(state) for state, name in NAMES.items()}
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        log.info("\n%d trials: %s", study.count(), told)
        if counts["done"]:
            best = study.best_trial
            tried = " ".join(self.space.tried(best.params))
            log.info("best %s %.4f: %s", self.config.monitor, best.value, tried)


def _launch(launcher: Launcher, stream: Stream, first: int) -> list[JobReturn]:
    """Run jobs that are asked for as slots come free; `first` is the number of the first one.

    A launcher without slots is given as many as there are, and waits for the last of them.
    """
    if hasattr(launcher, "stream"):
        done: list[JobReturn] = launcher.stream(stream)
        return done
    returns: list[JobReturn] = []
    batch: list[Job] = []
    for job in chain(stream.jobs, [None]):
        if job is not None:
            batch.append(job)
        elif batch:
            results = launcher.launch([each.overrides for each in batch], first + len(returns))
            for each, result in zip(batch, results, strict=True):
                stream.ended(each, result)
            returns += results
            batch.clear()
    return returns


def _tell(study: Study, trial: optuna.Trial, directory: Path) -> None:
    """Tell the study the result of a trial; an interrupted one is resumed with the search."""
    status = read_status(directory) or {}
    state, value = status.get("state"), best_value(status)
    if state == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
    elif state == "done" and is_finite_number(value):
        study.tell(trial, value)
    elif state in ("done", "failed", None):
        study.tell(trial, state=TrialState.FAIL)
