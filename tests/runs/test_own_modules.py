"""A LightningModule and a LightningDataModule of one's own, and what Lightning offers beside."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.callbacks import BackboneFinetuning, LearningRateFinder
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from resnet_lab.data.facts import Facts
from resnet_lab.data.sources.digits import Digits
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.preflight import Preflight
from resnet_lab.train import train
from tests.helpers import column, rows

HERE = "tests.runs.test_own_modules"


class Plain(LightningModule):
    """Lightning as its documentation writes it, with the two members that a run needs."""

    def __init__(self, net: nn.Module, lr: float = 0.1) -> None:
        super().__init__()
        self.net = net
        self.lr = lr

    def metric_names(self, split: str) -> list[str]:
        return [f"{split}/loss", f"{split}/acc"]

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def _measure(self, batch: tuple[Tensor, Tensor], split: str) -> Tensor:
        images, labels = batch
        logits = self(images)
        loss = F.cross_entropy(logits, labels)
        acc = (logits.argmax(1) == labels).float().mean()
        self.log_dict({f"{split}/loss": loss, f"{split}/acc": acc}, on_epoch=True, on_step=False)
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self._measure(batch, "train")
        self.log("train/loss_step", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._measure(batch, "test")

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.lr)


class TwoOptimizers(Plain):
    """Manual optimisation: one optimizer for the head, one for the rest."""

    automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        loss = self._measure(batch, "train")
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self) -> Any:
        head = set(self.net.fc.parameters())
        rest = [each for each in self.net.parameters() if each not in head]
        return [torch.optim.SGD(head, self.lr), torch.optim.Adam(rest, 1e-3)]


class Nameless(Plain):
    """One that does not say what it logs."""

    metric_names = property()


class Untested(Plain):
    """One without a test."""

    test_step = None


class Pictures(Dataset):
    """The digits, one by one, through a transform."""

    def __init__(self, split: str, transform: Any) -> None:
        self.images = Digits().read(split)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.images.pixels[index].permute(2, 0, 1)
        return self.transform(pixels), int(self.images.labels[index])


class PlainData(LightningDataModule):
    """A data module with transforms of torchvision, and the three members that a run needs."""

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__()
        self.batch_size = batch_size
        scaled = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.3], [0.4])])
        self.sets = {
            "train": Pictures("train", v2.Compose([v2.RandomRotation(10), scaled])),
            "val": Pictures("test", scaled),
            "test": Pictures("test", scaled),
        }

    def size(self, split: str) -> int:
        return len(self.sets[split])

    def facts(self) -> Facts:
        return Facts(
            name="digits", classes=list("0123456789"), channels=1, image_size=8, mean=[0.3],
            std=[0.4],
        )  # fmt: skip

    def train_dataloader(self) -> Any:
        return DataLoader(self.sets["train"], self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.sets["val"], self.batch_size)

    def test_dataloader(self) -> Any:
        return DataLoader(self.sets["test"], self.batch_size)


class Sizeless(PlainData):
    """One that does not say how much there is."""

    size = property()


@pytest.fixture
def own(tiny, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_TRUSTED", "tests")

    def configured(*overrides: str, task: str | None = "Plain", data: str | None = None) -> Any:
        cfg = tiny(*overrides)
        if task:
            cfg.task = {"_target_": f"{HERE}.{task}"}
        if data:
            kept = {key: cfg.data[key] for key in ("name", "num_classes", "channels", "image_size")}
            cfg.data = {"_target_": f"{HERE}.{data}", **kept, "batch_size": 64}
        return cfg

    return configured


@pytest.mark.parametrize("task", ["Plain", "TwoOptimizers"])
@pytest.mark.parametrize("data", [None, "PlainData"])
def test_they_train_are_resumed_and_are_measured_again(
    task: str, data: str | None, own, tmp_path: Path
) -> None:
    cfg = own("monitor=val/acc", "test=best", "trainer.max_epochs=3", task=task, data=data)
    value = train(cfg, tmp_path / "run", trust=True)
    run = Run.load(tmp_path / "run")
    assert run.status["state"] == "done"
    assert value == max(column(tmp_path / "run", "val/acc"))
    assert len(column(tmp_path / "run", "train/loss")) == 3
    assert evaluate(run)["acc"] == pytest.approx(run.status["test"]["acc"], abs=1e-6)
    assert Preflight().check(cfg).parameters > 1000


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"task": "Nameless"}, "^task: Nameless has no metric_names, which a run needs"),
        ({"data": "Sizeless"}, "^data: Sizeless has no size, which a run needs"),
        ({"task": "Untested"}, "^task: Untested has no test_step; .*test=null"),
    ],
)
def test_a_missing_member_is_named_before_training(members, message, own, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train(own(**members), tmp_path / "run", trust=True)
    assert not (tmp_path / "run").exists()


class Finder(LearningRateFinder):
    """A short one."""

    def __init__(self) -> None:
        super().__init__(num_training_steps=30, early_stop_threshold=None, attr_name="lr")


class Finetuning(BackboneFinetuning):
    """Train all but a `backbone` first."""

    def __init__(self) -> None:
        super().__init__(unfreeze_backbone_at_epoch=1, train_bn=False, verbose=False)


class WithBackbone(Plain):
    """A module whose network has a backbone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.backbone = net.layer1

    def configure_optimizers(self) -> Any:
        learn = [each for each in self.parameters() if each.requires_grad]
        return torch.optim.SGD(learn, self.lr)


