"""Going on with a run: from which checkpoint, with which configuration, and where its data lies."""

import logging
import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.config import CONF, bears_on_result, flat
from resnet_lab.core.processes import leads
from resnet_lab.runs.trained.run import Run, reroot

log = logging.getLogger(__name__)

LENGTHS = ("trainer.max_epochs", "trainer.max_steps")
WHOLE = ("state_dict", "optimizer_states", "loops", "global_step")  # of a checkpoint to go on from


class Start(NamedTuple):
    """Where training begins."""

    checkpoint: Path | None  # None: at the beginning
    step: int  # the number of steps that are done


def find_start(run: Run) -> Start:
    """Return the checkpoint to go on from: last.ckpt, or the newest other one if it is damaged."""
    from resnet_lab.training.weights.pretrained import read

    folder = run.directory / "checkpoints"
    last = folder / "last.ckpt"
    paths = sorted(folder.glob("*.ckpt"), key=lambda path: (path != last, -path.stat().st_mtime))
    damaged = []
    for path in paths:
        try:
            state = read(path)
        except ValueError:
            damaged.append(path.name)
            continue
        if not isinstance(state, dict) or any(key not in state for key in WHOLE):
            continue
        if damaged and leads():
            log.warning(
                "%s is damaged: the run goes on from %s, after %d steps",
                " and ".join(damaged), path.name, state["global_step"],
            )  # fmt: skip
        return Start(path, int(state["global_step"]))
    if damaged and leads():
        log.warning("%s is damaged: the run begins anew", " and ".join(damaged))
    return Start(None, 0)


def best_weights(run: Run) -> Path:
    """Return the path of best.ckpt; raise a ValueError if it is missing or damaged."""
    from resnet_lab.training.weights.pretrained import read

    path = run.checkpoint("best")
    try:
        read(path)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged: there is nothing to test; train anew (leave run_dir out), or test "
            f"the last weights: python -m resnet_lab.evaluate {run.shown} --checkpoint last"
        ) from error
    return path


def follow_data(run: Run) -> None:
    """Where the recorded `data_dir` is gone, look for the data in the one that is set now."""
    now, before = str(OmegaConf.load(CONF / "train.yaml").data_dir), str(run.config.data_dir)
    if Path(before).exists() or not Path(now).exists():
        return
    if reroot(run.config, now) and leads():
        log.info("data_dir=%s is gone: the data is read from %s", before, now)


def agree(config: DictConfig, run: Run) -> bool:
    """Bring a run and the resolved configuration that it resumes with together.

    The configuration may say anew what bears on no result, where the data lies, and how long to
    train; the run has it afterwards. Returns whether the run is to be longer than it was. Raises a
    ValueError if they differ, or the run cannot become longer.
    """
    then = run.config.copy()
    before, now = str(then.data_dir), str(config.data_dir)
    if Path(before).exists() and not Path(now).exists():
        reroot(config, before, now)
        config.data_dir = before
    else:
        reroot(then, now)
    values, earlier = flat(config), flat(then)
    differ = {
        key: f"{key}={values.get(key)} (was {earlier.get(key)})"
        for key in sorted(values.keys() | earlier.keys())
        if bears_on_result(key) and values.get(key) != earlier.get(key)
    }
    if differ:
        if not (differ.keys() <= set(LENGTHS) and _is_longer(values, earlier)):
            told = list(differ.values())
            more = f" and {len(told) - 3} more" if len(told) > 3 else ""
            raise ValueError(
                f"{run.directory} holds a run of another configuration: {', '.join(told[:3])}"
                f"{more}; leave run_dir out to start a new run"
            )
        _check_longer(run, config, " ".join(differ.values()))
    run.config = config
    return bool(differ)


def _is_longer(values: dict[str, Any], earlier: dict[str, Any]) -> bool:
    def end(side: dict[str, Any], key: str) -> float:
        return math.inf if side.get(key) in (None, -1) else side[key]

    return all(end(values, key) >= end(earlier, key) for key in LENGTHS)


