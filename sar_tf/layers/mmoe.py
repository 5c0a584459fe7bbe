"""Multi-gate mixture of experts, and the networks that score candidates."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.composite import Composite
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.products import times


@keras.saving.register_keras_serializable("sar_tf")
class MixtureOfExperts(layers.Layer):
    """Mixes task-specific and shared experts, with one gate for each task (Eq. 9).

    `mix_t = sum_o g_o(X) o(X)` over the task's own and the shared experts,
    with `g = softmax(W_t X + b_t)` and `o(X) = Dropout(ReLU(W_o X + b_o))`.

    The input X concatenates the candidate's part and a context that does not
    depend on the candidate. The context's share of the first layer is computed
    once for each target, not for each candidate.

    The gate has a bias, as in the official code; Eq. 9 has none. With
    `head="paper"` each expert ends in one linear unit, its score, and the layer
    mixes the scores, as in Eq. 9. With `head="reference"` it mixes the experts'
    hidden vectors, and a prediction network scores the mix.

    Args:
        tasks: names of the tasks.
        num_task_experts: number of experts of each task.
        num_shared_experts: number of experts that all tasks share.
        units: width of an expert.
        dropout: rate on the experts' hidden vectors.
        head: "reference" or "paper".

    Call arguments:
        task: name of the task.
        candidates: `(B, C, Dc)`, or `(1, C, Dc)` for the same candidates in all rows.
        context: `(B, Dx)`; X is `concat(candidates, context)`.
        views: more parts of X, before the others: pairs of weights `(B, C, N)` and
            values `(B, N, Dv)`, whose product stands for a part `(B, C, Dv)`. The
            weights of a candidate sum to 1.

    Returns:
        `(B, C, units)`, or `(B, C, 1)` for `head="paper"`.

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811), after
        [Ma et al., 2018](https://doi.org/10.1145/3219819.3220007)
    """

    def __init__(
        self,
        tasks: Sequence[str],
        num_task_experts: int = 4,
        num_shared_experts: int = 4,
        units: int = 64,
        dropout: float = 0.0,
        head: str = "reference",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if head not in ("reference", "paper"):
            raise ValueError(f"head must be 'reference' or 'paper', not {head!r}")
        self.tasks = tuple(tasks)
        self.num_task_experts = num_task_experts
        self.num_shared_experts = num_shared_experts
        self.units = units
        self.dropout_rate = dropout
        self.head = head
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, candidates_shape, context_shape, views_shape=()):
        width = candidates_shape[-1] + context_shape[-1]
        width += sum(values[-1] for _, values in views_shape)
        num_experts = self.num_task_experts + self.num_shared_experts
        self.shared = self._experts("shared", self.num_shared_experts, width)
        self.task_experts = {
            task: self._experts(task, self.num_task_experts, width)
            for task in self.tasks
        }
        self.gates = {
            task: (
                self._kernel(f"{task}_gate_kernel", (width, num_experts)),
                self._bias(f"{task}_gate_bias", num_experts),
            )
            for task in self.tasks
        }

    def _kernel(self, name, shape, initializer="glorot_normal"):
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def _bias(self, name, units):
        return self.add_weight(name=name, shape=(units,), initializer="zeros")

    def _experts(self, name, count, width):
        """Weights of `count` experts side by side; each is initialised on its own."""
        one = (2.0 / (width + self.units)) ** 0.5
        normal = keras.initializers.RandomNormal(stddev=one)
        weights = {
            "kernel": self._kernel(
                f"{name}_kernel", (width, count * self.units), normal
            ),
            "bias": self._bias(f"{name}_bias", count * self.units),
        }
        if self.head == "paper":
            weights["score_kernel"] = self._kernel(
                f"{name}_score_kernel", (count, self.units)
            )
            weights["score_bias"] = self._bias(f"{name}_score_bias", count)
        return weights

    def call(
        self,
        candidates: Any,
        context: Any,
        views: Sequence[tuple[Any, Any]] = (),
        *,
        task: str,
        training: bool | None = None,
    ) -> Any:
        own = self.task_experts[task]
        kernel = ops.concatenate([own["kernel"], self.shared["kernel"]], axis=1)
        bias = ops.concatenate([own["bias"], self.shared["bias"]], axis=0)
        hidden = ops.relu(_first_layer(candidates, context, views, kernel, bias))
        experts = self.dropout(hidden, training=training)
        shape = ops.shape(experts)
        num_experts = self.num_task_experts + self.num_shared_experts
        experts = ops.reshape(experts, (shape[0], shape[1], num_experts, self.units))
        gates = _first_layer(candidates, context, views, *self.gates[task])
        gates = ops.softmax(ops.cast(gates, "float32"), axis=-1)
        gates = ops.cast(gates, experts.dtype)
        if self.head == "paper":
            experts = self._score(experts, own)
        return ops.squeeze(ops.matmul(gates[..., None, :], experts), axis=-2)

    def _score(self, experts, own):
        kernel = ops.concatenate(
            [own["score_kernel"], self.shared["score_kernel"]], axis=0
        )
        bias = ops.concatenate([own["score_bias"], self.shared["score_bias"]], axis=0)
        return ops.sum(experts * kernel, axis=-1, keepdims=True) + bias[:, None]

    def compute_output_shape(
        self, candidates_shape, context_shape, views_shape=(), task=None
    ):
        return (*candidates_shape[:-1], 1 if self.head == "paper" else self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "num_task_experts": self.num_task_experts,
            "num_shared_experts": self.num_shared_experts,
            "units": self.units,
            "dropout": self.dropout_rate,
            "head": self.head,
        }


def _first_layer(candidates, context, views, kernel, bias):
    """`concat(views, candidates, context) kernel + bias`: `(B, C, units)`."""
    values = []
    for _, of_slots in views:
        width = of_slots.shape[-1]
        values.append(times(of_slots, kernel[:width]))
        kernel = kernel[width:]
    width = candidates.shape[-1]
    of_candidates = times(candidates, kernel[:width])
    of_context = times(context, kernel[width:], bias)[:, None, :]
    if not views:
        return of_candidates + of_context
    # Weights sum to 1: what is added to each value of a view is added to the view.
    values[0] = values[0] + of_context
    weights = ops.concatenate([weights for weights, _ in views], axis=2)
    return ops.matmul(weights, ops.concatenate(values, axis=1)) + of_candidates


@keras.saving.register_keras_serializable("sar_tf")
class PredictionNetwork(Composite):
    """Dense layers with ReLU and dropout, then one linear unit: a logit.

    Args:
        units: widths of the hidden layers.
        dropout: rate after each hidden layer.

    Call arguments:
        x: `(B, C, D)`.

    Returns:
        Logits `(B, C)`, without the sigmoid.
    """

    def __init__(self, units: Sequence[int], dropout: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units = tuple(units)
        self.dropout_rate = dropout
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.hidden = [
            self._dense(size, f"dense_{i}", activation="relu")
            for i, size in enumerate(self.units)
        ]
        self.logit = self._dense(1, "logit")

    def build(self, x_shape):
        width = x_shape[-1]
        for dense in self.hidden:
            dense.build((None, width))
            width = dense.units
        self.logit.build((None, width))

    def call(self, x: Any, training: bool | None = None) -> Any:
        shape = ops.shape(x)
        # TensorFlow fuses product, bias and ReLU of inputs of rank 2.
        x = ops.reshape(x, (-1, x.shape[-1]))
        for dense in self.hidden:
            x = self.dropout(dense(x), training=training)
        return ops.reshape(self.logit(x), shape[:-1])

    def compute_output_shape(self, x_shape):
        return x_shape[:-1]

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "dropout": self.dropout_rate,
        }
