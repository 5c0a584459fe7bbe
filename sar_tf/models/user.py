"""USER: search and recommendation over one mixed sequence of sessions."""

from typing import Literal

from keras import layers, ops

from sar_tf.layers.cosine import cosine
from sar_tf.layers.mixed_history import mix, sessions_by_number
from sar_tf.layers.set_encoder import SetEncoder
from sar_tf.layers.word_co_attention import WordCoAttention
from sar_tf.models.encoders import (
    ItemEncoder,
    add_item_encoder,
    add_query_encoder,
    add_user_encoder,
)
from sar_tf.models.fine_tuned import FineTuned
from sar_tf.models.inputs import MIXED_HISTORY, SESSIONS
from sar_tf.models.original_losses import softmax_loss
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size


@register("user")
class USER(FineTuned):
    """USER, for both tasks: recommendation is a search whose query is the user.

        behavior = e(item), or of a search the co-attention of the query's words and of
                   the clicked items, without clicks q
        H = SE(session) of each earlier session alone
        q_s = the last output of SE(SE([session ; q_0]))      q_0 = q, or e(user)
        q_l = the last output of HE([H ; q_s]),  v_l = that of HE([H ; e(candidate)])
        logit = w [cos(q_s, e) ; cos(q_s, v_l) ; cos(q_l, e) ; cos(q_l, v_l)] + b

    SE and HE are a transformer layer each, without positions; only the order of
    sessions counts. What they read where there is no history is q_0 alone and the
    candidate alone.

    A session ends where a user pauses for more than the dataset's `session_minutes`;
    the current one has what the user did in the target's own session before it, and may
    be empty. That needs real times: where those of a dataset are days or ranks,
    `sessions` "number" takes the newest `session_length` behaviors for the current one
    and cuts the others in such pieces. The pause of 30 minutes is uncertain.

    Other than the original, where no source settles it: a query is the mean of its
    words, and a word in the co-attention is a query of this word alone, of which the
    first `max_words` are read; the co-attention masks what is padded, and its kernel W
    is trained; there is no feature made by hand and no tanh before the sigmoid.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width D of the model.
        num_heads: Attention heads, a divisor of D.
        inner_units: Hidden layer of each transformer layer.
        dropout: Dropout rate of the transformer layers.
        sessions: What ends a session: a long pause, or a number of behaviors.
        session_length: Behaviors of a session, for `sessions` "number".
        max_words: Words of a query that the co-attention reads.
        item_encoder: What an item's and a user's vector is made of, id and features or
            the id.
        original_loss: Whether the loss is the cross-entropy of the positive among the
            candidates, instead of the one that all models have.

    Raises:
        ValueError: The dataset's queries have no words.

    Reference:
        [Yao et al., 2021](https://doi.org/10.1145/3459637.3482489)
    """

    tasks = ("rec", "search")
    needs: tuple[str, ...] = MIXED_HISTORY

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        num_heads: Few = 2,
        inner_units: Size = 256,
        dropout: Rate = 0.1,
        sessions: Literal["pauses", "number"] = "pauses",
        session_length: Size = 10,
        max_words: Size = 10,
        item_encoder: ItemEncoder = "features",
        original_loss: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.original_loss = original_loss
        self.sessions = sessions
        self.session_length = session_length
        if sessions == "pauses":
            self.needs += SESSIONS
        self.max_words = max_words
        add_query_encoder(self, embedding_dim, hidden_dim)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        if "rec" in self.tasks:
            self.needs += ("user",)
            add_user_encoder(self, item_encoder, embedding_dim, hidden_dim)
        if "search" in self.tasks:
            self.needs += ("query_words",)
        self.co_attention = WordCoAttention(name="co_attention")
        self.session_encoder, self.history_encoder = (
            SetEncoder(num_heads, inner_units, dropout, name=f"{name}_encoder")
            for name in ("session", "history")
        )
        self.score_dense = layers.Dense(1, name="score_dense")

    def encode_searches(self, history):
        """The vectors of searches: `(H, Ns, D)`."""
        words, clicked = history["search_words"], history["clicked_items"]
        first = words[..., : self.max_words]
        found = self.co_attention(
            self.encode_queries(first[..., None]),
            self.encode_items(clicked),
            first > 0,
            clicked > 0,
        )
        has_clicks = ops.any(clicked > 0, axis=-1, keepdims=True)
        return ops.where(has_clicks, found, self.encode_queries(words))

    def encode_history(self, history, training):
        """The behaviors of the current session, and the outputs H of earlier ones."""
        items = history["rec_items"]
        x = mix(self.encode_items(items), self.encode_searches(history))
        mask = mix(items > 0, history["search_mask"])
        session = self._sessions(history, mask)
        is_same = session[:, :, None] == session[:, None, :]
        outputs = self.session_encoder(
            x, x, ops.logical_and(is_same, mask[:, None, :]), training=training
        )
        return {
            "behaviors": x,
            "is_current": ops.logical_and(mask, session == 0),
            "outputs": outputs,
            "is_earlier": ops.logical_and(mask, session > 0),
        }

    def _sessions(self, history, mask):
        """The session of each slot: int `(H, Nr + Ns)`, 0 of the current one."""
        if self.sessions == "pauses":
            return mix(history["rec_sessions"], history["search_sessions"])
        positions = mix(history["rec_positions"], history["search_positions"])
        return sessions_by_number(positions, mask, self.session_length)

    def read(self, task, encoded, target, training):
        asked = target["query" if task == "search" else "user"][:, None, :]
        x = mix(encoded["behaviors"], asked)
        mask = ops.pad(encoded["is_current"], ((0, 0), (0, 1)), constant_values=True)
        x = self.session_encoder(x, x, mask, training=training)
        q_s = self.session_encoder(x[:, -1:], x, mask, training=training)

        def encode_alone(vectors):
            return self.history_encoder(
                vectors,
                encoded["outputs"],
                encoded["is_earlier"],
                joins=True,
                training=training,
            )

        v = target["candidates"]
        q_l, v_l = encode_alone(q_s), encode_alone(v)
        pairs = [(q_s, v), (q_s, v_l), (q_l, v), (q_l, v_l)]
        return ops.stack([cosine(one, other) for one, other in pairs], axis=-1)

    def logits(self, task, rows, training):
        return ops.squeeze(self.score_dense(rows), axis=-1)

    def main_loss(self, logits):
        if not self.original_loss:
            return super().main_loss(logits)
        return softmax_loss(logits)
