"""Search: a sweep whose values Optuna chooses by the results of earlier trials.

Trials are chosen in batches of as many as run at once; the launcher runs a batch, and its results
are told to the study. So a slot of a pool waits for the slowest trial of its batch. Each trial is a
job of the sweep: values that were tried before are not trained again, and a trial of a killed
process is resumed.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig
from optuna.trial import TrialState

from resnet_lab.core.config import is_finite_number
from resnet_lab.core.directions import monitor_mode
from resnet_lab.runs.run import OVER
from resnet_lab.sweeps.job import Job, find_job
from resnet_lab.sweeps.launch import check, finish, fix_directory, launch, refuse_misuse
from resnet_lab.sweeps.record import best_value, change, load, read_status
from resnet_lab.sweeps.space import Space
from resnet_lab.sweeps.study import (
    STORAGE,
    Options,
    Study,
    described,
    open_study,
    refuse_lost_study,
)
from resnet_lab.sweeps.sweep import Sweep
from resnet_lab.sweeps.trial import write_trial

log = logging.getLogger(__name__)

NAMES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
}

SAMPLES = 3  # trials that are checked, and shown by a preflight, before the search begins


class Search:
    """A search, in a sweep directory.

    Args:
        config: what the trials have in common, with Hydra's own node.
        context: of Hydra.
        launcher: that runs the trials.
        space: that is searched.
        options: how.
        trials: number of them in the whole study, whatever became of them.
        at_once: number of them that are chosen and run together.
    """

    def __init__(
        self,
        config: DictConfig,
        context: HydraContext,
        launcher: Launcher,
        space: Space,
        options: Options,
        trials: int,
        at_once: int,
    ) -> None:
        self.config = config
        self.context = context
        self.launcher = launcher
        self.space = space
        self.options = options
        self.trials = min(trials, space.points) if options.sampler == "grid" else trials
        self.at_once = at_once

    def run(self) -> list[JobReturn]:
        """Search until there are so many trials.

        Raises:
            ValueError: the trials cannot run, the directory holds another search, or no trial was
                finished.
        """
        refuse_misuse(self.config)
        if self.config.sweep_dir and Path(self.config.sweep_dir).is_dir():
            refuse_lost_study(Path(self.config.sweep_dir))
            if (Path(self.config.sweep_dir) / STORAGE).exists():
                self._study(Path(self.config.sweep_dir))  # before anything is changed there
        self._check()
        if self.config.preflight:
            return []
        returns: list[JobReturn] = []
        with Sweep.open(fix_directory(self.config), self.config) as sweep:
            study = self._study(sweep.directory)
            note = {"search": self._described(), "trials": self.trials}
            change(sweep.directory, lambda record: record.update(note))
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            left = [trial.number for trial in running]  # running when a process was killed
            over = study.count() - len(left)
            if over:
                log.info("%d of %d trials are done already", over, self.trials)
            while batch := self._batch(study, left):
                returns += self._try(sweep, study, batch)
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
        space = self.space.described()
        return {
            "sampler": described(sampler),
            "pruner": described(pruner),
            "seed": seed,
            "space": {key: space[key] for key in self.space.ranges},
        }

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

    def _batch(self, study: Study, left: list[int]) -> list[optuna.Trial]:
        """Choose the trials to run next: unfinished ones of an earlier process, then new ones."""
        batch = [study.choose(number) for number in left[: self.at_once]]
        del left[: self.at_once]
        while len(batch) < self.at_once and study.count() < self.trials and not study.exhausted:
            batch.append(study.choose())
        return batch

    def _try(
        self, sweep: Sweep, study: Study, batch: Sequence[optuna.Trial]
    ) -> Sequence[JobReturn]:
        """Run the trials of a batch that are not done yet, and tell the results of all."""
        jobs = [find_job(self.config, self.space.overrides(trial.params)) for trial in batch]
        sweep.add(jobs)
        states = sweep.states()
        due: dict[str, Job] = {}
        for trial, job in zip(batch, jobs, strict=True):
            if states[job.directory] not in OVER and job.directory not in due:
                due[job.directory] = job
                if self.options.pruner is not None:
                    write_trial(sweep.directory / job.directory, trial, self.options.pruner)
        returns = launch(sweep, self.launcher, list(due.values()), batch[0].number)
        for trial, job in zip(batch, jobs, strict=True):
            _tell(study, trial, sweep.directory / job.directory)
        return returns

    def _conclude(self, study: Study) -> None:
        counts = {name: study.count(state) for state, name in NAMES.items()}
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        log.info("\n%d trials: %s", study.count(), told)
        if counts["done"]:
            best = study.best_trial
            tried = " ".join(self.space.tried(best.params))
            log.info("best %s %.4f: %s", self.config.monitor, best.value, tried)


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
