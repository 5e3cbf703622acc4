"""Train a network: compose, build, fit, test, record.

    python -m resnet_lab.train data=cifar10 model=resnet20        one run
    python -m resnet_lab.train -m optimizer.lr=0.1,0.05 seed=0,1  a sweep
    python -m resnet_lab.train --resume logs/runs/<run>           resume an interrupted run

Torch and Lightning are imported where they are first needed, so that `--help` and `--cfg job`
answer at once.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.command_line import answered, resumed, tidied
from resnet_lab.core.configuration.config import CONF, made_here
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.core.console import errors_in_one_line, set_up_logging
from resnet_lab.core.harmless import harmless
from resnet_lab.core.overhead import reduced_overhead
from resnet_lab.core.processes import exit_with_parent
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.resuming import follow_data
from resnet_lab.runs.summary import show_summary
from resnet_lab.runs.trained.run import TRIAL, Run
from resnet_lab.sweeps.resolvers import register_resolvers
from resnet_lab.sweeps.sweep import announce

if TYPE_CHECKING:
    from lightning import Callback

register_resolvers()


def train(
    cfg: DictConfig, directory: str | Path, overrides: Sequence[str] = (), *, trust: bool = False
) -> float | None:
    """Train in a run directory, or resume the run that is there; a finished one is returned.

    Args:
        cfg: a composed configuration.
        directory: the run directory.
        overrides: what the user typed, for the records.
        trust: whether it may name classes of any package; see `core.configuration.trust`.

    Returns:
        The best value of `cfg.monitor` over all epochs.

    Raises:
        ValueError: something in the configuration, the data or the directory is not as it must be.
    """
    try:
        with ActiveRun.open(directory, cfg, overrides, trust=trust) as run:
            if not run.done:
                from resnet_lab.runs.fit import fit_and_test

                watchers: list[Callback] = []
                if (run.directory / TRIAL).exists():  # a search reports and prunes its trials
                    from resnet_lab.sweeps.searching.pruning import Pruning

                    watchers.append(Pruning(run))
                fit_and_test(run, *watchers)
                _analyse(run)
            with harmless("the summary of the run"):
                show_summary(run)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    best: float | None = run.status.get("best", {}).get("value")
    return best


def _analyse(run: ActiveRun) -> None:
    """Write the analysis of a run that has just come to its end, if it is asked for."""
    if not run.config.get("analyse") or not run.leads or run.status.get("state") != "done":
        return
    with harmless("the analysis of the run"):
        from resnet_lab.reporting.analysis.page import analyse_and_write  # imports matplotlib

        finished = Run.load(run.directory, trust=run.trust)
        analyse_and_write(finished, "test" if run.config.test else "val")


@hydra.main(config_path=str(CONF), config_name="train", **VERSION_BASE)
def job(cfg: DictConfig) -> float | None:
    """Run one job of Hydra's."""
    context = HydraConfig.get()
    sweeping = context.mode == RunMode.MULTIRUN
    # In a sweep, the other jobs run although one fails.
    with errors_in_one_line(end=not sweeping), reduced_overhead(cfg):
        directory = Path(context.runtime.output_dir)
        key, other = ("run_dir", "sweep_dir") if sweeping else ("sweep_dir", "run_dir")
        if (cfg[key] is not None or cfg.preflight) and made_here(directory):
            directory.rmdir()  # nothing is to start there
        if cfg[key] is not None:
            kind = "a sweep" if sweeping else "one run"
            raise ValueError(f"{key}={cfg[key]} is not for {kind}: name its directory by {other}")
        if cfg.preflight:
            from resnet_lab.sweeps.preflight import preflight

            preflight(cfg)
            return None
        if sweeping:
            announce(directory)
        typed: Any = OmegaConf.to_container(context.overrides.task, resolve=False)
        return train(cfg, directory, typed, trust=True)


def main() -> None:
    """Run the command line."""
    if answered(job):
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra leaves its exceptions to us; see `console`
    set_up_logging()
    with errors_in_one_line():
        if (given := resumed(sys.argv[1:])) is not None:
            exit_with_parent()
            directory, trust = given
            earlier = Run.load(directory, trust=trust)
            follow_data(earlier)
            with reduced_overhead(earlier.config):
                train(earlier.config, earlier.directory, trust=trust)
        else:
            sys.argv[1:] = tidied(sys.argv[1:])
            job()


if __name__ == "__main__":
    main()
