"""Check the values of a composed configuration that no single object is built from.

What an object takes is checked when it is built; see `resnet_lab.building`.
"""

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_lab.console import printable

MAX_SEED = 2**32 - 1  # NumPy takes no larger one


def check_values(config: DictConfig) -> None:
    """Hold the values that decide what is run to what can be run.

    Args:
        config: composed, not yet resolved.

    Raises:
        ValueError: with the key, the value and the way out.
    """
    for group in ("data", "model", "task", "optimizer", "trainer"):
        if not OmegaConf.select(config, f"{group}._target_", throw_on_missing=False):
            raise ValueError(f"{group}._target_ has no value: it names what is built")
    seed = _value(config, "seed")
    if seed is not None and not (_is_integer(seed) and 0 <= seed <= MAX_SEED):
        raise _wrong("seed", seed, f"must be an integer from 0 to {MAX_SEED}, or null to draw one")
    name = _value(config, "name")
    if not isinstance(name, str | int | float) or not str(name).strip():
        raise _wrong("name", name, "must be text: it names the run directory")
    if "/" in str(name) or printable(str(name)) != str(name):
        raise _wrong("name", name, "names the run directory: leave out / and control characters")
    monitor = _value(config, "monitor")
    if not isinstance(monitor, str):
        raise _wrong("monitor", monitor, "must be the name of one metric, such as val/acc")
    test = _value(config, "test")
    if test not in ("last", "best", None):
        raise _wrong("test", test, "use last, best or null")
    if test == "best" and not OmegaConf.select(config, "callbacks.checkpoint"):
        raise ValueError("test=best needs callbacks.checkpoint: use test=last")
    preflight = _value(config, "preflight")
    if preflight not in (True, False, None):
        raise _wrong("preflight", preflight, "must be true or false")
    rate = _value(config, "optimizer.lr")
    if rate is not None or "lr" in config.optimizer:
        number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if not (number and math.isfinite(rate) and rate > 0):
            raise _wrong("optimizer.lr", rate, "must be a number > 0")
    new = _value(config, "model.replace_classifier")
    if new not in (True, False, None):
        raise _wrong("model.replace_classifier", new, "must be true or false")
    _check_length(config)


def _check_length(config: DictConfig) -> None:
    """Hold the length of the run to what ends, and trains."""
    every = _value(config, "trainer.accumulate_grad_batches")
    if every is not None and not (_is_integer(every) and every >= 1):
        raise _wrong("trainer.accumulate_grad_batches", every, "must be an integer >= 1")
    steps = _value(config, "trainer.max_steps")
    if steps is not None and not (_is_integer(steps) and (steps >= 1 or steps == -1)):
        raise _wrong("trainer.max_steps", steps, "must be an integer >= 1, or -1 for max_epochs")
    epochs = _value(config, "trainer.max_epochs")
    if not (_is_integer(epochs) and (epochs >= 1 or epochs == -1)):
        raise _wrong("trainer.max_epochs", epochs, "must be an integer >= 1")
    if epochs == -1:
        if steps in (None, -1):
            raise ValueError(
                "trainer.max_epochs=-1: would never end; give the length in steps, "
                "+trainer.max_steps=..."
            )
        if _value(config, "scheduler.interval") == "epoch":
            raise ValueError(
                "trainer.max_epochs=-1: scheduler.interval=epoch needs a number of epochs; "
                "use scheduler.interval=step"
            )
    for share in ("train", "val", "test"):
        key = f"trainer.limit_{share}_batches"
        limit = _value(config, key)
        if limit is None:
            continue
        number = isinstance(limit, int | float) and not isinstance(limit, bool)
        low = 0 if share != "train" else 1e-9
        if not (number and (limit >= low if _is_integer(limit) else low <= limit <= 1)):
            raise _wrong(key, limit, "must be a share of the batches up to 1.0, or their number")


def _value(config: DictConfig, key: str) -> Any:
    """Return a value as plain types; None where there is none."""
    try:
        value = OmegaConf.select(config, key)
    except OmegaConfBaseException:  # told of when the configuration is resolved
        return None
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(key: str, value: Any, text: str) -> ValueError:
    return ValueError(f"{key}={'null' if value is None else value}: {text}")
