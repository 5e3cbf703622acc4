"""The temperature that an analysis has fitted, for the weights that it was fitted to."""

import hashlib
import json

from resnet_lab.core.configuration.config import is_finite_number
from resnet_lab.runs.trained.run import Run


def fitted_temperature(run: Run, checkpoint: str) -> float:
    """Return the temperature that `analyse` has fitted on the validation split.

    Raises:
        ValueError: there is none, or it is of other weights.
    """
    path, way_out = run.directory / "analysis.json", f"run: resnet-analyse {run.shown}"
    try:
        found = json.loads(path.read_text())
        value, digest = found["temperature"], found["checkpoint_sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{run.shown} has no fitted temperature; {way_out}") from None
    if digest != hashlib.sha256(run.checkpoint(checkpoint).read_bytes()).hexdigest():
        raise ValueError(
            f"{run.shown}: the temperature was fitted to other weights than {checkpoint}; {way_out}"
        )
    if not is_finite_number(value) or value <= 0:
        raise ValueError(
            f"{run.shown} has no fitted temperature (its analysis found no validation split)"
        )
    return float(value)
