"""What every model shares: the data it is built for, its losses, its metrics.

A model takes a batch `{task: inputs}` and declares its tasks, the names and
weights of its losses, and how candidates are scored. Keras' own `fit` and
`evaluate` do the rest on any backend.
"""

import dataclasses
import inspect

import keras
from keras import ops

from sar_tf.layers import replicas
from sar_tf.layers.contrast import clicked_pairs, weighted_average


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Sizes of a dataset that a model's weights depend on.

    Every `num_…` is the highest dense id, so that its embedding table has
    one row more: row 0 stands for padding and for what is unknown.
    `user_features` and `item_features` map the name of a categorical feature
    to its highest id; `caption_length` is the number of caption words of an
    item (0: no captions).
    """

    num_users: int
    num_items: int
    num_words: int
    num_queries: int
    num_search_sources: int
    max_rec_history: int
    max_search_history: int
    max_query_words: int
    max_clicked_items: int
    user_features: dict = dataclasses.field(default_factory=dict)
    item_features: dict = dataclasses.field(default_factory=dict)
    caption_length: int = 0


class Model(keras.Model):
    """Base of all models: candidates scored for one or more tasks.

    A subclass sets `tasks` and implements

    - `forward(batch, training)`: for each task of the batch, the candidates'
      logits `(B, C)`, positive first, and a dict of the task's losses beside
      the click loss (empty unless training);
    - `set_feature_tables(tables)` where it looks features up.

    Its hyperparameters are the keyword-only arguments of its constructor.

    Args:
        data_spec: `DataSpec`, or a dict of its fields.
        loss_weights: weight of each loss in the total,
            `{task: {loss name: weight}}`.
        hyperparameters: the subclass' own arguments, for `get_config`.

    Call arguments:
        batch: `{task: inputs}`, as the input pipeline gives it.
        training: where true, the result is `{task: {loss name: scalar}}`;
            otherwise `{task: {"scores": (B, C), "click_loss": scalar}}`.

    With several replicas a loss is this replica's part of it: see
    `sar_tf.layers.replicas`.
    """

    tasks = ("rec", "search")

    def __init__(self, data_spec, loss_weights, hyperparameters, **kwargs):
        super().__init__(**kwargs)
        if isinstance(data_spec, dict):
            data_spec = DataSpec(**data_spec)
        self.data_spec = data_spec
        self.loss_weights = loss_weights
        self._hyperparameters = dict(hyperparameters)
        self._evaluating = False
        self.ranking_metrics = {}
        self.loss_trackers = {
            task: {
                name: keras.metrics.Mean(name=f"{task}_{name}")
                for name in loss_weights[task]
            }
            for task in self.tasks
        }

    @classmethod
    def hyperparameters(cls):
        """Names and defaults of the model's hyperparameters."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}

    def score(self, task, inputs):
        """Scores of a task's candidates after the sigmoid: `(B, C)`."""
        return self({task: inputs}, training=False)[task]["scores"]

    def losses_of(self, task, inputs):
        """The losses of a task's batch in training: `{loss name: scalar}`."""
        return self({task: inputs}, training=True)[task]

    def call(self, batch, training=False):
        batch = {task: batch[task] for task in self.tasks if task in batch}
        outputs = {}
        for task, (logits, losses) in self.forward(batch, training).items():
            logits = ops.cast(logits, "float32")
            is_target = batch[task].get("is_target")
            outputs[task] = {"click_loss": click_loss(logits, is_target), **losses}
            if not training:
                outputs[task]["scores"] = ops.sigmoid(logits)
        return outputs

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Weighted sum of the losses in `y_pred`; each is tracked by name."""
        total = 0.0
        for task, outputs in y_pred.items():
            for name, weight in self.loss_weights[task].items():
                if name in outputs:
                    value = ops.cast(outputs[name], "float32")
                    # The parts of all replicas, averaged, are to give the loss.
                    part = value * replicas.active().number
                    self.loss_trackers[task][name].update_state(part)
                    total += weight * value
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the ranking metrics where `y_pred` has scores; all results."""
        for task, outputs in y_pred.items():
            if "scores" in outputs and task in self.ranking_metrics:
                self.ranking_metrics[task].update_state(
                    outputs["scores"], x[task].get("is_target")
                )
        return self.get_metrics_result()

    def evaluate(self, *args, **kwargs):
        """As Keras'; its results have the ranking metrics, those of `fit` do not."""
        self._evaluating = True
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._evaluating = False

    def get_metrics_result(self):
        """The mean of each loss, of their weighted sum, and in evaluation the ranking.

        Keras' own mean of the total counts each replica's part by its rows.
        """
        results = {"loss": 0.0}
        for task, trackers in self.loss_trackers.items():
            for name, tracker in trackers.items():
                if name == "click_loss" or not self._evaluating:
                    mean = tracker.result()
                    results[tracker.name] = mean
                    results["loss"] += self.loss_weights[task][name] * mean
        if self._evaluating:
            for metric in self.ranking_metrics.values():
                results.update(metric.result())
        return results

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Done by build_on; Keras cannot do it with a batch spread over workers.
        pass

    def build_on(self, batch):
        """Creates all variables by one call on a batch of any size."""
        self.built = True  # else Keras traces the call once more, symbolically
        self(batch, training=True)
        return self

    def get_config(self):
        return {
            **super().get_config(),
            "data_spec": dataclasses.asdict(self.data_spec),
            **self._hyperparameters,
        }