def _check_longer(run: Run, config: DictConfig, asked: str) -> None:
    """Hold a longer run to what it would have been, had it been that long from the beginning."""
    status = run.status
    anew = "leave run_dir out to train anew"
    weights = f"{anew}, from its weights with model.weights={run.shown}/checkpoints/last.ckpt"
    epochs = int(status.get("epochs", 0))
    if not epochs and not run.has_checkpoint("last"):
        return  # no epoch has ended
    if not run.has_checkpoint("last"):
        raise ValueError(
            f"{run.shown}: {asked}: its last.ckpt was deleted when it was done; {anew}, with "
            "test=last or callbacks.checkpoint.keep=all to be able to lengthen that run"
        )
    if (
        run.done
        and epochs < run.config.trainer.max_epochs
        and run.config.trainer.get("max_steps") in (None, -1)
    ):
        raise ValueError(
            f"{run.shown}: {asked}: it was ended after {epochs} epochs, before "
            f"trainer.max_epochs={run.config.trainer.max_epochs}; {weights}"
        )
    each = int(status["steps"]) // epochs if epochs else 0
    why = _depends_on_length(run.config, config, each, find_start(run).step)
    if why:
        raise ValueError(
            f"{run.shown}: {asked}: {why} depends on the length of the run, so that more epochs "
            f"would not be those of a longer run; {weights}"
        )


def _depends_on_length(before: DictConfig, now: DictConfig, each: int, done: int) -> str | None:
    """Name what would have been otherwise in a longer run; None: nothing.

    An epoch has `each` steps (0: not known), and the checkpoint `done` steps behind it.
    """
    for name, node in (now.callbacks or {}).items():
        if node and str(node.get("_target_")).endswith(".SWA") and isinstance(node.start, float):
            return f"callbacks.{name}.start={node.start}"
    if now.scheduler is None:
        return None
    named = f"scheduler={str(before.scheduler._target_).rpartition('.')[2]}"
    if not each:
        return named
    old, whole, rest = (_Schedule(config, each) for config in (before, now, now))
    if not whole.counts:
        return None
    try:
        rates = old.run(done)
        rest.load(old)
        rates += rest.run(rest.total - done)
        pairs = list(zip(rates, whole.run(whole.total), strict=True))
    except ValueError:  # OneCycleLR takes no step beyond its end
        return named
    return named if any(abs(a - b) > 1e-9 * max(abs(a), abs(b)) for a, b in pairs) else None


class _Schedule:
    """The learning rates of a run, without the run."""

    def __init__(self, config: DictConfig, steps: int) -> None:
        import torch

        config = config.copy()
        config.task.compile = False
        if config.optimizer.get("fused"):
            config.optimizer.fused = False  # it is not for the meta device
        epochs = config.trainer.max_epochs or -1
        most = config.trainer.get("max_steps") or -1
        self.total = min(n for n in (epochs * steps, most) if n > 0)
        with torch.device("meta"):
            task = Run(Path(), config, {}).build_task()
        # The task asks its trainer for two lengths; a trainer knows them only once it trains.
        length: Any = SimpleNamespace(estimated_stepping_batches=self.total, max_epochs=epochs)
        task.trainer = length
        built: Any = task.configure_optimizers()
        self.optimizer: torch.optim.Optimizer = built["optimizer"]
        self.scheduler: Any = built["lr_scheduler"]["scheduler"]
        self._every = steps if built["lr_scheduler"]["interval"] == "epoch" else 1
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
        self.counts = not isinstance(self.scheduler, plateau)  # steps; that one follows a metric
        self._done = 0

    def load(self, other: "_Schedule") -> None:
        """Take up where another one is, as a run does from its checkpoint."""
        self.optimizer.load_state_dict(other.optimizer.state_dict())
        self.scheduler.load_state_dict(other.scheduler.state_dict())
        self._done = other._done

    def run(self, steps: int) -> list[float]:
        """Return the rate of each of the next steps."""
        rates = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the optimizer takes no steps
            for _ in range(steps):
                rates.append(float(self.optimizer.param_groups[0]["lr"]))
                self._done += 1
                if self._done % self._every == 0:
                    self.scheduler.step()
        return rates
