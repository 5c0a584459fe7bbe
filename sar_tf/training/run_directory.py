"""The folder of one run: everything needed to know, repeat and use it."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sar_tf.files import (
    ADVICE,
    WriteError,
    is_partial,
    remove_partial,
    try_lock,
    whole_file,
    write_text,
)
from sar_tf.training.config import RunConfig


class RunDirectoryError(ValueError):
    """A run folder that cannot be used as asked; says why and what to do."""


class RunDirectory:
    """Names and checks the files of a run.

        config.json             the settings: what resuming, evaluation and export read
        flags.txt               a flagfile that repeats the run, of experiments/run.py
        history.csv             the logs of every epoch
        metrics.json            the best epoch's metrics on validation and test
        ranks/                  validation.npz, test.npz: the rank of every target
        metrics.NAME.json       the same of the dataset in another folder NAME, where
        ranks.NAME/             the run was evaluated on one
        checkpoints/            best.weights.h5, last.weights.h5, and the one before
                                the last: previous.weights.h5
        broken_batch.npz        where there is one: the batch that ended the run
        events/                 for TensorBoard
        all/                    where train_on=all: checkpoints/ and history.csv of
                                the training on the targets of all splits
        copies/                 where the model is trained in two stages: rec/ and
                                search/, the second one, of which each is a run that
                                starts from this one's best epoch
        full/                   metrics.json and ranks/ of the test targets against the
                                whole catalogue
        saved_model/1/          the best epoch's model, or that of all/, to be served
        .lock                   locked by the process that trains

    Args:
        path: The folder.
    """

    def __init__(self, path: Any) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.flags = self.path / "flags.txt"
        self.history = self.path / "history.csv"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.weights.h5"
        self.last = self.checkpoints / "last.weights.h5"
        self.previous = self.checkpoints / "previous.weights.h5"
        self.events = self.path / "events"
        self.all = self.path / "all"
        self.copies = self.path / "copies"
        self.full = self.path / "full"
        self._lock = self.path / ".lock"
        self.saved_model = self.path / "saved_model" / "1"

    def broken_batch(self, worker: int = 0) -> Path:
        """The file of a worker's share of the batch that ended the run."""
        return self.path / f"broken_batch{f'.{worker}' if worker else ''}.npz"

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint that training goes on from."""
        return self.last.is_file() or self.previous.is_file()

    def require_free(self) -> None:
        """Raises RunDirectoryError where the folder already holds anything.

        What a start that was killed leaves does not count.
        """
        if self.path.is_file():
            raise RunDirectoryError(f"run_dir={self.path} is a file; name a folder")
        if self.path.is_dir() and any(map(self._is_of_a_run, self.path.iterdir())):
            raise RunDirectoryError(
                f"run_dir={self.path} already holds a run; resume it, or name another "
                "folder"
            )

    def _is_of_a_run(self, path: Path) -> bool:
        return path != self._lock and not is_partial(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training or evaluating in the folder.

        A process that ends in any way leaves the folder unlocked. Where a network file
        system knows no locks, the first attempt to take one is an error.

        Raises:
            RunDirectoryError: Another process works in the folder.
            WriteError: The folder cannot be written or locked.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise WriteError(
                f"{self.path} cannot be written: {error.strerror}; {ADVICE}"
            ) from error
        try:
            if not _try_lock(descriptor, self._lock):
                raise RunDirectoryError(
                    f"run_dir={self.path}: another process works in this folder; "
                    "wait for its end, or name another folder"
                )
            yield
        finally:
            os.close(descriptor)

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
                f"run_dir={self.path} holds a run of an older version of sar_tf, "
                f"which wrote no {self.config.name}; use that version, or train again "
                "in another folder"
            )
        raise RunDirectoryError(
            f"run_dir={self.path} holds no run ({self.config.name} is missing); "
            "train one first"
        )

    def start(self, config: RunConfig) -> None:
        """Makes the folder and keeps the settings of the run in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        remove_partial(self.path)
        # First of all: a folder without it is free for another run.
        write_text(self.config, config.to_json())
        self.checkpoints.mkdir(exist_ok=True)
        remove_partial(self.checkpoints)

    def metrics(self, other: str = "") -> Path:
        """metrics.json; that of another dataset where its folder's name is given."""
        return self.path / f"metrics{other and f'.{other}'}.json"

    def write_metrics(self, metrics: Mapping[str, Any], other: str = "") -> None:
        """Writes `metrics(other)`."""
        write_text(self.metrics(other), json.dumps(metrics, indent=2) + "\n")

    def ranks(self, other: str = "") -> Path:
        """ranks/; that of another dataset where its folder's name is given."""
        return self.path / f"ranks{other and f'.{other}'}"

    def write_ranks(
        self, split: str, ranks: Mapping[str, Any], other: str = ""
    ) -> None:
        """Writes <split>.npz into `ranks(other)`."""
        folder = self.ranks(other)
        folder.mkdir(exist_ok=True)
        remove_partial(folder)
        with whole_file(folder / f"{split}.npz") as beside, open(beside, "wb") as file:
            np.savez_compressed(file, **ranks)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        return try_lock(descriptor)
    except OSError as error:
        raise WriteError(
            f"{path} cannot be locked: {error.strerror}; name a run_dir on a file "
            "system that has locks"
        ) from error
