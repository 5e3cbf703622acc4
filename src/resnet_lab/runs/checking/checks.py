"""Check and resolve a composed configuration: the values that no single object is built from.

What an object takes is checked when it is built; see `resnet_lab.core.configuration.building`.
"""

import math
import random
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
)

from resnet_lab.core.configuration.config import flat
from resnet_lab.core.configuration.recorded import refuse_interpolations
from resnet_lab.core.text import printable
from resnet_lab.core.threads import check_threads

FACTS = ("num_classes", "channels", "image_size")  # null in a configuration: found in the data
MAX_SEED = 2**32 - 1  # NumPy takes no larger one
MAX_INTEGER = 10**18  # torch takes none beyond 64 bits


def resolved(config: DictConfig, *, trust: bool = False) -> DictConfig:
    """Return a configuration as its run records it, with the facts of its data.

    Raises a ValueError if a value is missing or cannot be.
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


def check_values(config: DictConfig) -> None:
    """Hold the values of a configuration, not yet resolved, to what can be run.

    Raises a ValueError with the key, the value and the way out.
    """
    for group in ("data", "model", "task", "optimizer", "trainer"):
        if not OmegaConf.select(config, f"{group}._target_", throw_on_missing=False):
            raise ValueError(f"{group}._target_ has no value: it names what is built")
    for key, value in flat(config, resolve=False).items():
        if _is_integer(value) and abs(value) > MAX_INTEGER:
            raise _wrong(key, value, f"must be an integer of at most {MAX_INTEGER:.0e}")
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
    for key in ("preflight", "lean", "analyse"):
        if _value(config, key) not in (True, False, None):
            raise _wrong(key, _value(config, key), "must be true or false")
    rate = _value(config, "optimizer.lr")
    sound = _is_number(rate) and math.isfinite(rate) and rate >= 0
    if "lr" in config.optimizer and not sound:
        raise _wrong("optimizer.lr", rate, "must be a number >= 0")
    new = _value(config, "model.replace_classifier")
    if new not in (True, False, None):
        raise _wrong("model.replace_classifier", new, "must be true or false")
    weights = _value(config, "model.weights")
    if weights is not None and not isinstance(weights, str):
        raise _wrong("model.weights", weights, "must be a file or the name of weights, or null")
    for name in ("accelerator", "precision"):
        value = _value(config, f"trainer.{name}")
        if value is not None and not isinstance(value, str | int):
            raise _wrong(f"trainer.{name}", value, "must be text")
    _check_data(config)
    _check_expected(_value(config, "expected"))
    _check_length(config)


def _check_data(config: DictConfig) -> None:
    for key, of in (("num_classes", "num_classes"), ("in_channels", "channels")):
        own, there = _value(config, f"model.{key}"), _value(config, f"data.{of}")
        if own is not None and there is not None and own != there:
            raise _wrong(f"model.{key}", own, f"data.{of} is {there}; leave it to that")
    size = _value(config, "data.image_size")
    for side in size if isinstance(size, list) else [size]:
        if _is_integer(side) and side < 1:
            raise _wrong("data.image_size", size, "must be an integer >= 1, in pixels")
    if _value(config, "data.streaming") and _value(config, "data.source.streaming") is None:
        raise _wrong("data.streaming", "true", "only folders are streamed, as data=image_folder")
    std = _value(config, "data.std")
    if isinstance(std, list) and not all(not _is_number(part) or part > 0 for part in std):
        raise _wrong("data.std", std, "must be numbers > 0, one per channel, or null to measure")


def _check_expected(expected: Any) -> None:
    """Hold the expected result of an experiment to its form: it is needed after hours only."""
    if expected is None:
        return
    form = {"metric": str, "value": int | float, "tolerance": int | float, "source": str}
    if not isinstance(expected, dict) or expected.keys() - {"mode"} != form.keys():
        raise _wrong("expected", expected, f"must be null, or have {', '.join(form)}")
    for name, kind in form.items():
        value = expected[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = "text" if kind is str else "a number"
            raise _wrong(f"expected.{name}", value, f"must be {wanted}")


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
                "trainer.max_steps=..."
            )
        if _value(config, "scheduler.interval") == "epoch":
            raise ValueError(
                "trainer.max_epochs=-1: scheduler.interval=epoch needs a number of epochs; "
                "use scheduler.interval=step"
            )
    fast = _value(config, "trainer.fast_dev_run")
    if fast is not None and not (isinstance(fast, int) and fast >= 0):
        raise _wrong("trainer.fast_dev_run", fast, "must be true, false, or a number of batches")
    lowest = {"log_every_n_steps": 0, "num_sanity_val_steps": -1, "check_val_every_n_epoch": 1}
    for name, low in lowest.items():
        count = _value(config, f"trainer.{name}")
        if count is not None and not (_is_integer(count) and count >= low):
            raise _wrong(f"trainer.{name}", count, f"must be an integer >= {low}")
    for name in ("gradient_clip_val", "val_check_interval"):
        value = _value(config, f"trainer.{name}")
        if _is_number(value) and value <= 0:
            raise _wrong(f"trainer.{name}", value, "must be a number > 0; leave it out for none")
    for share in ("train", "val", "test"):
        key = f"trainer.limit_{share}_batches"
        limit = _value(config, key)
        if limit is None:
            continue
        if not (_is_number(limit) and limit > 0 and (_is_integer(limit) or limit <= 1)):
            away = {"val": "; data.val_size=0 leaves it out", "test": "; test=null leaves it out"}
            text = "must be a share of the batches up to 1.0, or their number"
            raise _wrong(key, limit, text + away.get(share, ""))


def _value(config: DictConfig, key: str) -> Any:
    """Return a value as plain types; None where there is none."""
    try:
        value = OmegaConf.select(config, key)
    except (InterpolationKeyError, InterpolationToMissingValueError):  # a reference to nothing
        raise
    except OmegaConfBaseException:  # told of when the configuration is resolved
        return None
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(key: str, value: Any, text: str) -> ValueError:
    return ValueError(f"{key}={'null' if value is None else value}: {text}")
