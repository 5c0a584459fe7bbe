"""What NRHUB makes of a user and of items, for all models that end with it."""

from collections.abc import Mapping
from typing import Any

from keras import layers, ops

from sar_tf.layers.additive_attention import AdditiveAttention
from sar_tf.models.base import Model

VIEWS = ("rec", "query", "clicked")
VIEWS_NEED = ("rec_items", "search_words", "search_mask", "clicked_items")


class UserViews(Model):
    """A model that pools what a user clicked, asked for and found.

        g_k = attention_k(view k),  z_k = tanh(W_u g_k + b_u)
        user = attention(z_rec, z_query, z_clicked)

    Empty slots and views that hold nothing have the weight 0; a user without any
    history is the zero vector. A subclass has an item encoder and a query encoder,
    needs `VIEWS_NEED`, and calls `add_views` in its constructor.
    """

    def add_views(
        self, attention_units: int, view_attention_units: int, view_dim: int
    ) -> None:
        """Makes the attentions and the dense layers of views and of candidates.

        Args:
            attention_units: Inner width of the attentions within the views.
            view_attention_units: Inner width of the attention over the views.
            view_dim: Width K of a view's, the user's and a candidate's vector.
        """
        self.attentions = {
            view: AdditiveAttention(attention_units, name=f"{view}_attention")
            for view in VIEWS
        }
        self.of_view = _dense(view_dim, "of_view")
        self.view_attention = AdditiveAttention(
            view_attention_units, name="view_attention"
        )
        self.of_item = _dense(view_dim, "of_item")

    def read_views(
        self, history: Mapping[str, Any], rec: Any = None
    ) -> dict[str, tuple[Any, Any]]:
        """Vectors `(H, N, D)` and mask `(H, N)` of each view.

        Args:
            history: The histories' arrays.
            rec: `(H, Nr, D)`, what stands for the vectors of clicked recommendations;
                None is these.
        """
        items, clicked = history["rec_items"], history["clicked_items"]
        size, slots, width = ops.shape(clicked)
        clicked = ops.reshape(clicked, (size, slots * width))
        return {
            "rec": (self.encode_items(items) if rec is None else rec, items > 0),
            "query": (
                self.encode_queries(history["search_words"]),
                history["search_mask"],
            ),
            "clicked": (self.encode_items(clicked), clicked > 0),
        }

    def pool_views(self, views: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
        """g_k `(H, D)` of each view; arguments as `read_views` returns them."""
        return {view: self.attentions[view](*read)[0] for view, read in views.items()}

    def pool_user(
        self, pooled: Mapping[str, Any], views: Mapping[str, tuple[Any, Any]]
    ) -> dict[str, Any]:
        """The user's "vector" `(H, K)`, and the "view_weights" `(H, 3)`.

        Args:
            pooled: g_k of each view.
            views: As `read_views` returns them.
        """
        is_there = ops.stack([ops.any(views[v][1], axis=1) for v in VIEWS], axis=1)
        z = self.of_view(ops.stack([pooled[view] for view in VIEWS], axis=1))
        user, weights = self.view_attention(z, is_there)
        return {"vector": user, "view_weights": weights}


def _dense(units, name):
    return layers.Dense(units, "tanh", kernel_initializer="glorot_normal", name=name)
