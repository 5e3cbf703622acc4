"""Print messages, tables and errors, and write the log of a run."""

import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.segment import Segment
from rich.text import Text

from resnet_lab.core.errors import one_line
from resnet_lab.core.overhead import reduced_overhead
from resnet_lab.core.text import printable, printable_lines

log = logging.getLogger(__name__)

ONE_LINE = "RESNET_LAB_ONE_LINE"  # set in the processes that a process of ours starts

# Set by the user, to see them. `train` sets it too, and its child processes inherit that.
TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1" and ONE_LINE not in os.environ
if not TRACEBACKS:
    os.environ[ONE_LINE] = "1"


class _LogFormatter(logging.Formatter):
    """Format the lines of a run's log, without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class LogFile(logging.FileHandler):
    """The log of a run; an error while it is written is an error of the run."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.setFormatter(_LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def add_traceback(self, error: BaseException) -> None:
        """Write the traceback of an error, of which the console gets one line."""
        text = "".join(traceback.format_exception(error))
        self.emit(logging.LogRecord(__name__, logging.ERROR, __file__, 0, text, None, None))

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # it is called while the error is being handled


def set_up_logging() -> None:
    """Print our messages, and the warnings of libraries."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    logging.getLogger("resnet_lab").setLevel(logging.DEBUG)
    if not any(isinstance(handler, _Printer) for handler in root.handlers):
        root.addHandler(_Printer())
    logging.captureWarnings(True)


def quiet_lightning() -> None:
    """Send Lightning's messages to the run's log, not the terminal; call after its import."""
    # A message of torch 2.14 to Lightning 2.6 at each fit; nothing of ours can be changed for it.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    # Lightning warns whoever trains where SLURM is installed without being started by it.
    warnings.filterwarnings("ignore", message="The `srun` command is available")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()  # added when it is imported
        logger.propagate = True
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_tips)


def _no_tips(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()


class _Printer(logging.Handler):
    """Print our messages, and warnings of others, above the progress bars of Rich's console."""

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.name.startswith("resnet_lab") and record.levelno >= logging.INFO
        if ours or record.levelno >= logging.WARNING:
            console().print(record.getMessage(), markup=False, highlight=False, soft_wrap=True)


def console() -> Console:
    """Return Rich's console, shared with Lightning's progress bar, with control codes escaped."""
    from rich import get_console

    console = get_console()
    if not any(isinstance(hook, _ControlCodes) for hook in console._render_hooks):
        # Not pushed: a progress bar that ends takes the last hook away, taking it for its own.
        console._render_hooks.insert(0, _ControlCodes())
    return console


class _ControlCodes(RenderHook):
    """Escape the control characters in everything that is printed."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Escaped(renderable) for renderable in renderables]


class _Escaped:
    def __init__(self, renderable: RenderableType) -> None:
        self.renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(self.renderable, options):
            yield Segment(text if control else printable_lines(text), style, control)


def say(text: str) -> None:
    """Print a text literally, in one line however long."""
    console().print(printable(text), markup=False, highlight=False, soft_wrap=True)


def show(renderable: RenderableType) -> None:
    """Print a table, and write it to the run's log as plain text."""
    console().print(renderable, soft_wrap=isinstance(renderable, Text))
    plain = Console(width=120, file=io.StringIO(), color_system=None)
    with plain.capture() as captured:
        plain.print(renderable)
    log.debug("\n%s", captured.get())


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Show on stderr, if that is a terminal, what a command is at; it is told by what is given."""
    with Console(file=sys.stderr).status("starting") as status:
        yield status.update


@contextmanager
def running_command() -> Iterator[None]:
    """Run a command other than `train`: its messages, its errors, and little overhead."""
    set_up_logging()
    with reduced_overhead(), errors_in_one_line():
        yield


@contextmanager
def errors_in_one_line(*, end: bool = True) -> Iterator[None]:
    """Print one line on stderr instead of a traceback, and end the process with exit code 1.

    Without `end` the exception goes on: the other jobs of a sweep run.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if TRACEBACKS:
            raise
        print(f"error: {printable(one_line(error))}", file=sys.stderr, flush=True)
        if end:
            raise SystemExit(1) from None
        raise
