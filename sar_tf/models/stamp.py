"""STAMP: the mean of a history and its newest item together ask for the next one."""

from keras import layers, ops

from sar_tf.layers.masking import masked_mean
from sar_tf.layers.recency import newest
from sar_tf.models.dot_product import NO_NEGATIVE, DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.original_losses import refuse_large_catalogue, softmax_loss
from sar_tf.models.registry import register
from sar_tf.settings import Size


@register("stamp")
class STAMP(DotProductModel):
    """STAMP, for recommendation.

        m_s = mean_j h_j                        m_t = h_L, the newest item
        alpha_j = w_0 sigmoid(W_1 h_j + W_2 m_t + W_3 m_s + b_a)
        m_a = sum_j alpha_j h_j + m_s
        o = tanh(W_s m_a + b_s) * tanh(W_t m_t + b_t), score = <o, e(candidate)>

    The attention has no softmax: its weights may be negative. An item's place matters
    only if it is the newest one. An empty history has o = tanh(b_s) * tanh(b_t). The
    weights start as Xavier's do: with the small numbers of the original all scores
    would start at 0.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            item encoder's dense layer.
        hidden_dim: Width D of the model.
        add_mean: Whether m_a has the summand m_s.
        item_encoder: What an item's vector is made of, its id and features or its id.
        original_loss: Whether the loss is the cross-entropy of the positive among all
            items, instead of the one that all models have.
        sigmoid_scores: Whether that softmax is of the scores' sigmoids. It is not
            certain that the paper's is; a later implementation found it worse.

    Raises:
        ValueError: There are more items than a softmax over all of them can have.

    Reference:
        [Liu et al., 2018](https://doi.org/10.1145/3219819.3219950)
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
        add_mean: bool = True,
        item_encoder: ItemEncoder = "features",
        original_loss: bool = False,
        sigmoid_scores: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        self.add_mean = add_mean
        self.original_loss = original_loss
        self.sigmoid_scores = sigmoid_scores
        if original_loss:
            refuse_large_catalogue(self.spec)
        self.of_item = _dense(hidden_dim, "of_item", use_bias=False)
        self.of_newest = _dense(hidden_dim, "of_newest", use_bias=False)
        self.of_mean = _dense(hidden_dim, "of_mean")  # Its bias is b_a.
        self.weight = _dense(1, "weight", use_bias=False)
        self.session = _dense(hidden_dim, "session", activation="tanh")
        self.last = _dense(hidden_dim, "last", activation="tanh")

    def encode_history(self, history, training):
        """The vector o of each history: `(H, D)`."""
        mask = history["rec_items"] > 0
        items = self.encode_items(history["rec_items"])
        mean, last = masked_mean(items, mask, axis=-2), newest(items, mask)
        weights = self.attention(items, mean, last, mask)
        attended = ops.einsum("bn,bnd->bd", weights, items)
        if self.add_mean:
            attended = attended + mean
        return {"vector": self.session(attended) * self.last(last)}

    def attention(self, items, mean, last, mask):
        """alpha of each item: `(H, N)`, 0 in empty slots."""
        asked = ops.expand_dims(self.of_newest(last) + self.of_mean(mean), 1)
        hidden = ops.sigmoid(self.of_item(items) + asked)
        weights = ops.squeeze(self.weight(hidden), axis=-1)
        return weights * ops.cast(mask, weights.dtype)

    def vector(self, task, encoded, target, training):
        return encoded["vector"]

    def logits(self, task, rows, training):
        if not (training and self.original_loss):
            return super().logits(task, rows, training)
        items = ops.arange(1, self.spec.num_items + 1)
        return self.logits_among(rows, self.encode_candidates(items), items)

    def main_loss(self, logits):
        if not self.original_loss:
            return super().main_loss(logits)
        if self.sigmoid_scores:
            is_scored = logits > NO_NEGATIVE
            logits = ops.where(is_scored, ops.sigmoid(logits), logits)
        return softmax_loss(logits)


def _dense(units, name, **options):
    return layers.Dense(units, kernel_initializer="glorot_normal", name=name, **options)
