"""Published CIFAR-10 weights by name: address, size and SHA-256 of each file.

The networks of akamaster/pytorch_resnet_cifar10, trained on all 50,000 training images.
Their inputs are normalised by the mean and std of ImageNet.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

ADDRESS = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"


class Published(NamedTuple):
    """A file of weights, and what a configuration needs besides to use it."""

    file: str
    size: int  # bytes
    sha256: str
    depth: int

    @property
    def url(self) -> str:
        """Where the file is."""
        return f"{ADDRESS}/{self.file}"

    @property
    def overrides(self) -> tuple[str, ...]:
        """The network, and the data as it was trained on."""
        return (
            "data=cifar10", "model=resnet20", f"model.depth={self.depth}",
            "data.mean=[0.485,0.456,0.406]", "data.std=[0.229,0.224,0.225]",
        )  # fmt: skip


PUBLISHED = {
    f"akamaster_resnet{depth}": Published(f"resnet{depth}-{sha256[:8]}.th", size, sha256, depth)
    for depth, size, sha256 in (
        (20, 1099231, "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8"),
        (32, 1890043, "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850"),
        (44, 2680855, "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4"),
        (56, 3471733, "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367"),
    )
}


def find(weights: str) -> Published | None:
    """Return what is known of weights: by their name, or by the content of a file."""
    path = Path(weights)
    if weights in PUBLISHED or not path.is_file():
        return PUBLISHED.get(weights)
    sizes = {each.size: each for each in PUBLISHED.values()}
    found = sizes.get(path.stat().st_size)
    return found if found and digest(path) == found.sha256 else None


def fetch(name: str) -> Path:
    """Return the file of published weights, downloaded unless it is in torch's own cache."""
    import torch

    known = PUBLISHED[name]
    path = Path(torch.hub.get_dir(), "checkpoints", known.file)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:  # replaces the file only if the digest is right
            torch.hub.download_url_to_file(known.url, str(path), known.sha256, progress=False)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"model.weights={name}: {known.url} could not be fetched ({error}); download it "
                f"elsewhere to {path}, or set model.weights to the file"
            ) from error
    if digest(path) != known.sha256:
        raise ValueError(f"{path} is not the published file (another SHA-256): delete it")
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