def click_loss(logits, is_target=None):
    """Binary cross-entropy of a positive and its negatives (Eq. 10).

    Args:
        logits: `(B, C)`, the positive in column 0.
        is_target: bool `(B,)`, false for rows that only fill up a batch; None where
            there are none.

    Returns:
        The mean over all scores of targets; 0 where there are none.
    """
    logits = ops.cast(logits, "float32")
    positive, negatives = logits[:, :1], logits[:, 1:]
    costs = ops.concatenate([ops.softplus(-positive), ops.softplus(negatives)], axis=1)
    costs = ops.mean(costs, axis=1)
    return weighted_average(
        costs, ops.ones_like(costs) if is_target is None else is_target
    )


def encode_histories(batch, encode):
    """Encodes the histories of all tasks together: fewer and larger operations.

    Args:
        batch: `{task: inputs}`. Where the inputs have "history_rows", the first
            task's "history" has the histories of all; else each task has its own,
            one a row.
        encode: from the arrays of a group of histories to a structure of arrays
            `(H, ...)`.

    Returns:
        `{task: [encoded group, …]}`, the arrays `(B, ...)` for the group's rows.
    """
    encoded = {task: [] for task in batch}
    owned = [inputs["history"] for inputs in batch.values() if "history" in inputs]
    for place, parts in enumerate(zip(*owned, strict=True)):
        group = encode(_concatenate_rows(parts))
        start = 0
        for task, inputs in batch.items():
            if "history_rows" in inputs:
                rows = inputs["history_rows"][place]
                own = keras.tree.map_structure(
                    lambda x, rows=rows: ops.take(x, rows, axis=0), group
                )
            else:
                rows = num_rows(inputs["history"][place])
                own = _slice_rows(group, start, start + rows)
                start = start + rows
            encoded[task].append(own)
    return encoded


def num_rows(arrays):
    """Rows of a structure of arrays that have as many."""
    return ops.shape(keras.tree.flatten(arrays)[0])[0]


def split_rows(x, groups):
    """Cuts an array `(B, ...)` into the rows of each of several groups: a list."""
    parts, start = [], 0
    for group in groups:
        end = start + num_rows(group)
        parts.append(_slice_rows(x, start, end))
        start = end
    return parts


def _slice_rows(arrays, start, end):
    return keras.tree.map_structure(lambda x: x[start:end], arrays)


def _concatenate_rows(parts):
    if len(parts) == 1:
        return parts[0]
    return keras.tree.map_structure(lambda *x: ops.concatenate(x, axis=0), *parts)


def query_item_pairs(inputs, groups, encode_queries, encode_items):
    """Encoded (query, clicked item) pairs of a batch, for `QueryItemContrast`.

    Args:
        inputs: of a task. Where they have distinct "pairs" with counts, these are
            encoded; else every slot of the histories is a pair or masked out.
        groups: encoded groups, with "queries", "clicked" and "clicked_mask".
        encode_queries: from "pairs" to their queries' embeddings `(P, D)`.
        encode_items: from items `(P,)` to their embeddings.

    Returns:
        queries `(P, D)`, items `(P, D)`, weights `(P,)`.
    """
    if "pairs" in inputs:
        pairs = inputs["pairs"]
        return encode_queries(pairs), encode_items(pairs["items"]), pairs["counts"]
    return clicked_pairs(
        (group["queries"], group["clicked"], group["clicked_mask"]) for group in groups
    )


def pad_history(history, data_spec):
    """Widens a group of histories to their maximum with empty slots.

    Args:
        history: the arrays of one group, trimmed to its longest history.
        data_spec: `DataSpec`, which has the maxima.

    Returns:
        The same arrays at full width.
    """
    padded = {}
    for name, x in history.items():
        is_rec = name.startswith("rec_")
        length = data_spec.max_rec_history if is_rec else data_spec.max_search_history
        if x.shape[1] != length:
            shape = ops.shape(x)
            empty = ops.zeros((shape[0], length - shape[1], *shape[2:]), x.dtype)
            x = ops.concatenate([x, empty], axis=1)
            x = ops.reshape(x, (-1, length, *x.shape[2:]))
        padded[name] = x
    return padded


_MODELS = {}


def register(name):
    """Class decorator that makes a model known as `--model=name`."""

    def add(cls):
        _MODELS[name] = keras.saving.register_keras_serializable("sar_tf")(cls)
        return cls

    return add


def names():
    """Names of all registered models."""
    return sorted(_MODELS)


def get(name):
    """Class of the model of that name."""
    if name not in _MODELS:
        raise ValueError(f"no model is named {name!r}; there are {names()}")
    return _MODELS[name]
