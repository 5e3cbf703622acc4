"""End a run cleanly on a signal."""

import logging
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)

AGREE = 10  # steps between two agreements of the processes of a run


class Interruption(Callback):
    """Finish the step, save `last.ckpt` and end, on Ctrl-C or a signal.

    The signals are those of a termination, a lost terminal and SLURM's warning. The run then
    resumes in the middle of the epoch with the numbers that it would have had. A second Ctrl-C ends
    at once, and the epoch is lost. All processes of a run end after the same step, whichever of
    them got the signal.
    """

    def __init__(self) -> None:
        self._asked = False
        self._terminals: list[int] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals; the trainer restores the handlers when it ends."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"):
            number = getattr(signal, name, None)  # Windows lacks some
            if number is None or (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
                continue  # nohup: the run is meant to outlive its terminal
            signal.signal(number, self._ask)
        self._terminals = [fd for fd in (1, 2) if os.isatty(fd)]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for fd in self._terminals:
            leave_lost_terminal(fd)
        again = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
        log.info("stopping after this step%s", again)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, rest = divmod(batch_idx + 1, trainer.accumulate_grad_batches)
        if rest or trainer.is_last_batch:  # the epoch is about to be saved
            return
        if _validates(trainer, batch_idx):  # a resumed run would skip that validation
            return
        if (trainer.world_size == 1 or step % AGREE == 0) and self._asked_any(trainer):
            trainer.save_checkpoint(Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt")
            raise KeyboardInterrupt

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._asked_any(trainer):
            raise KeyboardInterrupt

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._asked_any(trainer):
            raise KeyboardInterrupt

    def _asked_any(self, trainer: Trainer) -> bool:
        """Whether any process of the run got a signal."""
        return trainer.strategy.reduce_boolean_decision(self._asked, all=False)


def _validates(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a validation within the epoch follows this batch."""
    if not trainer.enable_validation or trainer.val_check_batch is None:
        return False
    every = trainer.check_val_every_n_epoch
    if every is None:
        return (trainer.fit_loop.total_batch_idx + 1) % trainer.val_check_batch == 0
    validated = (trainer.current_epoch + 1) % every == 0
    return validated and (batch_idx + 1) % trainer.val_check_batch == 0


def leave_lost_terminal(fd: int) -> None:
    """Redirect output to the null device if its terminal is gone, since writing would fail."""
    if not os.isatty(fd):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, fd)
        os.close(nowhere)
