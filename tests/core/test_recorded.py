"""Runs of version 0.1, whose configurations name classes where they were then."""

import pytest

from resnet_lab import evaluate
from resnet_lab.core.configuration.recorded import GONE, MOVED, with_new_names
from resnet_lab.core.configuration.trust import locate
from resnet_lab.train import train

# What the shipped configurations of version 0.1 named.
OLD = [
    "resnet_lab.callbacks.averaging.EMA",
    "resnet_lab.callbacks.averaging.SWA",
    "resnet_lab.callbacks.checkpoint.Checkpoint",
    "resnet_lab.callbacks.early_stopping.EarlyStopping",
    "resnet_lab.callbacks.progress.ProgressBar",
    "resnet_lab.callbacks.summary.ModelSummary",
    "resnet_lab.callbacks.tensorboard.TensorBoardRecord",
    "resnet_lab.data.ImageDataModule",
    "resnet_lab.data.augment.RandomCrop",
    "resnet_lab.data.augment.RandomHorizontalFlip",
    "resnet_lab.data.auto_augment.RandAugment",
    "resnet_lab.data.auto_augment.TrivialAugmentWide",
    "resnet_lab.data.erase.RandomErasing",
    "resnet_lab.data.image_folder.ImageFolder",
    "resnet_lab.data.sources.Digits",
    "resnet_lab.data.torchvision_source.TorchvisionSource",
    "resnet_lab.loggers.CSVLogger",
    "resnet_lab.loggers.TensorBoardLogger",
    "resnet_lab.mixing.CutMix",
    "resnet_lab.mixing.Mixup",
    "resnet_lab.models.preact_resnet.cifar_preact_resnet",
    "resnet_lab.models.resnet.cifar_resnet",
    "resnet_lab.models.resnet.resnet",
    "resnet_lab.models.small_resnet.SmallResNet",
    "resnet_lab.models.uniform_resnet.uniform_resnet",
    "resnet_lab.models.wide_resnet.cifar_wide_resnet",
    "resnet_lab.profiler.NoProfiler",
    "resnet_lab.schedulers.cosine",
    "resnet_lab.schedulers.multistep",
    "resnet_lab.sharding.ShardedClassifier",
    "resnet_lab.task.ImageClassifier",
]


@pytest.mark.parametrize("target", OLD)
def test_an_old_name_is_found_and_trusted(target: str) -> None:
    node = with_new_names({"part": {"_target_": target}})["part"]
    name = GONE.get(target, target).rpartition(".")[2]
    assert locate("part", node, trust=False).__name__ == name


def test_a_run_of_version_0_1_is_evaluated(tiny, tmp_path, capsys) -> None:
    cfg = tiny("trainer.limit_test_batches=2", "augment=erasing", "scheduler=cosine")
    train(cfg, tmp_path / "run")
    path = tmp_path / "run/config.yaml"
    text = path.read_text()
    for name in OLD:
        module, _, last = name.rpartition(".")
        text = text.replace(f"{MOVED.get(module, module)}.{last}\n", f"{name}\n")
    named = {"resnet_lab.data.augment.RandomCrop", "resnet_lab.task.ImageClassifier"}
    assert named < set(text.split())
    path.write_text(text)
    capsys.readouterr()
    evaluate.main([str(tmp_path / "run")])
    assert "acc" in capsys.readouterr().out
