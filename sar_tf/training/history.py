"""history.csv: the logs of every epoch of a run."""

import csv
import logging
from pathlib import Path

import keras

from sar_tf.files import whole_file
from sar_tf.training.run_directory import RunDirectoryError

_LOG = logging.getLogger(__name__)
_EPOCH = "epoch"


class HistoryCsv(keras.callbacks.Callback):
    """Writes every epoch's logs into history.csv, whole or not at all.

    A resumed run keeps the rows of earlier epochs and replaces the rows of epochs that
    it trains again. Where the file is missing, a warning says so and the rows of
    earlier epochs are empty.

    Args:
        path: The file.
        initial_epoch: Number of complete epochs at the checkpoint.

    Raises:
        RunDirectoryError: The file is damaged, or lacks an earlier epoch.
    """

    def __init__(self, path: str | Path, initial_epoch: int) -> None:
        super().__init__()
        self.path = Path(path)
        self.rows: list[dict] = []
        if not initial_epoch:
            return
        if self.path.exists():
            self.rows = _read_rows(self.path, initial_epoch)
        else:
            _LOG.warning(
                "%s is missing: the logs of epochs 1 to %d are lost",
                self.path,
                initial_epoch,
            )
            self.rows = [{_EPOCH: epoch + 1} for epoch in range(initial_epoch)]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.rows.append({_EPOCH: epoch + 1, **(logs or {})})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with (
            whole_file(self.path) as beside,
            open(beside, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)


def _read_rows(path: Path, initial_epoch: int) -> list[dict]:
    """The rows of the first epochs, each of which must be there and whole."""
    try:
        text = path.read_bytes().decode()
        rows = list(csv.DictReader(text.splitlines()))
        epochs = [int(row[_EPOCH]) for row in rows]
        for row in rows:
            # None stands for a field that is missing, and names one that is too much.
            list(map(float, filter(len, row.values())))
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        if epochs[:initial_epoch] != list(range(1, initial_epoch + 1)):
            raise ValueError(f"of epochs 1 to {initial_epoch} it has {epochs}")
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise RunDirectoryError(
            f"{path} is damaged ({error}); put a copy of it back, or delete it to go "
            "on without the logs of earlier epochs"
        ) from error
    return rows[:initial_epoch]
