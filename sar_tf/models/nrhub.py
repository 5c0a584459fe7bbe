"""NRHUB: what a user clicked, asked for and found are three views of the user."""

from typing import Literal

from sar_tf.layers.embeddings import QueryEncoder
from sar_tf.layers.word_convolution import WordConvolution
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.original_losses import softmax_loss
from sar_tf.models.registry import register
from sar_tf.models.user_views import VIEWS_NEED, UserViews
from sar_tf.settings import Rate, Size


@register("nrhub")
class NRHUB(UserViews, DotProductModel):
    """NRHUB, for recommendation, with the search history as views of the user.

        g_k = attention_k(view k)      clicked recommendations, queries, clicked items
        z_k = tanh(W_u g_k + b_u),  user = attention(z_rec, z_query, z_clicked)
        score = <user, tanh(W_i e(candidate) + b_i)>

    The attentions are `AdditiveAttention`; empty slots and views that hold nothing have
    the weight 0, which the original does not mask, and a user without any history is
    the zero vector. The order of a history does not matter. The original's views are
    clicked news, queries and browsed pages, each read by a convolution over its text.
    Here vectors of items stand for news and pages, and the mean of its words for a
    query, which is what the authors of IV4Rec do where there are no texts.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width of an item's and of a query's vector.
        attention_units: Inner width of the attentions within the views.
        view_attention_units: Inner width of the attention over the views.
        view_dim: Width of a view's, the user's and a candidate's vector.
        item_encoder: What an item's vector is made of, its id and features or its id.
        text_encoder: How a query, and a caption, is read: by the mean of its words, or
            by the original's `WordConvolution`, whose memory grows with the
            words of a query: cut them with max_query_words.
        text_dropout: Rate in the convolution.
        original_loss: Whether the loss is the cross-entropy of the positive among the
            candidates, instead of the one that all models have.

    Reference:
        [Wu et al., 2019](https://doi.org/10.18653/v1/D19-1493)
    """

    tasks = ("rec",)
    needs = VIEWS_NEED

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        attention_units: Size = 200,
        view_attention_units: Size = 100,
        view_dim: Size = 200,
        item_encoder: ItemEncoder = "features",
        text_encoder: Literal["mean", "convolution"] = "mean",
        text_dropout: Rate = 0.2,
        original_loss: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.original_loss = original_loss
        sizes = (self.spec.num_words, embedding_dim, hidden_dim)
        if text_encoder == "mean":
            self.query_encoder = QueryEncoder(*sizes, name="query_encoder")
        else:
            self.query_encoder = WordConvolution(
                *sizes, attention_units, text_dropout, name="query_encoder"
            )
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        self.add_views(attention_units, view_attention_units, view_dim)

    def encode_history(self, history, training):
        """The user's vector `(H, K)`, and the weights of the views `(H, 3)`."""
        views = self.read_views(history)
        return self.pool_user(self.pool_views(views), views)

    def encode_candidates(self, items):
        return self.of_item(self.encode_items(items))

    def vector(self, task, encoded, target, training):
        return encoded["vector"]

    def main_loss(self, logits):
        if not self.original_loss:
            return super().main_loss(logits)
        return softmax_loss(logits)
