"""IV4Rec: the queries that led to an item tell which part of its vector is causal."""

from typing import Literal

from keras import ops

from sar_tf.layers.perceptron import Perceptron
from sar_tf.layers.projection import project_on_span
from sar_tf.models.encoders import ItemEncoder
from sar_tf.models.instruments import Base, InstrumentModel
from sar_tf.models.registry import register
from sar_tf.settings import Few, Rate, Size, Sizes


@register("iv4rec")
class IV4Rec(InstrumentModel):
    """IV4Rec over DIN or NRHUB, for recommendation.

        T = phi(I(v)),  T_fit = the projection of T on the span of z_1 .. z_N
        a = s(A([T ; z_1 ; ..])),  b = s(B([T ; z_1 ; ..])),  T_res = T - T_fit
        T' = a T + b T_fit                                       recombine = "released"
        T' = a T_res + b T_fit                                   recombine = "paper"

    for candidates and clicked recommendations, which the base then reads in place of
    I(v): DIN in the form of JSR, or NRHUB, whose other views stay. z_k are the queries
    after which users clicked the item most often in training, before the target. The
    projection is `project_on_span`; the original's queries and items are frozen vectors
    of texts, with a pseudo-inverse that is made once. The networks have tanh. In the
    original's code A and B have it behind the last layer too (`last_tanh`), so that a
    and b stay in (0.27, 0.73); whether that is meant, and which form of T' the
    published numbers have, is uncertain. The original's L2 of phi, A and B is that of
    all weights here. Over NRHUB it has one layer phi.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width D of an item's and of a query's vector.
        base: Which model reads the items.
        treatment_layers: Layers of phi.
        weight_units: Hidden layers of A and of B.
        dropout: Rate behind the layers of phi but the last.
        recombine: Which form T' has.
        last_tanh: Whether A and B have tanh behind the last layer.
        freeze_instruments: Whether z_k has no gradient.
        attention_units: Hidden layers of DIN's network that weighs the history.
        prediction_units: Hidden layers of DIN's network that scores a candidate.
        view_dim: Width of NRHUB's views, users and candidates, and the inner width of
            the attentions within the views; half of it is that over the views.
        item_encoder: What an item's vector is made of, its id and features or its id.

    Raises:
        ValueError: The dataset's queries have no words.

    Reference:
        [Si et al., 2022](https://doi.org/10.1145/3485447.3511951)
    """

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        base: Base = "din",
        treatment_layers: Few = 2,
        weight_units: Sizes = (512, 128, 32),
        dropout: Rate = 0.1,
        recombine: Literal["released", "paper"] = "released",
        last_tanh: bool = False,
        freeze_instruments: bool = False,
        attention_units: Sizes = (64, 16),
        prediction_units: Sizes = (200, 80),
        view_dim: Size = 200,
        item_encoder: ItemEncoder = "features",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.recombine = recombine
        self.freeze_instruments = freeze_instruments
        self.add_parts(
            base,
            embedding_dim,
            hidden_dim,
            attention_units,
            prediction_units,
            view_dim,
            item_encoder,
        )
        self.treatment = Perceptron(
            [hidden_dim] * treatment_layers, "tanh", "tanh", dropout, name="treatment"
        )
        last = "tanh" if last_tanh else None
        self.of_residual, self.of_fit = (
            Perceptron([*weight_units, 1], "tanh", last, name=name)
            for name in ("of_residual", "of_fit")
        )

    def rebuild(self, item, queries, training):
        if self.freeze_instruments:
            queries = ops.stop_gradient(queries)
        t = self.treatment(item, training=training)
        fit = project_on_span(t, queries)
        flat = ops.reshape(
            queries, (*ops.shape(item)[:-1], queries.shape[-2] * queries.shape[-1])
        )
        seen = ops.concatenate([t, flat], axis=-1)
        a, b = ops.sigmoid(self.of_residual(seen)), ops.sigmoid(self.of_fit(seen))
        return a * (t - fit if self.recombine == "paper" else t) + b * fit
