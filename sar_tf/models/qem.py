"""QEM: product search by query and item alone."""

from sar_tf.layers.embeddings import QueryEncoder
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.registry import register
from sar_tf.settings import Size


@register("qem")
class QEM(DotProductModel):
    """QEM, for search without personalization.

        q = tanh(W mean(word vectors) + b), score = <q, e(candidate)>

    The loss by which the original's items also predict the words of their texts, and
    its item bias, are left out.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of an item's id and features before the
            item encoder's dense layer.
        hidden_dim: Width D of words, queries and items.
        item_encoder: What an item's vector is made of, its id and features or its id.

    Reference:
        [Ai et al., 2019](https://doi.org/10.1145/3357384.3357980), who compare with it
    """

    tasks = ("search",)
    needs = ("query_words",)

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        item_encoder: ItemEncoder = "features",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.query_encoder = QueryEncoder(self.spec.num_words, hidden_dim, hidden_dim)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)

    def vector(self, task, encoded, target, training):
        return target["query"]
