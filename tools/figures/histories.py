"""What trained models make of users' histories."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from sar_tf.data.now import users_now
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.models import Model
from sar_tf.models.inputs import select
from sar_tf.needs import reads_history
from sar_tf.training.finished import load_run
from tools.results.collect import StudyError, collect

_USERS = 256  # Of a batch.


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        name: What a figure calls it.
        model: The model of the run's best epoch.
        data: The data of its run.
    """

    name: str
    model: Model
    data: BatchPipeline


def open_models(arguments: Sequence[str], split: str) -> Iterator[Trained]:
    """Opens a run of each method, that of the lowest seed.

    Args:
        arguments, split: As `tools.results.collect.collect`.

    Raises:
        StudyError, ConfigError, CheckpointError, DatasetError: A run cannot be opened.
    """
    for method in collect(arguments, split):
        run = method.runs[min(method.runs)]
        yield Trained(method.name, *load_run(run.path))


def encoded_users(trained: Trained) -> Iterator[tuple[dict[str, np.ndarray], Any]]:
    """The history of each user as of now, and what the model makes of it.

    Args:
        trained: The model.

    Yields:
        The histories' inputs `(users, ...)`, and the structure of arrays of the
        model's `encode_history`, of a batch of users in the order of the records.

    Raises:
        StudyError: The model reads no history.
        DatasetError: A shard is damaged.
    """
    model = trained.model
    if not reads_history(model.needs):
        raise StudyError(f"{trained.name}: {type(model).__name__} reads no history")
    for batch in users_now(trained.data, _USERS):
        inputs = select(batch, model.spec, model.needs, model.tasks)
        history = inputs["history"]
        encoded = model.encode_history(history, training=False)
        yield {name: ops.convert_to_numpy(x) for name, x in history.items()}, encoded


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of each row of two arrays, `(rows,)`; 0 where a vector is 0.

    Args:
        a, b: `(rows, D)`.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.sum(a * b, axis=1)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