def callback(target: str, **options: Any) -> str:
    given = "".join(f", {name}: {value}" for name, value in options.items())
    return f"+callbacks.added={{_target_: {target}{given}}}"


STOP = callback(
    "lightning.pytorch.callbacks.EarlyStopping", monitor="train/loss_step", mode="max", patience=1,
    check_on_train_epoch_end="true",
)  # fmt: skip
SIZES = callback("lightning.pytorch.callbacks.BatchSizeFinder", max_trials=1, steps_per_trial=1)


@pytest.mark.parametrize("task", [None, "Plain"])
def test_early_stopping_may_watch_a_step(task: str | None, own, tmp_path: Path) -> None:
    cfg = own(STOP, "trainer.max_epochs=9", "trainer.log_every_n_steps=1", task=task)
    train(cfg, tmp_path / "run", trust=True)
    assert Run.load(tmp_path / "run").status["epochs"] < 9


def test_lbfgs_trains_ours_where_weights_are_contiguous(tiny, tmp_path: Path) -> None:
    more = ("scheduler=none", "trainer.max_epochs=4")
    lbfgs = {"_target_": "torch.optim.LBFGS", "lr": 0.1, "max_iter": 3}
    cfg = tiny(*more)
    cfg.optimizer = lbfgs
    with pytest.raises(ValueError, match=r"^optimizer: LBFGS .*: set task.channels_last=false"):
        train(cfg, tmp_path / "refused", trust=True)
    cfg = tiny(*more, "task.channels_last=false")
    cfg.optimizer = lbfgs
    train(cfg, tmp_path / "run", trust=True)
    losses = column(tmp_path / "run", "train/loss")
    assert losses[-1] < losses[0]


def test_the_learning_rate_finder_sets_the_rate(own, tmp_path: Path) -> None:
    train(own(callback(f"{HERE}.Finder"), "trainer.max_epochs=20"), tmp_path / "run", trust=True)
    assert column(tmp_path / "run", "lr-SGD")[0] != 0.1


@pytest.mark.parametrize("data", [None, "PlainData"])
def test_the_batch_size_finder_sets_the_data_module(data: str | None, own, tmp_path: Path) -> None:
    train(own(SIZES, data=data), tmp_path / "run", trust=True)
    assert rows(tmp_path / "run")


def test_a_backbone_learns_later(own, tmp_path: Path) -> None:
    cfg = own(callback(f"{HERE}.Finetuning"), task="WithBackbone")
    train(cfg, tmp_path / "run", trust=True)
    assert rows(tmp_path / "run")
