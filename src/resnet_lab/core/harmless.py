"""What is drawn for a person never fails a run.

Pictures, tables and pages are guarded; records are not: a run whose `metrics.csv` or whose
TensorBoard curves cannot be written fails, and goes on from its last checkpoint.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from resnet_lab.core.config import one_line

log = logging.getLogger(__name__)


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Turn an error into one warning, with its traceback in the run's log.

    Args:
        what: is left out, for the message.
    """
    try:
        yield
    except Exception as error:
        log.warning("%s failed and is left out: %s", what, one_line(error))
        log.debug("traceback of that", exc_info=True)
