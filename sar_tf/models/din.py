"""DIN: each candidate weighs the recommendation history by its relevance to itself."""

from typing import Literal

from keras import layers, ops

from sar_tf.layers.activation_unit import ActivationUnit
from sar_tf.layers.dice import Dice
from sar_tf.layers.embeddings import FeatureEncoder
from sar_tf.models.base import Model
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.registry import register
from sar_tf.settings import Size, Sizes


@register("din")
class DIN(Model):
    """DIN, for recommendation.

        u(v) = sum_j a(v, h_j) h_j                   v = e(candidate)
        logit = MLP([u ; v ; u * v])                 hidden layers with Dice

    The candidate is seen early: the history is read once a candidate. The authors'
    L2 of the rows that a batch looks up is left out.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width D of an item's vector.
        attention_units: Hidden layers of the network that weighs the history.
        attention_activation: Its activation. Statistics of `dice` are those of the
            targets whose histories are read together.
        normalize: Whether the weights are taken as they are, divided by sqrt(D), or
            by their softmax over the history.
        prediction_units: Hidden layers of the network that scores a candidate.
        use_user: Whether that network sees the user's vector too.
        item_encoder: What an item's vector is made of, its id and features or its id.

    Reference:
        [Zhou et al., 2018](https://arxiv.org/abs/1706.06978)
    """

    tasks = ("rec",)
    needs: tuple[str, ...] = ("rec_items",)

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        attention_units: Sizes = (80, 40),
        attention_activation: Literal["sigmoid", "dice"] = "sigmoid",
        normalize: Literal["none", "scale", "softmax"] = "none",
        prediction_units: Sizes = (200, 80),
        use_user: bool = False,
        item_encoder: ItemEncoder = "features",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        if use_user:
            self.needs += ("user",)
            self.user_encoder = FeatureEncoder(
                self.spec.num_users,
                self.spec.user_features,
                embedding_dim,
                hidden_dim,
                name="user_encoder",
            )
        self.activation_unit = ActivationUnit(
            attention_units, attention_activation, normalize, name="activation_unit"
        )
        self.head = [
            (_dense(units, f"head_{i}"), Dice(name=f"dice_{i}"))
            for i, units in enumerate(prediction_units)
        ]
        self.logit = _dense(1, "logit")

    def encode_history(self, history, training):
        items = history["rec_items"]
        return {"items": self.encode_items(items), "mask": items > 0}

    def read(self, task, encoded, target, training):
        """What the head sees of each candidate: `(B, C, 3 D)`, or 4 D with the user."""
        v, ids = target["candidates"], target["ids"]
        is_target = ids.get("is_target", ops.ones_like(v[:, 0, 0], dtype="bool"))
        mask = ops.logical_and(encoded["mask"], is_target[:, None])
        u = self.activation_unit(encoded["items"], v, mask, training=training)
        seen = [u, v, u * v]
        if "user" in target:
            seen.append(ops.broadcast_to(target["user"][:, None, :], ops.shape(v)))
        return {"seen": ops.concatenate(seen, axis=-1), "is_target": is_target}

    def logits(self, task, rows, training):
        x = rows["seen"]
        counted = ops.broadcast_to(rows["is_target"][:, None], ops.shape(x)[:2])
        for dense, dice in self.head:
            x = dice(dense(x), counted, training=training)
        return ops.squeeze(self.logit(x), axis=-1)


def _dense(units, name):
    return layers.Dense(units, kernel_initializer="glorot_normal", name=name)
