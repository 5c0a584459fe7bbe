"""What a person sees of a run while it trains: one line an epoch."""

import math
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import keras
from tqdm import tqdm

from sar_tf.training.callbacks import MONITOR

VERBOSITIES = ("epochs", "all", "none")
_SHOWN = ("NDCG@5", "HR@10")
_SECONDS = 30  # Between two lines within an epoch, where there is no terminal.


class Progress(keras.callbacks.Callback):
    """Prints a line after each epoch, and how far the epoch is in between.

    The line has the epoch's number, the loss, NDCG@5 and HR@10 of each task on
    validation, the seconds that it took and a `*` where it is the best so far. On a
    terminal a bar of the epoch's steps comes and goes; elsewhere a line about every
    30 seconds tells the step.

    It comes after `MeanOverTasks`. `loop.fit` calls Keras' `fit` more than once where
    a run is resumed inside an epoch; this callback serves all calls.

    Args:
        tasks: The model's tasks; none where training has no validation.
        epochs: Epochs that the run has at most.
        verbose: "epochs"; "all" prints every number of an epoch; "none" prints nothing.
        best: The best mean NDCG@5 before, of a run that is resumed; None without one.
        stream: Where to print; None is standard output.

    Attributes:
        start_step: Steps that the epoch has behind it when Keras' `fit` begins.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        epochs: int,
        verbose: str = "epochs",
        best: float | None = None,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__()
        if verbose not in VERBOSITIES:
            raise ValueError(
                f"verbose must be one of {', '.join(VERBOSITIES)}, not {verbose!r}"
            )
        self.epochs = epochs
        self.verbose = verbose
        self.best = -math.inf if best is None else best
        self.stream = stream or sys.stdout
        self.start_step = 0
        # Name in the logs -> heading of the column.
        self._columns = {
            f"val_{task}_{name}": f"{task} {name}" for task in tasks for name in _SHOWN
        }
        self._is_headed = False
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = f"{epoch + 1}/{self.epochs}"
        self._total = self.start_step + self.params["steps"]
        self._started = self._printed = time.monotonic()
        if self.verbose == "none":
            return
        if not self._is_headed:
            self._is_headed = True
            self._print_row("epoch", "loss", self._columns.values(), "time")
        if self.stream.isatty():
            self._bar = tqdm(
                total=self._total,
                initial=self.start_step,
                desc=self._epoch,
                unit=" steps",
                file=self.stream,
                leave=False,
                dynamic_ncols=True,
            )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Keras counts on where steps_per_execution does not divide the steps.
        done = min(self.start_step + batch + 1, self._total)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif self.verbose != "none" and time.monotonic() - self._printed >= _SECONDS:
            self._printed = time.monotonic()
            step = f"step {done}/{self._total}"
            self._print(f"{self._epoch:<9}{logs['loss']:<9.4f}{step}")

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._close_bar()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._close_bar()
        self.start_step = 0
        value = logs.get(MONITOR, -math.inf)  # None without validation.
        is_best = value > self.best
        self.best = max(self.best, value)
        if self.verbose == "none":
            return
        values = [f"{logs[name]:.4f}" for name in self._columns]
        seconds = f"{time.monotonic() - self._started:.0f}s"
        self._print_row(self._epoch, f"{logs['loss']:.4f}", values, seconds, is_best)
        if self.verbose == "all":
            for name, value in logs.items():
                self._print(f"    {name:<32}{float(value):.6g}")

    def on_train_end(self, logs: dict | None = None) -> None:
        self._close_bar()

    def _print_row(
        self,
        epoch: str,
        loss: str,
        values: Iterable[str],
        seconds: str,
        is_best: bool = False,
    ) -> None:
        cells = [f"{epoch:<9}{loss:<9}"]
        for heading, value in zip(self._columns.values(), values, strict=True):
            cells.append(f"{value:<{len(heading) + 2}}")
        self._print("".join(cells) + f"{seconds:>6}" + (" *" if is_best else ""))

    def _print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
