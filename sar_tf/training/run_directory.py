"""The folder of one run: everything needed to know, repeat and use it."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sar_tf.files import PARTIAL, locked_file, remove_partial, whole_file
from sar_tf.training.config import RunConfig

_LOCK = ".lock"


class RunDirectoryError(ValueError):
    """A run folder that cannot be used as asked; says why and what to do."""


def _is_content(path: Path) -> bool:
    """Whether a run has put this there, not only made a folder before it was killed."""
    if path.name == "checkpoints" and path.is_dir():
        return any(map(_is_content, path.iterdir()))
    return path.name != _LOCK and not path.name.startswith(PARTIAL)


class RunDirectory:
    """Names and checks the files of a run.

        config.json             the settings: what resuming, evaluation and export read
        flags.txt               a flagfile that repeats the run, of experiments/run.py
        history.csv             the logs of every epoch
        metrics.json            the best epoch's metrics on validation and test
        ranks/                  validation.npz, test.npz: the rank of every target
        checkpoints/            best.weights.h5, last.weights.h5, and the one before
                                the last: previous.weights.h5
        metrics-NAME.json, ranks-NAME/  the same on another dataset, of that name
        broken_batch.npz        where there is one: the batch that ended the run
        events/                 for TensorBoard
        saved_model/1/          the best epoch's model, to be served

    Args:
        path: The folder.
    """

    def __init__(self, path: Any) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.flags = self.path / "flags.txt"
        self.history = self.path / "history.csv"
        self.metrics = self.path / "metrics.json"
        self.ranks = self.path / "ranks"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.weights.h5"
        self.last = self.checkpoints / "last.weights.h5"
        self.previous = self.checkpoints / "previous.weights.h5"
        self.events = self.path / "events"
        self.saved_model = self.path / "saved_model" / "1"

    def of_dataset(self, dataset_dir: str) -> "RunDirectory":
        """The same folder, with files of their own for metrics on another dataset.

        Raises:
            RunDirectoryError: They are already there, perhaps of yet another dataset.
        """
        other = RunDirectory(self.path)
        name = Path(dataset_dir).name
        other.metrics = self.path / f"metrics-{name}.json"
        other.ranks = self.path / f"ranks-{name}"
        if other.metrics.exists():
            raise RunDirectoryError(
                f"{other.metrics} is already there; move it to another name"
            )
        return other

    def broken_batch(self, worker: int = 0) -> Path:
        """The file of a worker's share of the batch that ended the run."""
        return self.path / f"broken_batch{f'.{worker}' if worker else ''}.npz"

    def require_free(self) -> None:
        """Raises RunDirectoryError where the folder already holds anything."""
        if self.path.is_file():
            raise RunDirectoryError(f"--run_dir={self.path} is a file; name a folder")
        if self.path.is_dir() and any(map(_is_content, self.path.iterdir())):
            raise RunDirectoryError(
                f"--run_dir={self.path} already holds a run; go on with it by "
                "--resume, or name another folder"
            )

    def load_config(self) -> RunConfig:
        """The settings that the run was started with.

        Raises:
            RunDirectoryError: No run was started in the folder, or by a version that
                wrote no config.json.
            ConfigError: config.json is damaged or of a version with other settings.
        """
        if self.config.is_file():
            return RunConfig.load(self.config)
        if self.flags.is_file():
            raise RunDirectoryError(
                f"--run_dir={self.path} holds a run of an older version of sar_tf, "
                f"which wrote no {self.config.name}; use that version, or train again "
                "in another folder"
            )
        raise RunDirectoryError(
            f"--run_dir={self.path} holds no run ({self.config.name} is missing); "
            "train one first, with --mode=train"
        )

    def start(self, config: RunConfig) -> None:
        """Makes the folder and keeps the settings of the run in it."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        remove_partial(self.path)
        remove_partial(self.checkpoints)
        self.write(self.config, config.to_json())

    @contextlib.contextmanager
    def locked(self, is_writer: bool = True) -> Iterator[None]:
        """Makes the folder and keeps other processes from writing into it.

        The system frees the lock when the process ends, however it ends. On a network
        file system it holds for all machines where flock does (NFS from version 4);
        where the file system has no locks, a warning says so.

        Args:
            is_writer: False does nothing, for workers that write no files.

        Raises:
            WriteError: Another process is writing the run.
        """
        if not is_writer:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with locked_file(self.path / _LOCK, self.path):
            yield

    def write(self, path: Path, text: str) -> None:
        """Writes a text file of the run, whole or not at all."""
        with whole_file(path) as beside:
            beside.write_text(text, encoding="utf-8")

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Writes metrics.json."""
        self.write(self.metrics, json.dumps(metrics, indent=2) + "\n")

    def write_ranks(self, split: str, ranks: Mapping[str, np.ndarray]) -> None:
        """Writes ranks/<split>.npz."""
        self.ranks.mkdir(exist_ok=True)
        remove_partial(self.ranks)
        with (
            whole_file(self.ranks / f"{split}.npz") as beside,
            open(beside, "wb") as file,
        ):
            np.savez_compressed(file, **ranks)
