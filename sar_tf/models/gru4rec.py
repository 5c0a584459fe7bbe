"""GRU4Rec: the last state of a GRU over the history asks for the next item."""

from typing import Literal

from keras import layers, ops

from sar_tf.layers.dropout import Dropout
from sar_tf.layers.recency import newest
from sar_tf.models.dot_product import NO_NEGATIVE, DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size


@register("gru4rec")
class GRU4Rec(DotProductModel):
    """GRU4Rec, for recommendation.

        s_1 … s_L = GRU(Dropout(h_1 … h_L))
        o = W_o s_L + b_o, score = <o, e(candidate)>

    The GRU is Keras': its update gate keeps the old state, and its reset gate acts
    after the product with the recurrent kernel. Histories are padded at their end. An
    empty history has o = b_o. The original reads one-hot items and has another table of
    items to score; here items have one vector. Its losses are, of scores r,

        bpr = -mean_j log sigmoid(r_i - r_j)
        top1 = mean_j [sigmoid(r_j - r_i) + sigmoid(r_j^2)]

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            item encoder's dense layer.
        hidden_dim: Width D of an item's vector.
        gru_units: Width of the states.
        num_layers: GRUs on top of each other.
        dropout: Dropout rate of the items.
        item_encoder: What an item's vector is made of, its id and features or its id.
        original_loss: Whether the loss compares the positive i with those j of the
            batch's other rows that differ from it, instead of the one that all models
            have.
        pairwise_loss: What that loss is, "bpr" or "top1"; which one the published
            numbers have is not certain.

    Reference:
        [Hidasi et al., 2016](https://arxiv.org/abs/1511.06939)
    """

    tasks = ("rec",)
    needs = ("rec_items",)

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        gru_units: Size = 64,
        num_layers: Few = 1,
        dropout: Rate = 0.1,
        item_encoder: ItemEncoder = "features",
        original_loss: bool = False,
        pairwise_loss: Literal["bpr", "top1"] = "bpr",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        self.original_loss = original_loss
        self.is_top1 = pairwise_loss == "top1"
        self.dropout = Dropout(dropout)
        # Not cuDNN's: XLA cannot compile it.
        self.grus = [
            layers.GRU(
                gru_units, return_sequences=True, use_cudnn=False, name=f"gru_{i}"
            )
            for i in range(num_layers)
        ]
        self.output_dense = layers.Dense(
            hidden_dim, kernel_initializer="glorot_normal", name="output"
        )

    def encode_history(self, history, training):
        """The vector o of each history: `(H, D)`."""
        items = history["rec_items"]
        x = self.dropout(self.encode_items(items), training=training)
        for gru in self.grus:
            x = gru(x, training=training)
        return {"vector": self.output_dense(newest(x, items > 0))}

    def vector(self, task, encoded, target, training):
        return encoded["vector"]

    def logits(self, task, rows, training):
        if not (training and self.original_loss):
            return super().logits(task, rows, training)
        return self.logits_among_positives(rows)

    def main_loss(self, logits):
        if not self.original_loss:
            return super().main_loss(logits)
        positive, negatives = logits[:, :1], logits[:, 1:]
        is_negative = ops.cast(negatives > NO_NEGATIVE, "float32")
        costs = ops.softplus(negatives - positive)
        if self.is_top1:
            negatives = negatives * is_negative
            costs = ops.sigmoid(negatives - positive) + ops.sigmoid(negatives**2)
            costs = costs * is_negative
        number = ops.sum(is_negative, axis=1)
        return ops.sum(costs, axis=1) / ops.maximum(number, 1.0)
