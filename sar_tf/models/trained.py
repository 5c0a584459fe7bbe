"""What makes a model an ordinary Keras model: losses, metrics, fit, predict, saving."""

import dataclasses
from typing import Any

import keras
from keras import ops

from sar_tf.layers import replicas
from sar_tf.layers.feature_encoder import FeatureEncoder
from sar_tf.layers.id_tables import IdTables
from sar_tf.metrics.ranking import RankingMetrics
from sar_tf.models.complete import Complete
from sar_tf.models.reduction import mean_of_terms
from sar_tf.needs import check_needs
from sar_tf.settings import Setting, argument_texts, keyword_settings
from sar_tf.spec import DataSpec, empty_batch

MAIN_LOSS = "click_loss"
TABLES_IN_FILE = "tables come from a file"


class TrainedModel(keras.Model, metaclass=Complete):
    """Losses that are reduced in one place, ranking metrics, and Keras' own methods.

    `sar_tf.models.Model` adds what the losses and scores are computed from.
    """

    # Whether training has the main loss; evaluation always does.
    trains_main_loss = True

    @classmethod
    def hyperparameters(cls) -> dict[str, Setting]:
        """The keyword-only arguments of the constructor, by name."""
        settings = {}
        for parent in reversed(cls.__mro__):
            if issubclass(parent, TrainedModel) and "__init__" in vars(parent):
                texts = argument_texts(parent.__doc__)
                settings.update(keyword_settings(parent.__init__, texts))
        return settings

    @property
    def has_static_shapes(self) -> bool:
        """Whether no shape may depend on what a batch holds, as XLA compiles it."""
        is_jax = keras.backend.backend() == "jax"
        return is_jax or bool(self.compiled and self.jit_compile)

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
        tables, self._tables = self._tables, TABLES_IN_FILE
        self.built = True  # else Keras traces the call once more, symbolically
        self._make_weights()
        if tables is not TABLES_IN_FILE:
            self._set_tables(tables)
        self._tables = None

    def _make_weights(self):
        empty = empty_batch(self.spec, self.tasks, self.needs)
        self(empty, training=True)
        if not self.trains_main_loss:
            self(empty, training=False)  # Training may leave out what scores need.

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Weighted sum of the losses in `y_pred`; each is tracked by name."""
        total = 0.0
        for task, outputs in y_pred.items():
            for name, terms in outputs["losses"].items():
                loss, weight = mean_of_terms(terms)
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

        "loss" is the weighted sum of all losses, which training has; "click_loss" that
        of the main ones.
        """
        names = set() if self._evaluating else set(self.loss_weights)
        totals = {} if self._evaluating else {"loss": 0.0}
        if self._evaluating or self.trains_main_loss:
            names.add(MAIN_LOSS)
            totals[MAIN_LOSS] = 0.0
        results = {}
        for task, trackers in self.loss_trackers.items():
            for name in (name for name in trackers if name in names):
                results[trackers[name].name] = mean = trackers[name].result()
                for total in totals:
                    if total in ("loss", name):
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
        self.run_group = self._run_group
        is_graph = keras.backend.backend() == "tensorflow" and not run_eagerly
        # Replicas' variables differ, and a traced function holds one replica's.
        is_alone = is_graph and self.distribute_strategy.num_replicas_in_sync == 1
        if is_alone and not jit_compile:
            # Here because the model needs no TensorFlow on another backend.
            from sar_tf.tracing import trace_once

            self.run_group = trace_once(self._run_group)

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

    def make_train_function(self, force: bool = False) -> Any:
        """As Keras', which `fit` and `train_on_batch` call before the first step."""
        if keras.backend.backend() == "tensorflow":
            # Else the first step makes the optimizer's variables and is traced twice.
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As Keras'; its results have the ranking metrics, those of `fit` do not.

        Args:
            x: A batch, or a dataset of batches such as `data.test()`.
            args, kwargs: As Keras'.
        """
        self._evaluating = True
        try:
            x, kwargs = _whole_batch(x, kwargs)
            return super().evaluate(x, *args, **kwargs)
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
        x, kwargs = _whole_batch(x, kwargs)
        for task, outputs in super().predict(x, *args, **kwargs).items():
            ((_, is_target),) = outputs["losses"][MAIN_LOSS]
            scores[task] = outputs["scores"][is_target.astype(bool)]
        return scores

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spec": dataclasses.asdict(self.spec),
            **self._hyperparameters,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "TrainedModel":
        """A model whose weights and feature tables are still to be loaded."""
        config = {**config, "spec": DataSpec(**config["spec"])}
        return cls(**config, tables=TABLES_IN_FILE)

    def set_weights(self, weights: list) -> None:
        """As Keras'; the feature tables are among the weights."""
        super().set_weights(weights)
        for layer in self._layers_with_tables().values():
            layer.has_tables = True

    def _layers_with_tables(self):
        """By the key of their tables in the constructor's `tables`."""
        found = {"user": self.user_encoder, "item": self.item_encoder}
        found["training"] = self.training_tables
        return {
            owner: layer
            for owner, layer in found.items()
            if isinstance(layer, (FeatureEncoder, IdTables)) and layer.built
        }

    def _set_tables(self, tables):
        for owner, layer in self._layers_with_tables().items():
            if layer.has_tables:
                continue
            if tables is None or owner not in tables:
                raise ValueError(
                    f"{type(self).__name__} needs the feature tables of this dataset: "
                    f"pass tables=data.tables (features of {owner}: "
                    f"{', '.join(layer.tables)})"
                )
            layer.set_tables(tables[owner])

    def _require_tables(self):
        if self._tables is TABLES_IN_FILE:  # being built
            return
        for owner, layer in self._layers_with_tables().items():
            if not layer.has_tables:
                raise ValueError(
                    f"{type(self).__name__} has no feature tables of {owner}: load "
                    "its weights first, or pass tables=data.tables to the constructor"
                )

    def get_build_config(self) -> None:
        return None  # The constructor builds.

    def build_from_config(self, config: Any) -> None:
        pass

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass  # Keras cannot do it with a batch spread over workers.


def _whole_batch(x, options):
    """Data and options of a Keras method; Keras would cut a single batch into rows."""
    if not isinstance(x, dict):
        return x, options
    return (batch for batch in [(x,)]), {**options, "steps": 1}
