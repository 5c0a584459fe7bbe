"""A retrieval head: two vectors whose product finds candidates for a ranking model."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.masking import MASKED_LOGIT


@keras.saving.register_keras_serializable("sar_tf")
class RetrievalHead(layers.Layer):
    """Vectors of targets and of items.

    `u = W_u concat(x_1, x_2, …) + b_u` for a target, `v = W_v e + b_v` for an item, and
    `<u, v>` is high where the user clicks the item.

    Args:
        units: width U of both vectors.
        num_items: highest item id.
        tasks: tasks, each with a layer for its targets and the popularity of its items.

    Call arguments:
        parts: list of `(B, D)`, of what is known about the targets.
        task: the targets' task.

    Returns:
        `(B, U)`.
    """

    def __init__(
        self, units: int, num_items: int, tasks: Sequence[str], **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.num_items = num_items
        self.tasks = tuple(tasks)
        self.target_dense = {task: self._dense(f"{task}_dense") for task in self.tasks}
        self.item_dense = self._dense("item_dense")
        # Logarithm of the share of each item among the training targets.
        self.log_shares = {
            task: self.add_weight(
                name=f"{task}_log_share",
                shape=(num_items + 1,),
                initializer="zeros",
                dtype="float32",
                trainable=False,
            )
            for task in self.tasks
        }

    def _dense(self, name):
        return layers.Dense(self.units, name=name, dtype=self.dtype_policy)

    def build(self, parts_shape):
        # The first call of each dense layer builds it: tasks differ in their parts.
        self.built = True

    def set_popularity(self, popularity: dict[str, Any]) -> None:
        """Sets the popularity of items: `{task: (num_items + 1,) training targets}`.

        An item without a target counts as if it had one.
        """
        for task in self.tasks:
            counts = ops.maximum(ops.cast(popularity[task], "float32"), 1.0)
            self.log_shares[task].assign(ops.log(counts / ops.sum(counts)))

    def call(self, parts: Sequence[Any], task: str) -> Any:
        return self.target_dense[task](ops.concatenate(list(parts), axis=-1))

    def item_vectors(self, items: Any) -> Any:
        """Vectors of encoded items: `(..., D) -> (..., U)`."""
        return self.item_dense(items)

    def loss(
        self, task: str, targets: Any, positives: Any, items: Any, is_target: Any
    ) -> tuple[Any, Any]:
        """In-batch sampled softmax: the positives of a batch are its negatives.

            L_b = -log(exp(l_bb) / sum_j exp(l_bj)),  l_bj = <u_b, v_j> - log p(j)

        p(j) is the share of item j among the training targets, the probability of
        drawing it as a negative. A row whose item is the one of row b, too, is no
        negative of b.

        Args:
            task: The targets' task.
            targets: `(B, U)`, vectors u.
            positives: `(B, U)`, vectors v of the clicked items.
            items: int `(B,)`, the clicked items; a row of item 0 has no loss.
            is_target: bool `(B,)`, false in rows that are no targets.

        Returns:
            float32 `(B,)` values and weights.

        Reference:
            [Yi et al., 2019](https://doi.org/10.1145/3298689.3346996)
        """
        targets, positives = (ops.cast(x, "float32") for x in (targets, positives))
        counts = ops.logical_and(ops.cast(is_target, "bool"), items > 0)
        logits = ops.matmul(targets, ops.transpose(positives))
        logits = logits - ops.take(self.log_shares[task], items, axis=0)[None, :]
        is_own = ops.eye(ops.shape(items)[0], dtype="bool")
        is_same = ops.equal(items[:, None], items[None, :])
        is_hit = ops.logical_and(is_same, ops.logical_not(is_own))
        is_left_out = ops.logical_or(is_hit, ops.logical_not(counts)[None, :])
        # The row's own logit stays, so that a row without loss is finite.
        is_left_out = ops.logical_and(is_left_out, ops.logical_not(is_own))
        logits = ops.where(is_left_out, MASKED_LOGIT, logits)
        own = ops.sum(ops.where(is_own, logits, 0.0), axis=1)
        return ops.logsumexp(logits, axis=1) - own, ops.cast(counts, "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_items": self.num_items,
            "tasks": self.tasks,
        }
