"""Compare with ashleve/lightning-hydra-template: its default job, and the same job here.

The other template is neither part of this one nor needed by it: `--rival DIR` names a clone of it
whose requirements are installed in this environment.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.speed import in_turn, medians, ratio
from benchmarks.speed.commands import IMPORTS, seconds_of

# Its default configuration as our overrides: network, images, batches, optimizer, precision.
SAME = (
    "data=mnist", "data.batch_size=128", "data.augment.crop=null", "optimizer=adam",
    "optimizer.lr=0.001", "optimizer.weight_decay=0", "scheduler=none",
    "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.precision=32-true",
    "~model", "+model._target_=src.models.components.simple_dense_net.SimpleDenseNet",
    "+model.name=dense", "+model.lin1_size=64", "+model.lin2_size=128", "+model.lin3_size=64",
)  # fmt: skip

# Its checkpoints hold more than tensors, which torch refuses to load since 2.6 unless told to.
LOADS = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}


def against_rival(
    clone: str | Path, data_dir: str | Path, repeats: int = 3, jobs: int = 5
) -> dict[str, float]:
    """Time one epoch of its default job, a small dense net on MNIST, and of the same job here.

    Both train, validate, test and save, each as a user starts it, in turn. `data_dir` has MNIST in
    torchvision's layout; `jobs` of a multirun tell what a further job costs.

    Returns:
        Seconds: of `theirs` and `ours` from command to exit, of the `imports` of torch, torchvision
        and lightning alone, and of a `further_job` in one of our multiruns; `ratio` of theirs over
        ours, and `ratio_further_job`. Medians of `n`; the further job is measured in one multirun.

    Raises:
        ValueError: there is no such clone or no MNIST, or a job failed.
    """
    script = script_of(clone)
    data = Path(data_dir).absolute()
    if not (data / "MNIST").is_dir():
        raise ValueError(f"--rival: MNIST is not in {data}; train on data=mnist once to fetch it")
    ours_here = ("-m", "resnet_lab.train", f"data_dir={data}", *SAME)

    def theirs() -> float:
        with TemporaryDirectory() as logs:
            return seconds_of(
                str(script), "trainer.max_epochs=1", f"paths.data_dir={data}/",
                f"paths.log_dir={logs}", **LOADS,
            )  # fmt: skip

    def ours(*overrides: str) -> float:
        return seconds_of(*_swept(ours_here, overrides), PYTHONPATH=str(script.parent.parent))

    seconds = in_turn({"theirs": theirs, "ours": ours}, repeats)
    found = medians(seconds)
    further = (ours(f"seed=range({jobs})") - found["ours"]) / (jobs - 1)
    return {
        **found,
        "ratio": ratio(seconds, "theirs", "ours"),
        "imports": statistics.median(seconds_of("-c", IMPORTS) for _ in range(repeats)),
        "further_job": further,
        "ratio_further_job": found["theirs"] / further,
        "n": repeats,
    }


def script_of(clone: str | Path) -> Path:
    """Return the absolute path of the other template's training script.

    Raises:
        ValueError: there is none.
    """
    script = Path(clone, "src", "train.py").absolute()
    if not script.is_file():
        raise ValueError(
            f"--rival {clone}: it has no src/train.py; give a clone of "
            "https://github.com/ashleve/lightning-hydra-template"
        )
    return script


def _swept(command: Sequence[str], overrides: Sequence[str]) -> tuple[str, ...]:
    return (*command[:2], "-m", *command[2:], *overrides) if overrides else tuple(command)
