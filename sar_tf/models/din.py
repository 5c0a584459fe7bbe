"""DIN: each candidate weighs the recommendation history by its relevance to itself."""

from typing import Literal

from sar_tf.layers.activation_unit import ActivationUnit
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.network_head import NetworkHeadModel
from sar_tf.models.registry import register
from sar_tf.settings import Size, Sizes


@register("din")
class DIN(NetworkHeadModel):
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
        self.activation_unit = ActivationUnit(
            attention_units, attention_activation, normalize, name="activation_unit"
        )
        self.add_head(prediction_units, use_user, embedding_dim, hidden_dim)

    def encode_history(self, history, training):
        items = history["rec_items"]
        return {"items": self.encode_items(items), "mask": items > 0}

    def see(self, encoded, candidates, mask, training):
        """`[u ; v ; u * v]`: `(B, C, 3 D)`."""
        u = self.activation_unit(encoded["items"], candidates, mask, training=training)
        return [u, candidates, u * candidates]
