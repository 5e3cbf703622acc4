"""Weights to begin with: files in all the forms that people publish, and torchvision's by name."""

import argparse
import logging
import os
import pickle
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from resnet_lab.models.resnet import cifar_resnet, resnet
from resnet_lab.models.resnext import resnext
from resnet_lab.models.wide_resnet import wide_resnet
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.weights.pretrained import load_pretrained

State = dict[str, Tensor]


def net(seed: int = 0, **options) -> nn.Module:
    torch.manual_seed(seed)
    return cifar_resnet(8, **{"num_classes": 10, **options})


def published(seed: int = 1, **options) -> State:
    """Weights that are all unlike those of a new network, statistics included."""
    state = net(seed, **options).state_dict()
    return {
        name: value + 0.125 if value.is_floating_point() else value + 7
        for name, value in state.items()
    }


def same(found: nn.Module, expected: State) -> bool:
    return all(torch.equal(value, expected[name]) for name, value in found.state_dict().items())


def prefixed(*prefixes: str):
    return lambda state: {"".join(prefixes) + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "best_prec1": 0.9},
        lambda state: {"model": state, "optimizer": {"state": {}}},
        lambda state: {"net": state, "acc": 95.16},
        lambda state: {"model_state": state},
        lambda state: {"model_state_dict": state},
        lambda state: {"model": {"state_dict": prefixed("module.")(state)}},
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("net."),
        prefixed("model."),
        prefixed("net.", "_orig_mod."),
        prefixed("module.", "model.", "module."),
    ],
)
def test_the_usual_wrappings_and_prefixes_are_taken_off(wrapped, tmp_path: Path) -> None:
    state = published()
    torch.save(wrapped(state), tmp_path / "x.pth")
    subject = net()
    load_pretrained(subject, str(tmp_path / "x.pth"))
    assert same(subject, state)


