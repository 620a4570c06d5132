"""What a training run shows while it runs: a progress bar, lines where there is no terminal, TensorBoard."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from torch import Tensor

from mien.errors import CannotWrite

_SCALAR_STEPS = 20
_LINE_SECONDS = 60.0


class Progress:
    """Open it with `with`. Of many processes only the main one shows anything."""

    def __init__(self, folder: Path, total: int, done: int, is_main: bool):
        """Shows nothing yet.

        Args:
            folder: of TensorBoard's events.
            total, done: pictures of the run, and those seen before.
            is_main: whether this process shows.
        """
        self.folder, self.total, self.done, self.is_main = folder, total, done, is_main
        self.task = self.bar = self.events = None

    def __enter__(self) -> Progress:
        if self.is_main:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar
            from torch.utils.tensorboard import SummaryWriter

            self.hook, threading.excepthook = threading.excepthook, self._of_thread
            with self._noting():
                self.events = SummaryWriter(str(self.folder), purge_step=self.done + 1)
            speed = TextColumn("{task.fields[speed]:.0f} pictures/s, loss {task.fields[loss]:.3f}, ETA")
            columns = (
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                speed,
                TimeRemainingColumn(),
            )
            console = Console(stderr=True)
            self.bar = Bar(
                *columns, console=console, disable=not console.is_terminal, speed_estimate_period=300
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=self.total, completed=self.done, speed=0.0, loss=0.0)
            self.mark = self.line = (time.monotonic(), self.done)
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        if self.is_main:
            self.bar.stop()
            try:
                # what went wrong before says more than that the last events could not be written either
                with suppress(CannotWrite) if kind else nullcontext(), self._noting():
                    self.events.close()
            finally:
                threading.excepthook = self.hook

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Around all that writes events.

        Raises:
            CannotWrite: it failed, most likely because the disk is full.
        """
        try:
            yield
        except OSError as error:
            raise CannotWrite(
                f"{self.folder}: TensorBoard's events cannot be written ({error.strerror or error}); "
                "make room, and the same command goes on from the last checkpoint"
            ) from error

    def _of_thread(self, ended: threading.ExceptHookArgs) -> None:
        """TensorBoard's thread prints what it fails of, and the next event says it again."""
        if not isinstance(ended.exc_value, OSError):
            self.hook(ended)

    def step(
        self, step: int, pictures: int, loss: Tensor, terms: dict[str, Tensor], gradient: Tensor, rate: float
    ) -> None:
        """After each step.

        Args:
            step: its number, from 1.
            pictures: seen so far.
            loss, terms: of this step's pictures.
            gradient: norm before clipping.
            rate: learning rate.
        """
        if not self.is_main or (step % _SCALAR_STEPS and pictures < self.total):
            return
        now = time.monotonic()
        speed = (pictures - self.mark[1]) / max(now - self.mark[0], 1e-6)
        self.mark = (now, pictures)
        scalars = {f"train/{name}": value.item() for name, value in terms.items()}
        scalars |= {"train/total": loss.item(), "train/gradient": gradient.item()}
        scalars |= {"train/learning_rate": rate, "train/pictures_per_second": speed}
        with self._noting():
            for name, value in scalars.items():
                self.events.add_scalar(name, value, pictures)
        self.bar.update(self.task, completed=pictures, speed=speed, loss=loss.item())
        if self.bar.disable and now - self.line[0] > _LINE_SECONDS:
            mean = (pictures - self.line[1]) / (now - self.line[0])
            left = (self.total - pictures) / mean / 3600
            print(
                f"{pictures:,} of {self.total:,} pictures, loss {loss.item():.3f}, {mean:.0f} pictures/s, "
                f"{left:.1f} h left",
                file=sys.stderr,
                flush=True,
            )
            self.line = (now, pictures)

    def validated(self, pictures: int, figures: dict[str, float]) -> None:
        """After each validation: its figures by name."""
        with self._noting():
            for name, value in figures.items():
                self.events.add_scalar(f"validation/{name}", value, pictures)
            self.events.flush()
        listing = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.bar.console.print(
            f"{pictures:,} pictures, validation: {listing}", highlight=False, soft_wrap=True
        )
