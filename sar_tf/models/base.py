"""What every model shares: a model's author writes the model and nothing else."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from sar_tf.layers import replicas
from sar_tf.metrics.ranking import RankingMetrics
from sar_tf.models import groups
from sar_tf.settings import Setting, argument_texts, keyword_settings
from sar_tf.spec import DataSpec, check_needs, empty_batch, inputs_of, reads_history

MAIN_LOSS = "click_loss"
_TABLES_IN_FILE = "tables come from a file"


class _Complete(type(keras.Model)):
    """Makes a model's constructor check its arguments first and build it last."""

    def __call__(cls, *args, **kwargs):
        settings = cls.hyperparameters()
        values = {name: setting.default for name, setting in settings.items()}
        for name in settings.keys() & kwargs.keys():
            values[name] = kwargs[name] = settings[name].check(kwargs[name])
        with _dtype_policy(kwargs.get("dtype")):
            model = super().__call__(*args, **kwargs)
            model._complete(values)
        return model


@contextlib.contextmanager
def _dtype_policy(policy):
    """Layers that are made inside have the policy; None changes nothing."""
    before = keras.config.dtype_policy()
    if policy is not None:
        keras.config.set_dtype_policy(keras.dtype_policies.get(policy))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class Model(keras.Model, metaclass=_Complete):
    """Base of all models: candidates scored for one or more tasks.

    A subclass names the inputs that it `needs` (see `sar_tf.spec.INPUTS`), makes its
    layers in the constructor (`item_encoder`, and where it has them `user_encoder` and
    `query_encoder`), and implements

    - `encode_history`: what depends on the history alone,
    - `read`: what depends on the target too,
    - `logits`: the candidates' scores, of a whole batch in training,
    - `losses`, where it has more than the main one, with `loss_weights`.

    Its hyperparameters are the keyword-only arguments of its constructor; their types
    and ranges are in the signature, their meanings in the docstring. The model has all
    weights, its feature tables and its ranking metrics when the constructor returns.

    Args:
        spec: Sizes of the dataset, a `DataSpec` or a dict of its fields.
        tables: The features of users and items, as `data.tables` has them:
            `{"user": {feature: (num_users + 1,)}, "item": …}`.
        tasks: Tasks that the model is trained for; all that it can do by default.

    Call arguments:
        batch: As `sar_tf.spec` describes it.
        training: Whether losses are computed, and no scores.

    Returns:
        `{task: {"losses": {name: ((values, weights), …)}}}`; without training also
        "scores" `(B, C)`, the probabilities of a click, and no other loss than the
        main one.

    Raises:
        ValueError: A hyperparameter is out of range, or the dataset has features and
            there are no tables.
    """

    tasks: tuple[str, ...] = ("rec", "search")
    needs: tuple[str, ...] = ()
    registered_name: str | None = None
    # Whether histories may be cut to the length of the longest one of their group.
    trims_history = True

    def __init__(
        self,
        spec: DataSpec | Mapping[str, Any],
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        tasks: tuple[str, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        # The counts of a batch stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.spec = DataSpec(**spec) if isinstance(spec, Mapping) else spec
        self.tasks = _chosen_tasks(type(self), tasks)
        self.item_encoder = self.user_encoder = self.query_encoder = None
        self.loss_weights: dict[str, float] = {}
        self.task_weights = dict.fromkeys(self.tasks, 1.0)
        self._tables = tables
        self._evaluating = False

    @classmethod
    def hyperparameters(cls) -> dict[str, Setting]:
        """The keyword-only arguments of the constructor, by name."""
        settings = {}
        for parent in reversed(cls.__mro__):
            if issubclass(parent, Model) and "__init__" in vars(parent):
                texts = argument_texts(parent.__doc__)
                settings.update(keyword_settings(parent.__init__, texts))
        return settings

    # ------------------------------------------------------------ a model's hooks

    def encode_history(self, history: dict[str, Any], training: bool) -> Any:
        """What depends on the histories alone; runs once a distinct history.

        Args:
            history: The histories' arrays `(H, ...)`.
            training: Whether dropout is applied.

        Returns:
            A structure of arrays `(H, ...)`.
        """
        return {}

    def read(
        self, task: str, encoded: Any, target: dict[str, Any], training: bool
    ) -> Any:
        """What depends on the target too.

        Args:
            task: The targets' task.
            encoded: What `encode_history` returned, of each target's history: arrays
                `(B, ...)`.
            target: "candidates" `(B, C, D)`; "user" and "query" `(B, D)` where the
                model has these encoders and needs the inputs; "ids", the inputs.
            training: Whether dropout is applied.

        Returns:
            A structure of arrays `(B, ...)`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method read")

    def logits(self, task: str, rows: Any, training: bool) -> Any:
        """Scores of the candidates before the sigmoid, `(B, C)`.

        In training it sees the rows of the whole batch, so that batch statistics
        belong here.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method logits")

    def losses(self, task: str, rows: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """The losses beside the main one, of those in `loss_weights`.

        Args:
            task: The targets' task.
            rows: What `read` returned, of the whole batch.
            inputs: The task's inputs, rows in the same order.

        Returns:
            `{name: (values, weights)}`: the loss is the mean of the values by their
            weights, over all replicas. A list of such pairs adds up their means.
        """
        return {}

    def main_loss(self, logits: Any) -> Any:
        """Loss of each target, `(B,)`: binary cross-entropy, mean of the candidates.

        Args:
            logits: float32 `(B, C)`, the positive first.
        """
        positive, negatives = logits[:, :1], logits[:, 1:]
        costs = [ops.softplus(-positive), ops.softplus(negatives)]
        return ops.mean(ops.concatenate(costs, axis=1), axis=1)

    # ------------------------------------------------------------ shared encoders

    def encode_items(self, items: Any) -> Any:
        """Embeddings of items: `(...) -> (..., D)`."""
        if self.item_encoder.caption_length:
            return self.item_encoder(items, encode_caption=self.query_encoder)
        return self.item_encoder(items)

    def encode_queries(self, words: Any, queries: Any = None) -> Any:
        """Embeddings of queries by words `(..., W)` and, if it takes them, ids."""
        if self.query_encoder.query_dim:
            return self.query_encoder(words, queries)
        return self.query_encoder(words)

    def encode_target(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The vectors of the targets' candidates, users and queries, for `read`."""
        target = {"candidates": self.encode_items(inputs["candidates"])}
        if self.user_encoder is not None and "user" in inputs:
            target["user"] = self.user_encoder(inputs["user"])
        if "query_words" in inputs:
            target["query"] = self.encode_queries(
                inputs["query_words"], inputs.get("query")
            )
        return target

    # ------------------------------------------------------------ scores and losses

    def score(self, task: str, batch: dict[str, Any]) -> Any:
        """Scores of a task's candidates after the sigmoid: `(B, C)`."""
        return self(_of_task(task, batch), training=False)[task]["scores"]

    def losses_of(self, task: str, batch: dict[str, Any]) -> dict[str, Any]:
        """The losses of a task's batch in training: `{loss name: scalar}`."""
        outputs = self(_of_task(task, batch), training=True)[task]
        return {name: _mean(terms)[0] for name, terms in outputs["losses"].items()}

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        self._require_tables()
        batch = self._select(batch)
        history = batch.pop("history", None)
        cut = [groups.Group(0, None, None)]
        if history is not None:
            cut = groups.cut_histories(history, self.trims_history)
        rows = {t: groups.sort_rows(x["history_row"], cut) for t, x in batch.items()}
        batch = {task: rows[task].sort(inputs) for task, inputs in batch.items()}
        targets = {task: self.encode_target(inputs) for task, inputs in batch.items()}
        parts: dict[str, list] = {task: [] for task in batch}
        for index, group in enumerate(cut):
            places = {task: rows[task].cuts[index] for task in batch}
            found = self.run_group(
                group.history,
                {
                    t: groups.slice_rows(rows[t].history_row, places[t]) - group.start
                    for t in batch
                },
                {t: groups.slice_rows(targets[t], places[t]) for t in batch},
                {t: groups.slice_rows(_row_inputs(batch[t]), places[t]) for t in batch},
                training,
            )
            for task, part in found.items():
                parts[task].append(part)
        return {
            task: self._outputs(
                task,
                groups.concatenate_rows(parts[task]),
                inputs,
                rows[task],
                training,
            )
            for task, inputs in batch.items()
        }

    def run_group(self, history, history_row, targets, inputs, training):
        """A group's targets: what `read` gives in training, else their logits."""
        encoded = None
        if history is not None:
            encoded = self.encode_history(history, training)
        found = {}
        for task, target in targets.items():
            own = groups.take_rows(encoded, history_row[task]) if encoded else {}
            target = {**target, "ids": inputs[task]}
            found[task] = self.read(task, own, target, training)
            if not training:
                found[task] = self.logits(task, found[task], training)
        return found

    def _select(self, batch):
        """The parts of a batch that the model reads."""
        selected = {}
        if reads_history(self.needs):
            wanted = inputs_of(("history", "groups"), self.needs)
            selected["history"] = _pick(batch["history"], wanted)
        for task in self.tasks:
            if task in batch:
                wanted = inputs_of(("row", "draw"), self.needs, task)
                selected[task] = _pick(batch[task], wanted)
        return selected

    def _outputs(self, task, found, inputs, rows, training):
        logits = self.logits(task, found, training) if training else found
        logits = ops.cast(logits, "float32")
        values = self.main_loss(logits)
        weights = inputs.get("is_target", None)
        if weights is None:
            weights = ops.ones_like(values)
        if not training:
            outputs = rows.restore((ops.sigmoid(logits), values, weights))
            scores, *main = outputs
            return {"scores": scores, "losses": {MAIN_LOSS: (tuple(main),)}}
        losses = {MAIN_LOSS: ((values, weights),)}
        for name, terms in self.losses(task, found, inputs).items():
            losses[name] = (terms,) if isinstance(terms, tuple) else tuple(terms)
        return {"losses": losses}

    # ------------------------------------------------------------ Keras' hooks

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Weighted sum of the losses in `y_pred`; each is tracked by name."""
        total = 0.0
        for task, outputs in y_pred.items():
            for name, terms in outputs["losses"].items():
                loss, weight = _mean(terms)
                # The parts of all replicas, averaged, are to give the loss. A step
                # without rows of the task has none.
                self.loss_trackers[task][name].update_state(
                    loss * replicas.active().number, ops.cast(weight > 0, "float32")
                )
                total += self._weight(task, name) * loss
        return total

    def _weight(self, task, name):
        own = 1.0 if name == MAIN_LOSS else self.loss_weights[name]
        return self.task_weights[task] * own

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the ranking metrics where `y_pred` has scores; all results."""
        for task, outputs in y_pred.items():
            if "scores" in outputs:
                ((_, is_target),) = outputs["losses"][MAIN_LOSS]
                self.ranking_metrics[task].update_state(
                    outputs["scores"], ops.cast(is_target, "bool")
                )
        return self.get_metrics_result()

    def get_metrics_result(self):
        """The mean of each loss, in evaluation of the main one, and the ranking.

        "loss" is the weighted sum of all losses; "click_loss" that of the main ones,
        which evaluation has too.
        """
        results, totals = {}, {MAIN_LOSS: 0.0}
        if not self._evaluating:
            totals = {"loss": 0.0, **totals}
        for task, trackers in self.loss_trackers.items():
            for name, tracker in trackers.items():
                if name != MAIN_LOSS and self._evaluating:
                    continue
                results[tracker.name] = mean = tracker.result()
                for total in totals:
                    if total == "loss" or name == MAIN_LOSS:
                        totals[total] += self._weight(task, name) * mean
        if self._evaluating:
            for metric in self.ranking_metrics.values():
                results.update(metric.result())
        return {**totals, **results}

    def compile(
        self,
        optimizer: Any = "adam",
        *,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        **unsupported: Any,
    ) -> None:
        """As Keras', without losses and metrics, which the model brings along.

        Args:
            optimizer: Any Keras optimizer, or its name.
            run_eagerly, steps_per_execution: As Keras'.
            jit_compile: Whether XLA compiles the steps, for which the batches' shapes
                must be static (one history group); "auto" is on JAX only.

        Raises:
            ValueError: A loss or metrics are given.
        """
        for name, value in unsupported.items():
            if name == "auto_scale_loss":
                continue
            if value is not None:
                raise ValueError(
                    f"compile({name}=…) is not supported: the model has its own "
                    "losses and metrics; override main_loss to change the loss"
                )
        if jit_compile == "auto":
            jit_compile = keras.backend.backend() == "jax"
        super().compile(
            optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
        )

    def get_compile_config(self) -> dict[str, Any] | None:
        if not self.compiled:
            return None
        return {
            "optimizer": keras.optimizers.serialize(self.optimizer),
            "steps_per_execution": self.steps_per_execution,
            "jit_compile": self.jit_compile,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        optimizer = keras.optimizers.deserialize(config["optimizer"])
        self.compile(**{**config, "optimizer": optimizer})
        self.optimizer.build(self.trainable_variables)

    def fit(self, *args: Any, shuffle: bool = False, **kwargs: Any) -> Any:
        """As Keras', for datasets that shuffle themselves."""
        return super().fit(*args, shuffle=shuffle, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As Keras'; its results have the ranking metrics, those of `fit` do not."""
        self._evaluating = True
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._evaluating = False

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Scores of all targets, in the records' order.

        Args:
            x: A batch, or a dataset of batches such as `data.test()`.
            args, kwargs: As Keras'.

        Returns:
            `{task: (targets, C)}`.
        """
        scores = {}
        for task, outputs in super().predict(x, *args, **kwargs).items():
            ((_, is_target),) = outputs["losses"][MAIN_LOSS]
            scores[task] = outputs["scores"][is_target.astype(bool)]
        return scores

    # ------------------------------------------------------------ building, saving

    def _complete(self, hyperparameters):
        """Builds the model; the constructor's last step."""
        self._hyperparameters = hyperparameters
        self.needs = check_needs(self.needs)
        self.ranking_metrics = {t: RankingMetrics(name=t) for t in self.tasks}
        self.loss_trackers = {
            task: {
                name: keras.metrics.Mean(name=f"{task}_{name}")
                for name in (MAIN_LOSS, *self.loss_weights)
            }
            for task in self.tasks
        }
        tables, self._tables = self._tables, _TABLES_IN_FILE
        self.built = True  # else Keras traces the call once more, symbolically
        self(empty_batch(self.spec, self.tasks, self.needs), training=True)
        if tables is not _TABLES_IN_FILE:
            self._set_tables(tables)
        self._tables = None

    def _feature_encoders(self):
        encoders = {"user": self.user_encoder, "item": self.item_encoder}
        return {k: v for k, v in encoders.items() if v is not None and v.built}

    def _set_tables(self, tables):
        for owner, encoder in self._feature_encoders().items():
            if encoder.has_tables:
                continue
            if tables is None:
                raise ValueError(
                    f"{type(self).__name__} needs the feature tables of this dataset: "
                    f"pass tables=data.tables (features of {owner}: "
                    f"{', '.join(encoder.tables)})"
                )
            encoder.set_tables(tables[owner])

    def _require_tables(self):
        if self._tables is _TABLES_IN_FILE:  # being built
            return
        for owner, encoder in self._feature_encoders().items():
            if not encoder.has_tables:
                raise ValueError(
                    f"{type(self).__name__} has no feature tables of {owner}: load "
                    "its weights first, or pass tables=data.tables to the constructor"
                )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spec": dataclasses.asdict(self.spec),
            **self._hyperparameters,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Model":
        """A model whose weights and feature tables are still to be loaded."""
        return cls(**config, tables=_TABLES_IN_FILE)

    def get_build_config(self) -> None:
        return None  # The constructor builds.

    def build_from_config(self, config: Any) -> None:
        pass

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass  # Keras cannot do it with a batch spread over workers.


def _mean(terms):
    """Sum of the weighted means of a loss's terms, and the sum of all weights.

    With several replicas a mean is over the rows of all, and the result is this
    replica's part of it: see `sar_tf.layers.replicas`.
    """
    loss, total_weight = 0.0, 0.0
    for values, weights in terms:
        values = ops.cast(values, "float32")
        weights = ops.cast(weights, "float32")
        weight = replicas.active().sum(ops.sum(weights))
        loss += ops.sum(values * weights) / ops.maximum(weight, 1.0)
        total_weight += weight
    return loss, total_weight


def _chosen_tasks(cls, tasks):
    if tasks is None:
        return cls.tasks
    unknown = sorted(set(tasks) - set(cls.tasks))
    if unknown or not tasks:
        raise ValueError(
            f"tasks must be of {', '.join(cls.tasks)} for {cls.__name__}, "
            f"not {', '.join(tasks) or 'none'}"
        )
    return tuple(task for task in cls.tasks if task in tasks)


def _of_task(task, batch):
    return {name: batch[name] for name in ("history", task) if name in batch}


def _pick(arrays, wanted):
    return {entry.name: arrays[entry.name] for entry in wanted if entry.name in arrays}


def _row_inputs(inputs):
    return {name: x for name, x in inputs.items() if groups.INPUTS[name].part == "row"}