@pytest.mark.parametrize("name", ["linear", "head", "classifier", "fc"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_usual_names_of_a_classifier_are_known(name: str, prefix: str, tmp_path: Path) -> None:
    state = published()
    renamed = {
        prefix + (f"{name}.{key[3:]}" if key.startswith("fc.") else key): value
        for key, value in state.items()
    }
    torch.save({"state_dict": renamed}, tmp_path / "x.pth")
    subject = net()
    load_pretrained(subject, str(tmp_path / "x.pth"))
    assert same(subject, state)

    other = {key: value[:7] if f"{name}." in key else value for key, value in renamed.items()}
    torch.save(other, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"fc.weight is 7 x 64 there .*set model.replace_class"):
        load_pretrained(subject, str(tmp_path / "x.pth"))
    load_pretrained(subject, str(tmp_path / "x.pth"), replace_classifier=True)


def test_a_classifier_of_several_layers_can_be_replaced(tmp_path: Path) -> None:
    state = published()
    several = {key.replace("fc.", "classifier.1."): value for key, value in state.items()}
    torch.save(several, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"; set model.replace_classifier=true"):
        load_pretrained(net(), str(tmp_path / "x.pth"))
    subject = net()
    load_pretrained(subject, str(tmp_path / "x.pth"), replace_classifier=True)
    assert torch.equal(subject.get_parameter("conv1.weight"), state["conv1.weight"])


def test_a_layer_of_the_networks_own_keeps_its_name(tmp_path: Path) -> None:
    saved, subject = (
        nn.ModuleDict({"head": nn.Linear(2, 2), "fc": nn.Linear(2, 2)}) for _ in range(2)
    )
    torch.save(saved.state_dict(), tmp_path / "x.pth")
    load_pretrained(subject, str(tmp_path / "x.pth"))
    for name in saved:
        assert torch.equal(subject[name].weight, saved[name].weight)


def test_files_of_old_releases_of_torch_are_read(tmp_path: Path) -> None:
    state = published()
    old = {name: value for name, value in state.items() if "num_batches_tracked" not in name}
    torch.save(old, tmp_path / "x.th", _use_new_zipfile_serialization=False)
    subject = net()
    load_pretrained(subject, str(tmp_path / "x.th"))
    assert all(torch.equal(subject.state_dict()[name], value) for name, value in old.items())


def test_a_classifier_of_other_classes_is_replaced_only_when_asked(tmp_path: Path, caplog) -> None:
    state = published(num_classes=100)
    path = tmp_path / "x.pth"
    torch.save(state, path)
    subject = net()
    before = {name: value.clone() for name, value in subject.state_dict().items()}
    with pytest.raises(ValueError, match=r"fc.weight is 100 x 64 there and 10 x 64 here") as caught:
        load_pretrained(subject, str(path))
    assert str(caught.value).endswith("; set model.replace_classifier=true to train a new fc")
    assert same(subject, before)

    with caplog.at_level(logging.INFO, "resnet_lab"):
        load_pretrained(subject, str(path), replace_classifier=True)
    for name, value in subject.state_dict().items():
        assert torch.equal(value, (before if name.startswith("fc.") else state)[name]), name
    (line,) = caplog.messages
    assert f"{path} (sha256 " in line
    assert line.endswith(", with a new fc")


def test_a_checkpoint_without_a_classifier_needs_the_same_word(tmp_path: Path) -> None:
    state = {name: value for name, value in published().items() if not name.startswith("fc.")}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"missing: fc.bias, fc.weight; set model.replace"):
        load_pretrained(net(), str(tmp_path / "x.pth"))
    load_pretrained(net(), str(tmp_path / "x.pth"), replace_classifier=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"in_channels": 1}, r"conv1.weight is 16 x 1 x 3 x 3 there and 16 x 3 x 3 x 3 here; the"),
        ({"shortcut": "C"}, r"unexpected: layer1.0.downsample.0.weight, .* and \d+ more"),
        (
            {"in_channels": 1, "num_classes": 2},
            r"shapes differ: conv1.weight .*; the stem",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(options, text, tmp_path: Path) -> None:
    torch.save(published(**options), tmp_path / "x.pth")
    subject = net()
    before = {name: value.clone() for name, value in subject.state_dict().items()}
    with pytest.raises(ValueError, match=text) as caught:
        load_pretrained(subject, str(tmp_path / "x.pth"))
    assert str(caught.value).startswith(f"{tmp_path / 'x.pth'} is of another network: ")
    assert "\n" not in str(caught.value)
    assert same(subject, before)


class Harmful:
    """Code that would run if the file was unpickled."""

    def __reduce__(self):
        return os.mkdir, ("it_ran",)


def write(content: object, path: Path) -> None:
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"half a file", "x.pth cannot be read as a checkpoint: it is damaged or no checkpoint"),
        (b"", "it is damaged"),
        ({"net": published(), "by": Harmful()}, r"without running code \(\w+.mkdir\)"),
        ({"args": argparse.Namespace(lr=1)}, r"code \(argparse.Namespace\): .* save its state"),
        ({"epoch": 1}, "x.pth holds no state dict"),
        (torch.zeros(3), "x.pth holds no state dict"),
        (
            prefixed("net.")(published()) | prefixed("model.")(published()),
            "x.pth holds two networks: bn1.bias occurs twice|conv1.weight occurs twice",
        ),
    ],
)
def test_what_is_no_checkpoint_is_one_clear_line(content, text, tmp_path: Path) -> None:
    write(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=text) as caught:
        load_pretrained(net(), str(tmp_path / "x.pth"))
    assert "\n" not in str(caught.value)
    assert not Path("it_ran").exists()


def test_half_a_checkpoint_is_damaged(tmp_path: Path) -> None:
    torch.save(published(), tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "half.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"half.pth cannot be read as a checkpoint: it is damaged"):
        load_pretrained(net(), str(tmp_path / "half.pth"))


def test_what_is_not_there_is_named_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights=no/x.pth does not exist: use a checkpoint$"):
        load_pretrained(net(), "no/x.pth")
    with pytest.raises(ValueError, match=r" is a directory: use a checkpoint$"):
        load_pretrained(net(), str(tmp_path))
    with pytest.raises(
        ValueError, match=r"not exist: use a checkpoint or ResNet18_Weights.IMAGENET1K_V1$"
    ):
        load_pretrained(resnet(18, num_classes=10), "resnet18.pth")
    with pytest.raises(ValueError, match=r"model.replace_classifier=no: must be true or false"):
        load_pretrained(net(), "x.pth", replace_classifier="no")  # type: ignore[arg-type]


def fetching(monkeypatch: pytest.MonkeyPatch, state: State) -> list[tuple[str, dict]]:
    """Let torchvision find this state dict at whatever address; return what it was asked for."""
    asked: list[tuple[str, dict]] = []

    def load(url: str, **options) -> State:
        asked.append((url, options))
        return state

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", load)
    return asked


@pytest.mark.parametrize("name", ["IMAGENET1K_V1", "DEFAULT", "ResNet18_Weights.IMAGENET1K_V1"])
def test_torchvision_s_weights_give_torchvision_s_outputs(name: str, monkeypatch) -> None:
    theirs = torchvision.models.resnet18().eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
    asked = fetching(monkeypatch, theirs.state_dict())
    ours = resnet(18, num_classes=1000)
    load_pretrained(ours, name)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval()(images), theirs(images))
    ((url, options),) = asked
    assert url == torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url
    assert options["weights_only"]
    assert options["check_hash"]

    fewer = resnet(18, num_classes=10)
    with pytest.raises(ValueError, match=r"set model.replace_classifier=true"):
        load_pretrained(fewer, name)
    load_pretrained(fewer, name, replace_classifier=True)
    assert torch.equal(fewer.conv1.weight, theirs.conv1.weight)


