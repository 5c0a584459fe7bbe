"""What happens at the end of each epoch of `fit`."""

import csv
import math
import os
from pathlib import Path

import keras

from sar_tf.training import checkpoint

MONITOR = "val_NDCG@5"


class TrainingError(RuntimeError):
    """Training cannot go on; says why and what to do."""


class MeanOverTasks(keras.callbacks.Callback):
    """Adds "val_NDCG@5", the tasks' mean, to the logs of the callbacks after it.

    Args:
        tasks: The tasks whose "val_<task>_NDCG@5" count.
    """

    def __init__(self, tasks):
        super().__init__()
        self.tasks = tuple(tasks)

    def on_epoch_end(self, epoch, logs=None):
        values = [logs[f"val_{task}_NDCG@5"] for task in self.tasks]
        logs[MONITOR] = sum(values) / len(values)


class _Watching:
    """Makes a Keras callback watch "val_NDCG@5", with a state to save and restore."""

    state_names = ()

    def __init__(self, **kwargs):
        super().__init__(monitor=MONITOR, mode="max", **kwargs)

    def get_state(self):
        return {name: getattr(self, name) for name in self.state_names}

    def set_state(self, state):
        for name in self.state_names:
            setattr(self, name, state[name])


class ReduceLROnPlateau(_Watching, keras.callbacks.ReduceLROnPlateau):
    """Keras' callback on "val_NDCG@5", with a state to save and restore."""

    state_names = ("best", "wait", "cooldown_counter")


class EarlyStopping(_Watching, keras.callbacks.EarlyStopping):
    """Keras' callback on "val_NDCG@5", with a state to save and restore."""

    state_names = ("best", "wait", "best_epoch")

    def get_state(self):
        return {**super().get_state(), "stopped": bool(self.model.stop_training)}


class HistoryCsv(keras.callbacks.Callback):
    """Writes every epoch's logs into history.csv, whole or not at all.

    The file is complete after a resumed run too: the rows of the epochs before it are
    kept, those of epochs that are trained again are not.

    Args:
        path: The file.
        initial_epoch: Number of epochs that the checkpoint has behind it.
    """

    def __init__(self, path, initial_epoch):
        super().__init__()
        self.path = Path(path)
        self.rows = []
        if initial_epoch and self.path.is_file():
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            self.rows = [row for row in rows if int(row["epoch"]) <= initial_epoch]

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **logs})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        beside = self.path.with_name(f".partial-{self.path.name}")
        with open(beside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)


class Checkpoints(keras.callbacks.Callback):
    """Writes last.weights.h5 each epoch and best.weights.h5 at the best one so far.

    It comes after the callbacks whose states it saves, and restores them when training
    begins, after they have reset themselves.

    Args:
        folder: Where the files go.
        early_stopping: `EarlyStopping`, which tells the best epoch.
        stateful: {name: callback with get_state and set_state}.
        restored: The state of the checkpoint that training goes on from, or None.
    """

    def __init__(self, folder, early_stopping, stateful, restored=None):
        super().__init__()
        self.folder = Path(folder)
        self.early_stopping = early_stopping
        self.stateful = stateful
        self.restored = restored

    def on_train_begin(self, logs=None):
        if self.restored is not None:
            for name, callback in self.stateful.items():
                callback.set_state(self.restored["callbacks"][name])

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss of epoch {epoch + 1} is {logs['loss']}; the checkpoint of "
                "the epoch before is kept; try a lower --learning_rate"
            )
        state = {
            "epoch": epoch + 1,
            "step": int(self.model.optimizer.iterations),
            "callbacks": {n: c.get_state() for n, c in self.stateful.items()},
        }
        # The best one first: killed between the two, training resumes with the epoch
        # before this one and writes the same best checkpoint again.
        if self.early_stopping.best_epoch == epoch:
            checkpoint.save(self.folder / "best.weights.h5", self.model, state)
        checkpoint.save(self.folder / "last.weights.h5", self.model, state)
