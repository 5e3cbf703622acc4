"""The group `augment`: options go together, from anywhere, and train."""

import csv
from pathlib import Path

import pytest
from omegaconf import DictConfig

from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train

OPTIONS = (
    "erasing",
    "randaugment",
    "trivial",
    "mixup",
    "cutmix",
)  # ours; all are built in test_conf
MIXING = ("mixup", "cutmix")


def changes(cfg: DictConfig) -> list[str]:
    return [*(cfg.data.augment or {}), *(cfg.task.get("mix") or {})]


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], ["crop", "flip"]),
        (["augment=[]"], ["crop", "flip"]),
        (["augment=erasing"], ["crop", "flip", "erasing"]),
        (["augment=[trivial,erasing]"], ["crop", "flip", "trivial", "erasing"]),
        (["augment=[mixup,cutmix]"], ["crop", "flip", "mixup", "cutmix"]),
        (["data.augment=null"], []),
        (["augment=[erasing,mixup]", "data.augment=null"], ["mixup"]),
    ],
)
def test_options_join_what_the_data_set_has(overrides, names, composed) -> None:
    assert changes(composed("data=cifar10", *overrides)) == names


def test_one_change_is_left_out_or_altered_by_its_name(composed) -> None:
    cfg = composed(
        "data=cifar10", "augment=erasing", "data.augment.flip=null", "data.augment.erasing.p=0.25"
    )
    crop, erasing = Run(Path(), cfg, {}).build_data().batched.values()
    assert (type(crop).__name__, type(erasing).__name__) == ("RandomCrop", "RandomErasing")
    assert erasing.p == 0.25


def test_what_is_not_a_change_is_named(composed) -> None:
    cfg = composed("data=cifar10", "data.augment.flip=false")
    with pytest.raises(
        ValueError, match=r"data.augment.flip=False: must be an object, by its _target_, or null"
    ):
        Run(Path(), cfg, {}).build_data()
    cfg.data.augment = ["crop"]  # as before the changes had names
    with pytest.raises(ValueError, match=r"data.augment is a list: must be a mapping from names"):
        Run(Path(), cfg, {}).build_data()


def test_an_experiment_chooses_several_and_the_command_line_others(composed, tmp_path) -> None:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /augment: [trivial, erasing]\n"
        "data: {augment: {crop: null, erasing: {p: 0.25}}}\n"
    )
    place = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
    cfg = composed(place, "experiment=mine")
    assert changes(cfg) == ["crop", "trivial", "erasing"]
    assert cfg.data.augment.crop is None
    assert cfg.data.augment.erasing.p == 0.25
    assert changes(composed(place, "experiment=mine", "augment=[erasing,mixup]")) == [
        "crop", "erasing", "mixup",
    ]  # fmt: skip


def test_an_experiment_without_augmentation_can_be_given_some(composed) -> None:
    for experiment in ("small_resnet_mnist", "resnet18_fashion_mnist"):
        for option, expected in (("[]", []), ("erasing", ["RandomErasing"])):
            cfg = composed(f"experiment={experiment}", f"augment={option}")
            augment = Run(Path(), cfg, {}).build_data().batched.values()
            assert [type(change).__name__ for change in augment] == expected


@pytest.mark.parametrize("names", [*OPTIONS, "trivial,erasing", "mixup,cutmix"])
def test_our_options_train(names: str, tiny, tmp_path: Path) -> None:
    cfg = tiny(
        f"augment=[{names}]", "trainer.max_epochs=1", "trainer.limit_train_batches=2",
        "trainer.log_every_n_steps=1",
    )  # fmt: skip
    assert changes(cfg) == ["crop", *names.split(",")]
    train(cfg, tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.status["state"] == "done"
    with (tmp_path / "run/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train/loss_step"]) for row in rows if row.get("train/loss_step")]
    accuracies = [row for row in rows if row.get("train/acc_step")]
    assert run.status["metrics"]["train/loss"] == pytest.approx(sum(losses) / 2, rel=1e-5)
    mixed = names.split(",")[0] in MIXING
    assert ("train/acc" in run.status["metrics"]) != mixed
    assert len(accuracies) == (0 if mixed else 2)
