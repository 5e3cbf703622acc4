"""What the network looks at, and how it arranges images: Grad-CAM, features in two dimensions."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from resnet_lab.reporting.analysis.outputs import Outputs
from resnet_lab.runs.trained.inference import TrainedNetwork

POINTS = 2000  # most images in two dimensions; t-SNE of more takes long
PERPLEXITY = 30


def grad_cam(network: TrainedNetwork, pixels: Tensor, labels: Tensor) -> tuple[Tensor, list[int]]:
    """Show where the evidence for a class lies (Grad-CAM, Selvaraju et al. 2017).

    The last layer whose output has a height and a width above 1 is used.

    Args:
        network: the network.
        pixels: uint8 [N, H, W, C].
        labels: of the classes whose evidence is shown, int64 [N].

    Returns:
        Maps in [0, 1], float32 [N, H, W]; and the height and width at which they were computed.

    Raises:
        ValueError: no layer has such an output.
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            seen.append(output)

    images = network.normalised(pixels).detach().requires_grad_()
    with register_module_forward_hook(keep):
        logits = network.forward(images)
    if not seen:
        raise ValueError("no layer of the network has an output with a height and a width")
    chosen = logits.gather(1, labels.to(logits.device)[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, seen[-1])
    weights = gradient.float().mean((2, 3), keepdim=True)
    maps = (weights * seen[-1].detach().float()).sum(1, keepdim=True).relu()
    sides = list(maps.shape[2:])
    size = (pixels.shape[1], pixels.shape[2])
    maps = nn.functional.interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0]
    return (maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu(), sides


def overlaid(pixels: Tensor, maps: Tensor) -> NDArray[np.uint8]:
    """Lay maps over images in grey, uint8 [N, H, W, 3]: the brighter, the more evidence."""
    from matplotlib import colormaps

    grey = pixels.float().mean(3, keepdim=True).numpy() / 255
    coloured = colormaps["inferno"](maps.numpy())[..., :3]
    mixed: NDArray[np.uint8] = np.rint(255 * (0.45 * grey + 0.55 * coloured)).astype(np.uint8)
    return mixed


def first_filters(net: nn.Module) -> NDArray[np.uint8] | None:
    """Return the filters of the first convolution as images, uint8 [N, k, k, 1 or 3].

    Each is scaled so that grey is 0. None if there is no convolution over 1 or 3 channels.
    """
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    if not layers or layers[0].weight.shape[1] not in (1, 3):
        return None
    weight = layers[0].weight.detach().float().cpu().permute(0, 2, 3, 1)
    scaled = 127.5 + 127.5 * weight / weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    return scaled.round().to(torch.uint8).numpy()


def in_two_dimensions(found: Outputs) -> dict[str, Any]:
    """Arrange images in a plane by their features, by PCA and by t-SNE.

    Returns:
        `indices` of at most `POINTS` images, drawn by a fixed seed, `pca` and `tsne` [n, 2], and
        `explained`: the shares of variance of the two components. Empty without features.
    """
    if found.features is None or len(found.labels) < 4 or found.features.shape[1] < 2:
        return {}
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    random = np.random.default_rng(0)
    count = min(POINTS, len(found.labels))
    indices = np.sort(random.choice(len(found.labels), count, replace=False))
    features = found.features[torch.from_numpy(indices)].double().numpy()
    pca = PCA(min(50, *features.shape), random_state=0)
    reduced = pca.fit_transform(features)
    perplexity = min(PERPLEXITY, (count - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)
    explained = pca.explained_variance_ratio_[:2].tolist()
    return {"indices": indices, "pca": reduced[:, :2], "tsne": tsne, "explained": explained}
