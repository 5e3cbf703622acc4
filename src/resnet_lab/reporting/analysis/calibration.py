"""Whether probabilities can be believed: calibration, and a temperature that mends it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from resnet_lab.reporting.analysis.outputs import Outputs
from resnet_lab.reporting.statistics import RESAMPLES, shifted_interval

Floats = NDArray[np.float64]

BINS = 15  # of equal mass
FEWEST = 40  # images in a bin; with fewer images in all, there are fewer bins
TEMPERATURES = (0.05, 20.0)  # smallest and largest that are tried


def calibration(found: Outputs, temperature: float = 1.0) -> dict[str, Any]:
    """Measure the calibration of probabilities whose logits are divided by a temperature.

    The expected calibration error (ECE) is the mean difference between confidence and accuracy over
    bins of equally many images. It is above 0 for a perfect network too, as accuracies of bins
    vary: `ece_by_chance` is what such a network stays below in 95 % of test sets, drawn from these
    very confidences (Vaicenavicius et al. 2019).

    Returns:
        `nll` in nats, `brier` (0 to 2), `confidence` (mean), `ece` with its 95 % interval
        `ece_low`, `ece_high` (`shifted_interval`), `ece_by_chance`, and `bins`: images, confidence,
        accuracy.
    """
    probabilities = (found.logits.double() / temperature).softmax(1)
    confidence, right = probabilities.amax(1).numpy(), found.right.double().numpy()
    truth = probabilities.gather(1, found.labels[:, None])[:, 0]
    brier = (probabilities**2).sum(1) - 2 * truth + 1
    bins = equal_mass_bins(confidence)
    random = np.random.default_rng(0)
    count = len(right)
    resampled = []
    for _ in range(RESAMPLES):
        chosen = random.integers(0, count, count)
        resampled.append(calibration_error((confidence - right)[chosen], bins[chosen]))
    perfect = [
        calibration_error(confidence - (random.random(count) < confidence), bins)
        for _ in range(RESAMPLES)
    ]
    error = calibration_error(confidence - right, bins)
    low, high = shifted_interval(resampled, error)
    return {
        "temperature": temperature,
        "nll": _nll(found.logits, found.labels, temperature),
        "brier": float(brier.mean()),
        "confidence": float(confidence.mean()),
        "ece": error,
        "ece_low": max(0.0, low),
        "ece_high": high,
        "ece_by_chance": float(np.quantile(perfect, 0.95)),
        "bins": bin_means(confidence, right),
    }


def bin_means(confidence: Floats, right: Floats) -> list[dict[str, float]]:
    """Return images, confidence and accuracy of bins of equal mass."""
    bins = equal_mass_bins(confidence)
    return [
        {
            "images": int((bins == number).sum()),
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(right[bins == number].mean()),
        }
        for number in range(bins.max() + 1)
    ]


def equal_mass_bins(confidence: Floats) -> NDArray[np.int64]:
    """Return the number of each image's bin; bins hold equally many images, to one."""
    count = len(confidence)
    order = np.argsort(confidence, kind="stable")
    bins = np.empty(count, np.int64)
    bins[order] = np.arange(count) * max(1, min(BINS, count // FEWEST)) // count
    return bins


def equal_width_bins(confidence: Floats) -> NDArray[np.int64]:
    """Return the number of each image's bin; bins are equally wide, as in Guo et al. 2017."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def calibration_error(gaps: Floats, bins: NDArray[np.int64]) -> float:
    """Return the ECE, of confidence minus correctness of each image, and the bin of each."""
    return float(np.abs(np.bincount(bins, gaps)).sum() / len(gaps))


def _nll(logits: Tensor, labels: Tensor, temperature: float) -> float:
    return float(F.cross_entropy(logits.double() / temperature, labels))


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature with the lowest cross-entropy (Guo et al. 2017).

    The images must not be those that the temperature is judged by.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return _nll(logits, labels, float(np.exp(log_temperature)))

    bounds = tuple(np.log(TEMPERATURES))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
