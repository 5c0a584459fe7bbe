"""Callbacks of `fit` for the end of each step and epoch."""

import dataclasses
import itertools
import math
import time

import keras
import numpy as np

from sar_tf.files import whole_file
from sar_tf.training import checkpoint

MONITOR = "val_NDCG@5"
_ASK_EVERY = 20  # Steps after which workers ask each other whether a checkpoint is due.


class TrainingError(RuntimeError):
    """Training cannot continue; the text says why and what to do."""


class MeanOverTasks(keras.callbacks.Callback):
    """Adds "val_NDCG@5", the mean over tasks, to the logs for the callbacks after it.

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

    state_names: tuple[str, ...] = ()

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


class LearningRate(keras.callbacks.Callback):
    """Adds "learning_rate", the rate of the next step, to the logs of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        rate = self.model.optimizer.learning_rate
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate))


class FiniteSteps(keras.callbacks.Callback):
    """Stops at the first step whose loss is not finite, and keeps its batch.

    The loss is the loss of all replicas and workers, so all stop at the same step. Each
    worker writes its share of the batch.

    It comes before `Checkpoints`, which calls `check_weights` before it saves them: the
    weights can become infinite or NaN in a step with a finite loss.

    The check of every step's loss costs nothing: `fit` already waits for the loss, for
    its progress and for TensorBoard.

    Args:
        pipeline: The `BatchPipeline`, which makes the batch again.
        run_dir: `RunDirectory`, which names the file of the batch.
        workers: `Workers`, which knows this worker's share of the records.
        start_step: Number of complete steps at the start of the first epoch.

    Attributes:
        step: Number of complete steps of the epoch.
    """

    def __init__(self, pipeline, run_dir, workers, start_step=0):
        super().__init__()
        self.workers = workers
        self.pipeline = pipeline
        self.run_dir = run_dir
        self.start_step = start_step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.step = self.start_step

    def on_train_batch_end(self, batch, logs=None):
        # Keras counts too far if steps_per_execution does not divide the steps.
        self.step = self.start_step + min(batch + 1, self.params["steps"])
        if not math.isfinite(logs["loss"]):
            self._stop(f"the loss is {logs['loss']}")

    def check_weights(self):
        """Raises TrainingError if a weight is not finite."""
        name = checkpoint.find_not_finite(self.model)
        if name is not None:
            self._stop(
                f"the loss is finite, but the weights {name} are not (a "
                "resumed run with checkpoint_minutes=0 finds the first such step)"
            )

    def _stop(self, what):
        last = self.run_dir.last
        kept = f", {last} was saved before it" if last.is_file() else ""
        raise TrainingError(
            f"step {self.step} of epoch {self.epoch + 1}: {what}; its batch is in "
            f"{self._write_batch()}{kept}; try a lower learning_rate in "
            "another run_dir"
        )

    def _write_batch(self):
        try:
            return self._write_share()
        finally:
            # The end of one worker ends the others too.
            self.workers.wait()

    def _write_share(self):
        pipeline = dataclasses.replace(self.pipeline, worker=self.workers.index)
        batches = pipeline.train_from(self.epoch, self.step - 1).as_numpy_iterator()
        # Each of this process' replicas has an element of the dataset.
        elements = list(itertools.islice(batches, pipeline.replicas_of_worker))
        batch = elements if len(elements) > 1 else elements[0]
        arrays = {
            "/".join(map(str, path)): array
            for path, array in keras.tree.flatten_with_path(batch)
        }
        path = self.run_dir.broken_batch(self.workers.index)
        with whole_file(path) as beside, open(beside, "wb") as file:
            np.savez(file, **arrays)
        return path


class Checkpoints(keras.callbacks.Callback):
    """Writes last.weights.h5 regularly and best.weights.h5 at the best epoch.

    It writes the last checkpoint at the end of an epoch, inside an epoch after
    `minutes`, and before the last step of an epoch: an interruption during validation
    loses only that step. The checkpoint before the last is previous.weights.h5.

    It comes after the callbacks whose states it saves. It restores the states when
    training begins, after these callbacks have reset themselves.

    Args:
        run_dir: `RunDirectory`, which names the files.
        workers: `Workers`; only the chief writes.
        minutes: Minimum time between two checkpoints inside an epoch, in minutes.
        steps_per_epoch: Number of steps of a whole epoch.
        finite_steps: `FiniteSteps`, which counts the steps.
        early_stopping: `EarlyStopping`, which knows the best epoch.
        stateful: {name: callback with get_state and set_state}.
        state: State of the checkpoint that training continues from, or None.

    Attributes:
        state: State of the last checkpoint.
    """

    def __init__(
        self,
        run_dir,
        workers,
        minutes,
        steps_per_epoch,
        finite_steps,
        early_stopping,
        stateful,
        state=None,
    ):
        super().__init__()
        self.run_dir = run_dir
        self.workers = workers
        self.minutes = minutes
        self.steps_per_epoch = steps_per_epoch
        self.finite_steps = finite_steps
        self.early_stopping = early_stopping
        self.stateful = stateful
        self.state = state

    def on_train_begin(self, logs=None):
        self.saved_at = time.monotonic()
        self.steps_to_ask = _ASK_EVERY
        if self.state is not None:
            for name, callback in self.stateful.items():
                callback.set_state(self.state["callbacks"][name])

    def on_epoch_begin(self, epoch, logs=None):
        # Keras has just set the metrics to zero.
        if self.finite_steps.step:
            variables = self.model.metrics_variables
            for variable, value in zip(variables, self.state["metrics"], strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch, logs=None):
        remaining = self.steps_per_epoch - self.finite_steps.step
        is_last_but_one = 0 < remaining <= self.model.steps_per_execution
        if is_last_but_one or (remaining and self._is_due()):
            metrics = [v.numpy().tolist() for v in self.model.metrics_variables]
            self._save(
                {
                    "epoch": self.finite_steps.epoch,
                    "epoch_step": self.finite_steps.step,
                    "metrics": metrics,
                }
            )

    def _is_due(self):
        """Whether a checkpoint is due; equal in all workers at the same step."""
        if not self.minutes:
            return True
        is_due = time.monotonic() - self.saved_at >= 60 * self.minutes
        if not self.workers.are_many:
            return is_due
        # The clocks of workers differ, and all must save at the same step: the metrics
        # are means over all. The question is a collective, too slow for each step.
        self.steps_to_ask -= self.model.steps_per_execution
        if self.steps_to_ask > 0:
            return False
        self.steps_to_ask = _ASK_EVERY
        return self.workers.any(is_due)

    def on_epoch_end(self, epoch, logs=None):
        is_best = self.early_stopping.best_epoch == epoch
        self._save({"epoch": epoch + 1, "epoch_step": 0}, is_best)

    def _save(self, progress, is_best=False):
        self.finite_steps.check_weights()
        self.state = {
            **progress,
            "step": int(self.model.optimizer.iterations.numpy()),
            "callbacks": {n: c.get_state() for n, c in self.stateful.items()},
        }
        self.saved_at = time.monotonic()
        if not self.workers.is_chief:
            return
        # The best checkpoint comes first. If the process is killed between the two,
        # training resumes at an earlier step and writes the same best one again.
        if is_best:
            checkpoint.save(self.run_dir.best, self.model, self.state)
        checkpoint.save(
            self.run_dir.last, self.model, self.state, previous=self.run_dir.previous
        )
