"""Check and resolve a composed configuration: the values that no single object is built from.

What an object takes is checked when it is built; see `resnet_lab.core.configuration.building`.
"""

import math
import random
from collections.abc import Callable
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

Check = Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _integer(least: int, most: float = math.inf) -> Check:
    return lambda value: value is None or (_is_integer(value) and least <= value <= most)


def _any(*kinds: type) -> Check:
    return lambda value: value is None or isinstance(value, kinds)


def _is_flag(value: Any) -> bool:
    return value in (True, False, None)


def _is_positive(value: Any) -> bool:  # what is no number is told of when the trainer is built
    return not _is_number(value) or value > 0


def _is_length(value: Any) -> bool:
    return _is_integer(value) and (value >= 1 or value == -1)


def _is_share(value: Any) -> bool:
    number = _is_number(value) and value > 0 and (_is_integer(value) or value <= 1)
    return value is None or number


def _are_positive(value: Any) -> bool:
    return all(map(_is_positive, value if isinstance(value, list) else [value]))


BATCHES = "must be a share of the batches up to 1.0, or their number"

# Keys, the checks of their values, and what a value must be; None stands for a missing one.
RULES: list[tuple[str, Check, str]] = [
    ("seed", _integer(0, MAX_SEED),
     f"must be an integer from 0 to {MAX_SEED}, or null to draw one"),
    ("name", lambda name: isinstance(name, str | int | float) and str(name).strip() != "",
     "must be text: it names the run directory"),
    ("name", lambda name: "/" not in str(name) and printable(name) == str(name),
     "names the run directory: leave out / and control characters"),
    ("monitor", lambda name: isinstance(name, str),
     "must be the name of one metric, such as val/acc"),
    ("test", lambda which: which in ("last", "best", None), "use last, best or null"),
    ("preflight lean analyse model.replace_classifier", _is_flag, "must be true or false"),
    ("model.weights", _any(str), "must be a file or the name of weights, or null"),
    ("data.image_size", _are_positive, "must be an integer >= 1, in pixels"),
    ("data.std", _are_positive, "must be numbers > 0, one per channel, or null to measure"),
    ("trainer.accelerator trainer.precision", _any(str, int), "must be text"),
    ("trainer.accumulate_grad_batches trainer.check_val_every_n_epoch", _integer(1),
     "must be an integer >= 1"),
    ("trainer.max_steps", lambda steps: steps is None or _is_length(steps),
     "must be an integer >= 1, or -1 for max_epochs"),
    ("trainer.max_epochs", _is_length, "must be an integer >= 1"),
    ("trainer.fast_dev_run", lambda number: _any(int)(number) and (number or 0) >= 0,
     "must be true, false, or a number of batches"),
    ("trainer.log_every_n_steps", _integer(0), "must be an integer >= 0"),
    ("trainer.num_sanity_val_steps", _integer(-1), "must be an integer >= -1"),
    ("trainer.gradient_clip_val trainer.val_check_interval", _is_positive,
     "must be a number > 0; leave it out for none"),
    ("trainer.limit_train_batches", _is_share, BATCHES),
    ("trainer.limit_val_batches", _is_share, f"{BATCHES}; data.val_size=0 leaves it out"),
    ("trainer.limit_test_batches", _is_share, f"{BATCHES}; test=null leaves it out"),
]  # fmt: skip


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
    for keys, sound, text in RULES:
        for key in keys.split():
            if not sound(value := _value(config, key)):
                raise _wrong(key, value, text)
    if _value(config, "test") == "best" and not OmegaConf.select(config, "callbacks.checkpoint"):
        raise ValueError("test=best needs callbacks.checkpoint: use test=last")
    rate = _value(config, "optimizer.lr")
    if "lr" in config.optimizer and not (_is_number(rate) and 0 <= rate < math.inf):
        raise _wrong("optimizer.lr", rate, "must be a number >= 0")
    for key, of in (("num_classes", "num_classes"), ("in_channels", "channels")):
        own, there = _value(config, f"model.{key}"), _value(config, f"data.{of}")
        if own is not None and there is not None and own != there:
            raise _wrong(f"model.{key}", own, f"data.{of} is {there}; leave it to that")
    if _value(config, "data.streaming") and _value(config, "data.source.streaming") is None:
        raise _wrong("data.streaming", "true", "only folders are streamed, as data=image_folder")
    _check_expected(_value(config, "expected"))
    if _value(config, "trainer.max_epochs") == -1:
        if _value(config, "trainer.max_steps") in (None, -1):
            raise ValueError(
                "trainer.max_epochs=-1: would never end; give the length in steps, "
                "trainer.max_steps=..."
            )
        if _value(config, "scheduler.interval") == "epoch":
            raise ValueError(
                "trainer.max_epochs=-1: scheduler.interval=epoch needs a number of epochs; "
                "use scheduler.interval=step"
            )


def _check_expected(expected: Any) -> None:
    """Hold the expected result of an experiment to its form: it is needed after hours only."""
    if expected is None:
        return
    form = ("metric", "value", "tolerance", "source")
    if not isinstance(expected, dict) or expected.keys() - {"mode"} != set(form):
        raise _wrong("expected", expected, f"must be null, or have {', '.join(form)}")
    for name in ("metric", "source"):
        if not isinstance(expected[name], str):
            raise _wrong(f"expected.{name}", expected[name], "must be text")
    for name in ("value", "tolerance"):
        if not (_is_number(expected[name]) and math.isfinite(expected[name])):
            raise _wrong(f"expected.{name}", expected[name], "must be a number")
    if expected["tolerance"] < 0:
        raise _wrong("expected.tolerance", expected["tolerance"], "must not be below 0")


def _value(config: DictConfig, key: str) -> Any:
    """Return a value as plain types; None where there is none."""
    try:
        value = OmegaConf.select(config, key)
    except (InterpolationKeyError, InterpolationToMissingValueError):  # a reference to nothing
        raise
    except OmegaConfBaseException:  # told of when the configuration is resolved
        return None
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _wrong(key: str, value: Any, text: str) -> ValueError:
    return ValueError(f"{key}={'null' if value is None else value}: {text}")
