from pathlib import Path

import pytest
from omegaconf import OmegaConf

from resnet_lab.core.configuration.config import flat, new_dir
from resnet_lab.core.directions import mode_of, monitor_mode
from resnet_lab.core.errors import one_line


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [("val/loss", "min"), ("train/loss", "min"), ("val/acc", "max"), ("val/acc_top5", "max")],
)
def test_the_direction_follows_from_the_metric(monitor: str, mode: str) -> None:
    assert mode_of(monitor) == mode
    assert mode_of(monitor, mode) == mode
    other = "max" if mode == "min" else "min"
    with pytest.raises(ValueError, match=f"^monitor_mode={other}: {monitor} is better when"):
        mode_of(monitor, other)


@pytest.mark.parametrize("monitor", ["val/ece", "val/error", "val/nll", "val/wer", "val/loss_x"])
def test_an_unknown_direction_is_asked_for(monitor: str, composed) -> None:
    with pytest.raises(ValueError, match=rf"^monitor={monitor}: .* monitor_mode=min or"):
        mode_of(monitor)
    for mode in ("min", "max"):
        assert mode_of(monitor, mode) == mode
        cfg = composed(f"monitor={monitor}", f"monitor_mode={mode}", "callbacks=early_stopping")
        assert monitor_mode(cfg) == mode
        assert cfg.callbacks.checkpoint.mode == mode
        assert cfg.callbacks.early_stopping.mode == mode
    with pytest.raises(ValueError, match=r"^monitor_mode=up: use min, max or null$"):
        mode_of(monitor, "up")


def test_new_directories_never_coincide(tmp_path: Path) -> None:
    made = [new_dir(None, str(tmp_path / "runs"), "now") for _ in range(3)]
    assert [Path(path).name for path in made] == ["now", "now-2", "now-3"]
    assert new_dir("given", str(tmp_path), "now") == "given"


def test_flat_lists_every_leaf() -> None:
    cfg = OmegaConf.create({"a": {"b": 1, "c": "${a.b}", "d": {}}, "e": [1, 2]})
    assert flat(cfg) == {"a.b": 1, "a.c": 1, "a.d": {}, "e": [1, 2]}


def test_unexpected_errors_keep_their_type() -> None:
    assert one_line(KeyError("x")) == "KeyError: 'x'"
    assert one_line(ValueError("two\nlines")) == "two lines"
    assert one_line(RuntimeError()) == "RuntimeError: RuntimeError"
