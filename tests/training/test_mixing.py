"""Mixup and CutMix: what they do to a batch, to the loss, and to a run."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import beta, ks_1samp, ks_2samp
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from resnet_lab.train import train
from resnet_lab.training.mixing import CutMix, Mixed, Mixup, mix
from resnet_lab.training.task import ImageClassifier


def batch(size: int = 16, height: int = 12, width: int = 20) -> Tensor:
    images = torch.randn(size, 3, height, width, generator=torch.Generator().manual_seed(0))
    return images.to(memory_format=torch.channels_last)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def column(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_mixup_averages_each_image_with_its_partner() -> None:
    images = batch()
    mixed, partner, share = Mixup(1.0)(images, rng())
    assert sorted(partner.tolist()) == list(range(16))
    assert 0 < share < 1
    assert torch.allclose(mixed, share * images + (1 - share) * images[partner], atol=1e-6)
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_the_shares_of_mixup_are_beta_distributed(alpha: float) -> None:
    generator, images = rng(), batch(2, 1, 1)
    shares = [Mixup(alpha)(images, generator).share for _ in range(1000)]
    assert ks_1samp(shares, beta(alpha, alpha).cdf).pvalue > 0.001


def test_cutmix_puts_a_rectangle_of_the_partner_into_each_image() -> None:
    images, generator, shares = batch(), rng(), []
    for _ in range(50):
        mixed, partner, share = CutMix()(images, generator)
        foreign = (mixed != images).any(1)[partner != torch.arange(16)]
        assert (foreign == foreign[0]).all()  # the same place in the whole batch
        rows, columns = foreign[0].any(1), foreign[0].any(0)
        assert torch.equal(foreign[0], rows[:, None] & columns)
        assert rows.nonzero().diff(dim=0).eq(1).all()
        assert columns.nonzero().diff(dim=0).eq(1).all()
        assert torch.equal(mixed, torch.where(foreign[0], images[partner], images))
        assert share == pytest.approx(1 - foreign[0].double().mean().item())
        shares.append(share)
    assert len(set(shares)) > 30
    assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_the_areas_of_cutmix_are_distributed_as_torchvisions() -> None:
    generator, images = rng(), batch(2)
    found = [CutMix(1.0)(images, generator).share for _ in range(2000)]
    theirs = v2.CutMix(alpha=1.0, num_classes=10)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wanted = [theirs.make_params([images])["lam_adjusted"] for _ in range(2000)]
    assert ks_2samp(found, wanted).pvalue > 0.001


def test_cutmix_changes_as_many_batches_as_asked() -> None:
    generator, images = rng(), batch(2, 32, 32)
    drawn = [CutMix(1.0, p=0.3)(images, generator) for _ in range(1000)]
    assert sum(entry.share < 1 for entry in drawn) == pytest.approx(300 * 0.99, abs=50)
    assert all(torch.equal(entry.images, images) for entry in drawn if entry.share == 1)


@pytest.mark.parametrize("mixer", [Mixup(), CutMix()], ids=lambda mixer: type(mixer).__name__)
def test_the_seed_decides_and_the_input_stays(mixer) -> None:
    images = batch()
    before = images.clone()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = (mix([mixer], images, seed) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.partner, again.partner)
    assert not torch.equal(first.images, other.images)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert mix([mixer], images.to("meta"), 1).images.device.type == "meta"


def test_of_two_mixers_each_batch_gets_one_of_them() -> None:
    def named(share: float):
        return lambda images, generator: Mixed(images, torch.arange(len(images)), share)

    images = batch(2)
    shares = [mix([named(0.25), named(0.75)], images, seed).share for seed in range(1000)]
    assert set(shares) == {0.25, 0.75}
    assert shares.count(0.25) == pytest.approx(500, abs=3.3 * math.sqrt(250))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Mixup(0.0), "Mixup alpha=0.0: must be a number > 0"),
        (lambda: Mixup(-1), "Mixup alpha=-1"),
        (lambda: CutMix(0), "CutMix alpha=0"),
        (lambda: CutMix(p=1.1), "CutMix p=1.1"),
    ],
)
def test_senseless_arguments_are_refused(make, text) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def classifier(**changes) -> ImageClassifier:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 20, 10))
    return ImageClassifier(**{"net": net, "num_classes": 10, "monitor": "val/acc", **changes})


class Between:
    """A trainer that has nothing to log yet."""

    log_every_n_steps = 100
    overfit_batches = 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_shared_between_both_labels(smoothing: float, monkeypatch) -> None:
    monkeypatch.setattr(ImageClassifier, "trainer", Between())
    partner = torch.arange(16).flip(0)
    task = classifier(
        mix={"own": lambda images, generator: Mixed(2 * images, partner, 0.3), "none": None},
        label_smoothing=smoothing,
    )
    images, labels = batch(), torch.arange(16) % 10
    targets = 0.3 * F.one_hot(labels, 10) + 0.7 * F.one_hot(labels[partner], 10)
    wanted = F.cross_entropy(task(2 * images), targets, label_smoothing=smoothing)
    loss = task.training_step((images, labels), 0)
    assert torch.allclose(loss, wanted)
    assert torch.allclose(task.train_sums.compute()["loss"], wanted)


def test_every_step_of_every_epoch_draws_anew(tiny, tmp_path: Path, monkeypatch) -> None:
    seen: list[int] = []

    def watched(mixers, images: Tensor, seed: int) -> Mixed:
        seen.append(seed)
        return mix(mixers, images, seed)

    monkeypatch.setattr("resnet_lab.training.image_task.mix", watched)
    for seed in (0, 1):
        train(tiny("augment=mixup", f"seed={seed}", "test=null"), tmp_path / str(seed))
    assert len(set(seen)) == len(seen) == 2 * 2 * 3


def test_a_resumed_mixed_run_equals_an_uninterrupted_one(tiny, tmp_path, monkeypatch) -> None:
    cfg = tiny("augment=[trivial,erasing,mixup,cutmix]", "trainer.max_epochs=3")
    train(cfg.copy(), tmp_path / "whole")
    step = ImageClassifier.training_step

    def killed(self: ImageClassifier, data: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if self.current_epoch == 2 and batch_idx == 1:
            raise KeyboardInterrupt
        return step(self, data, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), tmp_path / "parts")
    train(cfg.copy(), tmp_path / "parts")
    for name in ("train/loss", "train/loss_step", "val/loss"):
        assert column(tmp_path / "parts", name) == column(tmp_path / "whole", name), name
    results = [
        json.loads((tmp_path / run / "status.json").read_text()) for run in ("whole", "parts")
    ]
    assert results[0]["test"] == results[1]["test"]


def test_a_run_that_mixes_nothing_draws_nothing(tiny, tmp_path: Path, monkeypatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("mixed")

    monkeypatch.setattr("resnet_lab.training.image_task.mix", never)
    cfg = tiny("trainer.max_epochs=1", "trainer.limit_train_batches=2")
    assert "mix" not in cfg.task
    train(cfg, tmp_path / "run")
