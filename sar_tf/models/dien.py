"""DIEN: the user's interest evolves, and each candidate follows its own part of it."""

from keras import layers, ops

from sar_tf.layers.activation_unit import ActivationUnit
from sar_tf.layers.augru import AUGRU
from sar_tf.layers.masking import masked_softmax
from sar_tf.layers.next_item import next_item_losses
from sar_tf.layers.perceptron import Perceptron
from sar_tf.layers.slices import in_slices
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.models.network_head import NetworkHeadModel
from sar_tf.models.registry import register
from sar_tf.settings import Size, Sizes, Weight


@register("dien")
class DIEN(NetworkHeadModel):
    """DIEN, for recommendation.

        s_1 … s_L = GRU(h_1 … h_L)                   the interest at each step
        a_t = softmax_t(s_t W v)                     v = e(candidate)
        g = AUGRU(s_1 … s_L; a_1 … a_L)
        logit = MLP([g ; v])                         hidden layers with Dice
        L = L_click + alpha L_aux
        L_aux = -mean_t [log sigmoid(<s_t, h_{t+1}>) + log(1 - sigmoid(<s_t, n_{t+1}>))]

    The auxiliary loss teaches the states to tell the next item from a drawn one n. It
    reads one sequence of each user in an epoch, the newest one: the histories of a
    user's targets overlap. An empty history has g = 0. With networks that sources have
    elsewhere, the attention and the product <s, h> are

        a_t = softmax_t(MLP([v ; s_t ; v - s_t ; v * s_t]) / sqrt(D))
        g(s_t, h) = MLP([s_t ; h])

    Which of them the authors' numbers have is not certain.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width D of an item's vector and of the states.
        prediction_units: Hidden layers of the network that scores a candidate.
        attention_units: Hidden layers, with sigmoid, of the network of the attention;
            none has the product s W v.
        auxiliary_weight: Weight alpha of the auxiliary loss.
        auxiliary_units: Hidden layers, with sigmoid, of the network of the auxiliary
            loss; none has the product.
        use_user: Whether the network sees the user's vector too.
        item_encoder: What an item's vector is made of, its id and features or its id.

    Reference:
        [Zhou et al., 2019](https://arxiv.org/abs/1809.03672)
    """

    tasks = ("rec",)
    needs: tuple[str, ...] = ("rec_items", "sequence_items", "sequence_negatives")

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        prediction_units: Sizes = (200, 80),
        attention_units: Sizes = (),
        auxiliary_weight: Weight = 1.0,
        auxiliary_units: Sizes = (),
        use_user: bool = False,
        item_encoder: ItemEncoder = "features",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        if auxiliary_weight:
            self.loss_weights["auxiliary_loss"] = auxiliary_weight
        else:
            self.needs = ("rec_items",)
        # Not cuDNN's: XLA cannot compile it.
        self.extractor = layers.GRU(
            hidden_dim, return_sequences=True, use_cudnn=False, name="extractor"
        )
        self.activation_unit = None
        if attention_units:
            self.activation_unit = ActivationUnit(
                attention_units, name="activation_unit"
            )
            self.activation_unit.build((None, None, hidden_dim))
        else:
            self.relevance = layers.Dense(
                hidden_dim,
                use_bias=False,
                kernel_initializer="glorot_normal",
                name="relevance",
            )
        self.evolution = AUGRU(hidden_dim, name="evolution")
        self.comparison = None
        if auxiliary_units:
            self.comparison = Perceptron(
                [*auxiliary_units, 1], "sigmoid", name="comparison"
            )
        self.add_head(prediction_units, use_user, embedding_dim, hidden_dim)

    def encode_history(self, history, training):
        """The states s `(H, N, D)`; those of empty slots mean nothing."""
        items = history["rec_items"]
        states = self.extractor(self.encode_items(items), training=training)
        return {"states": states, "mask": items > 0}

    def see(self, encoded, candidates, mask, training):
        """`[g ; v]`: `(B, C, 2 D)`."""
        attention = self.attention(encoded["states"], candidates, mask)
        return [self.evolution(encoded["states"], attention), candidates]

    def attention(self, states, candidates, mask):
        """a of each candidate: float32 `(B, C, N)`."""
        if self.activation_unit is None:
            asked = self.relevance(candidates)
            logits = ops.einsum("bcd,bnd->bcn", asked, states)
        else:
            logits = self._relevance_by_network(states, candidates, mask)
        return masked_softmax(ops.cast(logits, "float32"), mask[:, None, :])

    def _relevance_by_network(self, states, candidates, mask):
        def weigh(part):
            weights = self.activation_unit.weights_of(states, part, mask)
            return weights * states.shape[-1] ** -0.5

        return in_slices(weigh, candidates, self.activation_unit.slice_size)

    def losses(self, task, rows, inputs):
        if not self.loss_weights:
            return {}
        items = inputs["sequence_items"]
        vectors = self.encode_items(items)
        drawn = self.encode_items(inputs["sequence_negatives"])
        states = self.extractor(vectors, training=True)[:, :-1]
        if self.comparison is None:
            values = next_item_losses(states, vectors[:, 1:], drawn[:, 1:])
        else:
            to_next, to_drawn = (
                ops.cast(self.compare(states, x[:, 1:]), "float32")
                for x in (vectors, drawn)
            )
            values = ops.softplus(-to_next) + ops.softplus(to_drawn)
        return {"auxiliary_loss": (values, items[:, 1:] > 0)}

    def compare(self, states, items):
        """g(s, h) by the network: `(B, N)`."""
        pairs = ops.concatenate([states, items], axis=-1)
        return ops.squeeze(self.comparison(pairs), axis=-1)
