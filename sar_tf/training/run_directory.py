"""The folder of one run: everything needed to know, repeat and use it."""

import json
from pathlib import Path

from sar_tf.training.files import remove_partial, whole_file


class RunDirectoryError(ValueError):
    """A run folder that cannot be used as asked; says why and what to do."""


class RunDirectory:
    """Names and checks the files of a run.

        flags.txt               a flagfile that reproduces the run
        history.csv             the logs of every epoch
        metrics.json            the best epoch's metrics on validation and test
        checkpoints/            best.weights.h5, last.weights.h5, and the one before
                                the last: previous.weights.h5
        broken_batch.npz        where there is one: the batch that ended the run
        events/                 for TensorBoard
        saved_model/1/          the best epoch's model, to be served

    Args:
        path: The folder.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.flags = self.path / "flags.txt"
        self.history = self.path / "history.csv"
        self.metrics = self.path / "metrics.json"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.weights.h5"
        self.last = self.checkpoints / "last.weights.h5"
        self.previous = self.checkpoints / "previous.weights.h5"
        self.broken_batch = self.path / "broken_batch.npz"
        self.events = self.path / "events"
        self.saved_model = self.path / "saved_model" / "1"

    def require_free(self):
        """Raises RunDirectoryError where the folder already holds anything."""
        if self.path.is_file():
            raise RunDirectoryError(f"--run_dir={self.path} is a file; name a folder")
        if self.path.is_dir() and any(self.path.iterdir()):
            raise RunDirectoryError(
                f"--run_dir={self.path} already holds a run; go on with it by "
                "--resume, or name another folder"
            )

    def require_run(self):
        """Raises RunDirectoryError where no run was started in the folder."""
        if not self.flags.is_file():
            raise RunDirectoryError(
                f"--run_dir={self.path} holds no run ({self.flags.name} is missing); "
                "train one first, with --mode=train"
            )

    def start(self, flags_text):
        """Makes the folder and keeps the flags of the run in it."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        remove_partial(self.path)
        remove_partial(self.checkpoints)
        _write(self.flags, flags_text)

    def write_metrics(self, metrics):
        """Writes metrics.json."""
        _write(self.metrics, json.dumps(metrics, indent=2) + "\n")


def _write(path, text):
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")