@pytest.mark.parametrize(
    ("make", "options", "names"),
    [
        (resnet, {"depth": 50}, "ResNet50_Weights.IMAGENET1K_V1 or ResNet50_Weights.IMAGENET1K_V2"),
        (wide_resnet, {"depth": 50}, "Wide_ResNet50_2_Weights.IMAGENET1K_V1 or .*V2"),
        (resnext, {"depth": 50}, "ResNeXt50_32X4D_Weights.IMAGENET1K_V1 or .*V2"),
        (
            resnext,
            {"depth": 101, "groups": 64, "width_per_group": 4},
            "ResNeXt101_64X4D_Weights.IMAGENET1K_V1 for",
        ),
    ],
)
def test_the_names_that_fit_come_from_the_network(make, options, names) -> None:
    with torch.device("meta"):
        subject = make(num_classes=10, in_channels=1, **options)
    for wrong in ("IMAGENET1K_V9", "ResNet18_Weights.IMAGENET1K_V1"):
        with pytest.raises(ValueError, match=f"model.weights={wrong}: torchvision has {names}"):
            load_pretrained(subject, wrong)


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (
            lambda: net(),
            "model.weights=DEFAULT: torchvision has none for this network; use a file",
        ),
        (
            lambda: resnet(18, num_classes=10, residual=False),
            "torchvision has none for this network",
        ),
        (lambda: resnet(18, num_classes=10, stem="cifar"), "another stem: set model.stem=imagenet"),
    ],
)
def test_a_network_that_is_not_torchvision_s_is_told_so(subject, text) -> None:
    with pytest.raises(ValueError, match=text):
        load_pretrained(subject(), "DEFAULT")


def test_without_a_network_connection_the_address_is_told(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"https://download.pytorch.org/models/resnet18-.*\.pth"):
        load_pretrained(resnet(18, num_classes=10), "DEFAULT", replace_classifier=True)


def test_a_run_begins_with_the_weights_and_then_needs_them_no_more(
    tiny, tmp_path: Path, monkeypatch, caplog
) -> None:
    caplog.set_level(logging.INFO, "resnet_lab")
    train(tiny("trainer.max_epochs=1"), tmp_path / "first")
    file = tmp_path / "published.ckpt"
    (tmp_path / "first/checkpoints/best.ckpt").rename(file)
    cfg = tiny(f"model.weights={file}", "optimizer.lr=0", "trainer.max_epochs=2", "seed=1")

    from resnet_lab.training.task import ImageClassifier

    step = ImageClassifier.training_step

    def killed(self: ImageClassifier, batch: object, batch_idx: int) -> Tensor:
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), tmp_path / "second")
    first = torch.load(file, weights_only=True)["state_dict"]
    file.unlink()
    train(cfg.copy(), tmp_path / "second")
    run = Run.load(tmp_path / "second")
    assert run.done
    assert evaluate(run)["acc"] == run.status["test"]["acc"]
    assert run.config.model.weights == str(file)
    assert f"starts from the weights of {file}" in (run.directory / "train.log").read_text()
    second = torch.load(run.checkpoint("last"), weights_only=True)["state_dict"]
    for name, value in first.items():
        if "running_" not in name and "num_batches" not in name:
            assert torch.equal(second[name], value), name


def test_a_pickle_of_another_program_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(ValueError, match=r"x.pkl (cannot be read|holds no state dict)"):
        load_pretrained(net(), str(tmp_path / "x.pkl"))
