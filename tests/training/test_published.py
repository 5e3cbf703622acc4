"""Published CIFAR weights by name: from the cache or the network, and held to their digest."""

from pathlib import Path

import pytest
import torch

from resnet_lab.models.resnet import cifar_resnet
from resnet_lab.training.weights import published
from resnet_lab.training.weights.pretrained import load_pretrained

NAME = "akamaster_resnet20"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch) -> Path:
    """A file of weights that stands in for the published one, in a cache of torch."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    path = tmp_path / "hub" / "checkpoints" / "resnet20-12fca82f.th"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": cifar_resnet(20, num_classes=10).state_dict()}, path)
    known = published.PUBLISHED[NAME]
    changed = known._replace(sha256=published.digest(path), size=path.stat().st_size)
    monkeypatch.setitem(published.PUBLISHED, NAME, changed)
    return path


def test_a_name_loads_the_file_of_the_cache(stand_in: Path) -> None:
    net = cifar_resnet(20, num_classes=10)
    load_pretrained(net, NAME)
    state = torch.load(stand_in, weights_only=True)["state_dict"]
    assert torch.equal(net.fc.weight, state["fc.weight"])


def test_another_file_of_that_name_is_refused(stand_in: Path) -> None:
    stand_in.write_bytes(stand_in.read_bytes() + b"x")
    with pytest.raises(ValueError, match="is not the published file"):
        load_pretrained(cifar_resnet(20, num_classes=10), NAME)


def test_without_a_network_the_way_out_is_a_file(stand_in: Path) -> None:
    stand_in.unlink()
    with pytest.raises(ValueError, match=rf"weights={NAME}: https.* could not be fetched .* file$"):
        load_pretrained(cifar_resnet(20, num_classes=10), NAME)
    assert not stand_in.exists()


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"resnet110 does not exist: .*akamaster_resnet56"):
        load_pretrained(cifar_resnet(20, num_classes=10), "akamaster_resnet110")


def test_a_file_is_known_by_its_content(stand_in: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.th"
    copy.write_bytes(stand_in.read_bytes())
    assert published.find(str(copy)) == published.PUBLISHED[NAME]
    copy.write_bytes(b"x" + stand_in.read_bytes()[1:])
    assert published.find(str(copy)) is None
    assert published.find("nowhere.th") is None
