"""The facts in conf/data against the real images, where these are in the data directory.

A CI has the digits and no other set: run this where the data is, with RESNET_LAB_DATA.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torchvision import datasets

from resnet_lab.core.configuration.config import CONF
from resnet_lab.data.sources import TorchvisionSource
from resnet_lab.data.sources.base import Source
from resnet_lab.data.sources.downloads import files_of, missing
from tests.data.fakes import offline  # noqa: F401  (a fixture)
from tests.helpers import REAL_DATA

pytestmark = pytest.mark.usefixtures("offline")

CONFIGS = sorted((CONF / "data").glob("*.yaml"))
DATA = REAL_DATA


def source_of(facts: Any) -> Source:
    """Return the source that a YAML describes, or skip the test where it has no files here."""
    if OmegaConf.is_missing(facts, "root"):
        pytest.skip("a folder that the user names")
    if facts.source._target_.rpartition(".")[2] not in ("TorchvisionSource", "Digits"):
        pytest.skip("images that only the user has")
    source = instantiate(OmegaConf.create({"data": facts, "data_dir": str(DATA)}).data.source)
    if isinstance(source, TorchvisionSource):
        # Not `prepare`: it would unpack an archive, and tests do not write to the data directory.
        files = files_of(getattr(datasets, source.dataset), dict(source.train))
        if not files or missing(files, DATA):
            pytest.skip(f"{source.dataset} is not in {DATA}")
    return source


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_facts(path: Path) -> None:
    facts = OmegaConf.load(path)
    if "defaults" in facts or facts.mean is None:
        pytest.skip("it takes its facts from another option, or measures them")
    source = source_of(facts)
    pixels, labels = source.read("train")
    assert pixels.shape[1:] == (facts.image_size, facts.image_size, facts.channels)
    assert len(source.classes) == facts.num_classes
    assert labels.unique().tolist() == list(range(facts.num_classes))

    levels = torch.arange(256, dtype=torch.float64) / 255
    for channel in range(facts.channels):
        counts = pixels[..., channel].flatten().bincount(minlength=256).double()
        mean = (counts @ levels / counts.sum()).item()
        std = (counts @ (levels - mean) ** 2 / counts.sum()).sqrt().item()
        assert facts.mean[channel] == pytest.approx(mean, abs=5e-4)
        assert facts.std[channel] == pytest.approx(std, abs=5e-4)
