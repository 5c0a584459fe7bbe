"""IV4Rec+: a trained network predicts vectors of items, or of users, from queries."""

from typing import Literal

from keras import ops

from sar_tf.layers.masking import masked_mean
from sar_tf.layers.perceptron import Perceptron
from sar_tf.layers.user_instrument import UserInstrument
from sar_tf.models.encoders import ItemEncoder
from sar_tf.models.instruments import Base, InstrumentModel
from sar_tf.models.registry import register
from sar_tf.models.training_tables import require_of_training
from sar_tf.settings import Few, Rate, Size, Sizes, Weight


@register("iv4rec_plus")
class IV4RecPlus(InstrumentModel):
    """IV4Rec+ over DIN or NRHUB, for recommendation.

        T_fit = F(z),  g = s(G([T_fit ; T])),  T' = g T_fit + (1 - g) T

    for T = I(v) of candidates and z, the mean vector of the queries after which users
    clicked the item most often in training, before the target. With `rebuilds` "items",
    IV4Rec+(I), so are the clicked recommendations, and the base pools T' of them. With
    "users", IV4Rec+(UI), it pools I(v) of them: DIN for T' of the candidate, NRHUB as
    its view. The pooled vector p is then rebuilt as `g_u p_fit + (1 - g_u) p` by a
    network F_u of `UserInstrument`, which reads the history's queries, over DIN for the
    candidate.

        loss = click loss + lambda_1 |p_fit - p|^2 + lambda_2 |T_fit - T|^2

    with means over the widths and no gradient to T and p; lambda_1 is of the clicked
    items with "items". What has no query keeps its T or p, and is not in the losses.
    The original's T is a linear map of a text's vector, and its queries are frozen.
    Uncertain: the hidden layers of G, which have ReLU here; whether (UI) pools for T'
    or for T of a candidate; which of NRHUB's views is p. The original has over DIN for
    (UI) no hidden layers and both lambda 0.9; over NRHUB one of 256 in F, none in G,
    and for (UI) 512, 256 and 128 and both lambda 0.1. Its L2 has no effect.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width D of an item's and of a query's vector.
        base: Which model reads the items.
        rebuilds: Whether clicked items or the pooled vector are rebuilt.
        fit_units: Hidden layers of F, with ReLU, and of F_u.
        gate_units: Hidden layers of G, and of G_u.
        dropout: Rate behind the hidden layers of F and F_u.
        num_heads: Heads of the attention between the history's queries, a divisor of D.
        history_fit_weight: Weight lambda_1.
        item_fit_weight: Weight lambda_2.
        attention_units: Hidden layers of DIN's network that weighs the history.
        prediction_units: Hidden layers of DIN's network that scores a candidate.
        view_dim: As IV4Rec's.
        item_encoder: What an item's vector is made of, its id and features or its id.

    Raises:
        ValueError: The dataset's queries have no words.

    Reference:
        [Si et al., 2023](https://doi.org/10.1145/3582425)
    """

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        base: Base = "din",
        rebuilds: Literal["items", "users"] = "items",
        fit_units: Sizes = (128,),
        gate_units: Sizes = (64, 16, 4),
        dropout: Rate = 0.1,
        num_heads: Few = 8,
        history_fit_weight: Weight = 0.01,
        item_fit_weight: Weight = 0.01,
        attention_units: Sizes = (64, 16),
        prediction_units: Sizes = (200, 80),
        view_dim: Size = 200,
        item_encoder: ItemEncoder = "features",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.rebuilds = rebuilds
        self.loss_weights = {
            "history_fit_loss": history_fit_weight,
            "item_fit_loss": item_fit_weight,
        }
        self.add_parts(
            base,
            embedding_dim,
            hidden_dim,
            attention_units,
            prediction_units,
            view_dim,
            item_encoder,
        )

        def networks(name):
            return (
                Perceptron(
                    [*fit_units, hidden_dim], dropout=dropout, name=f"{name}_fit"
                ),
                Perceptron([*gate_units, 1], name=f"{name}_gate"),
            )

        self.item_fit, self.item_gate = networks("item")
        if rebuilds == "users":
            self.needs += ("search_words", "search_mask")
            self.user_instrument = UserInstrument(num_heads, name="user_instrument")
            self.user_fit, self.user_gate = networks("user")

    def encode_history(self, history, training):
        items = history["rec_items"]
        queries = require_of_training(history, "rec_item_queries", training)
        if self.rebuilds == "users":
            return self._encode_searches(history, training)
        item, z = self.parts(self.with_queries(items, queries))
        rebuilt, errors, fitted = self._rebuild_items(item, z, training)
        fitted = fitted * ops.cast(items > 0, "float32")
        # Groups of histories have rows of different lengths: one number a history.
        count = ops.sum(fitted, axis=1, keepdims=True)
        errors = ops.sum(errors * fitted, axis=1, keepdims=True)
        errors = errors / ops.maximum(count, 1.0)
        encoded = self.encode_rebuilt(history, rebuilt)
        return {**encoded, "errors": errors, "fitted": count}

    def _encode_searches(self, history, training):
        """What (UI) reads of histories; NRHUB rebuilds its view without a candidate."""
        words, mask = history["search_words"], history["search_mask"]
        if self.base == "din":
            encoded = {"queries": self.encode_queries(words), "search_mask": mask}
            items = self.encode_items(history["rec_items"])
            return {**encoded, **self.encode_rebuilt(history, items)}
        views = self.read_views(history)
        pooled = self.pool_views(views)
        fit = self.user_instrument(views["query"][0], mask)
        fit = self.user_fit(fit, training=training)
        has_both = ops.any(mask, axis=1) & ops.any(history["rec_items"] > 0, axis=1)
        mixed = _mix(pooled["rec"], fit, self.user_gate, has_both)
        pooled["rec"], errors, fitted = mixed
        own = {"errors": errors[:, None], "fitted": fitted[:, None]}
        return {**self.pool_user(pooled, views), **own}

    def read(self, task, encoded, target, training):
        """What the network sees of each candidate, and the errors of the fits."""
        item, z = self.parts(target["candidates"])
        is_target = target["ids"].get("is_target")
        if is_target is None:
            is_target = ops.ones_like(item[:, 0, 0], dtype="bool")
        v, errors, fitted = self._rebuild_items(item, z, training)
        rows = {"item_errors": errors, "item_fitted": fitted, "is_target": is_target}
        if self.base == "nrhub":
            own = encoded["errors"], encoded["fitted"]
            rows["logits"] = self.products(encoded, v)
        else:
            mask = ops.logical_and(encoded["mask"], is_target[:, None])
            u = self.activation_unit(encoded["items"], v, mask, training=training)
            if self.rebuilds == "users":
                u, *own = self._rebuild_users(u, item, encoded, training)
            else:
                own = encoded["errors"], encoded["fitted"]
            rows["seen"] = ops.concatenate([v, u], axis=-1)
        rows["history_errors"], rows["history_fitted"] = own
        return rows

    def _rebuild_items(self, item, queries, training):
        is_query = ops.any(queries != 0, axis=-1)
        fit = self.item_fit(masked_mean(queries, is_query, axis=-2), training=training)
        return _mix(item, fit, self.item_gate, ops.any(is_query, axis=-1))

    def _rebuild_users(self, pooled, item, encoded, training):
        mask = encoded["search_mask"]
        asked = self.user_instrument(encoded["queries"], mask, ops.stop_gradient(item))
        fit = self.user_fit(asked, training=training)
        has_searches = ops.any(mask, axis=-1)[:, None]
        has_searches = ops.broadcast_to(has_searches, ops.shape(pooled)[:2])
        return _mix(pooled, fit, self.user_gate, has_searches)

    def losses(self, task, rows, inputs):
        losses = {}
        for name in ("history", "item"):
            is_target = ops.cast(rows["is_target"], "float32")[:, None]
            fitted = rows[f"{name}_fitted"] * is_target
            losses[f"{name}_fit_loss"] = rows[f"{name}_errors"], fitted
        return losses


def _mix(treatment, fit, gate, is_fitted):
    """T', the squared error of the fit, `(...)`, and 1 where there is one, else 0."""
    share = ops.sigmoid(gate(ops.concatenate([fit, treatment], axis=-1)))
    share = share * ops.cast(is_fitted, share.dtype)[..., None]
    error = ops.cast(fit - ops.stop_gradient(treatment), "float32")
    error = ops.mean(ops.square(error), axis=-1)
    rebuilt = share * fit + (1.0 - share) * treatment
    return rebuilt, error, ops.cast(is_fitted, "float32")
