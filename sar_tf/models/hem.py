"""HEM: the query and the user, added up, ask for an item."""

from typing import Annotated

from keras import ops

from sar_tf.models.encoders import add_user_encoder
from sar_tf.models.registry import register
from sar_tf.models.search_model import SearchModel
from sar_tf.settings import Range, Weight


@register("hem")
class HEM(SearchModel):
    """HEM, for personalized search: users, items, queries and words in one space.

        M = lambda q + (1 - lambda) e(user), score = <M, e(candidate)>
        L = L_click + weight · (L_text(item) + L_text(user))

    The text losses let the positive predict the words of its text and the user those of
    their own: at each target its query, and the positive's caption where items have
    captions. Over an epoch these are the words of all training searches of the user,
    each of them once. In the original a step is one word of one review, so that a long
    review repeats the ranking term once a word; here a target has one ranking term, and
    words are averaged. A user that training has not seen is the zero vector, which
    leaves the query alone.

    Args:
        spec, tables, tasks, …: As `SearchModel`.
        query_weight: Weight lambda of the query; None learns it, from 0.5 on.
        text_weight: Weight of the losses by which items and users predict the words of
            their texts.

    Reference:
        [Ai et al., 2017](https://doi.org/10.1145/3077136.3080813)
    """

    needs = ("query_words", "user")

    def __init__(
        self,
        spec,
        tables=None,
        *,
        query_weight: Annotated[float, Range(0, 1)] | None = 0.5,
        text_weight: Weight = 1.0,
        **kwargs,
    ):
        super().__init__(spec, tables, text_weight=text_weight, **kwargs)
        add_user_encoder(self, self.encoder_kind, self.embedding_dim, self.hidden_dim)
        self.query_weight = query_weight
        if query_weight is None:
            # "bias" in its name exempts it from L2, which would pull it to 0.5.
            self.query_weight_bias = self.add_weight(
                name="query_weight_bias", shape=(), initializer="zeros"
            )
        if self.text_weight:
            self.loss_weights["user_text_loss"] = self.text_weight

    def intent(self, task, encoded, target, training):
        weight = self.query_weight
        if weight is None:
            weight = ops.cast(
                ops.sigmoid(self.query_weight_bias.value), target["query"].dtype
            )
        return weight * target["query"] + (1 - weight) * target["user"]

    def read(self, task, encoded, target, training):
        rows = super().read(task, encoded, target, training)
        return {**rows, "user": target["user"]} if training else rows

    def losses(self, task, rows, inputs):
        losses = super().losses(task, rows, inputs)
        if not self.text_weight:
            return losses
        words = inputs["query_words"]
        if self.spec.caption_length:
            words = ops.concatenate([words, inputs["item_words"]], axis=1)
        values, has_text = self.predict_words(rows["user"], words, inputs)
        is_known = ops.logical_and(has_text, inputs["user"] > 0)
        return {**losses, "user_text_loss": (values, is_known)}
