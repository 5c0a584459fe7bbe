"""SESRec: recommendation with similar and dissimilar search interests."""

from keras import layers, ops

from sar_tf.layers.attention import TransitionEncoder
from sar_tf.layers.co_attention import CoAttention
from sar_tf.layers.contrast import QueryItemContrast
from sar_tf.layers.embeddings import (
    FeatureEncoder,
    QueryEncoder,
    masked_mean,
)
from sar_tf.layers.interest_contrast import (
    SPLITS,
    TripletInterestContrast,
    interest_vectors,
    split_interests,
)
from sar_tf.layers.mmoe import PredictionNetwork
from sar_tf.layers.target_attention import TargetAttention
from sar_tf.models import base

# Rows of Table 3: each is the one before and one module more.
ABLATIONS = ("base", "alignment", "contrast", "full")

_INTEREST_INPUTS = ("encoded", "weights", "similar", "dissimilar", "masks")


@base.register("sesrec")
class SESRec(base.Model):
    """SESRec (Eq. 1 to 23), for recommendation.

    Both histories are encoded; co-attention splits each into interests that
    are similar to the other history and interests that are not; a candidate
    reads all, the similar and the dissimilar ones through target attention,
    and an MLP scores it. The loss is `click + alpha query_item + beta
    contrast`; the L2 term is the optimizer's.

    The encoders run once a history, whatever the number of candidates.

    Args:
        data_spec: `DataSpec` of the dataset, or a dict of its fields.
        item_dims: widths of the embeddings of an item's id and features, in
            order; the last one serves all features that follow. Their sum is
            the model's width D. Captions are not used.
        user_dims: the same for users.
        query_dim: width of the embedding of a query's id.
        word_dim: width of the embedding of a word.
        num_heads: attention heads.
        num_layers: layers of each encoder.
        dropout: rate on the encoders' sublayers and in the MLP.
        prediction_units: hidden layers of the MLP.
        query_item_temperature: tau at the start.
        query_item_weight: alpha.
        triplet_margin: m.
        contrast_weight: beta.
        split: threshold of Table 4, "mean", "median", "1/8" or "1/16".
        ablation: row of Table 3: "base"; "alignment" adds the query-item
            loss; "contrast" adds the triplet loss; "full" adds the similar
            and dissimilar interests to what a candidate reads.
        co_attention: variant of Eq. 10, "reference" (the official code's) or
            "paper".

    Reference:
        [Si et al., 2023](https://doi.org/10.1145/3539618.3591786)
    """

    tasks = ("rec",)

    def __init__(
        self,
        data_spec,
        *,
        item_dims=(32,),
        user_dims=(32,),
        query_dim=16,
        word_dim=16,
        num_heads=4,
        num_layers=1,
        dropout=0.1,
        prediction_units=(200, 80),
        query_item_temperature=0.1,
        query_item_weight=0.1,
        triplet_margin=0.1,
        contrast_weight=1e-3,
        split="mean",
        ablation="full",
        co_attention="reference",
        **kwargs,
    ):
        if ablation not in ABLATIONS:
            raise ValueError(
                f"ablation must be one of {', '.join(ABLATIONS)}, not {ablation!r}"
            )
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        modules = ABLATIONS.index(ablation)
        losses = {"click_loss": 1.0}
        if modules >= ABLATIONS.index("alignment"):
            losses["query_item_loss"] = query_item_weight
        if modules >= ABLATIONS.index("contrast"):
            losses["contrast_loss"] = contrast_weight
        names = self.hyperparameters()
        hyperparameters = {n: v for n, v in locals().items() if n in names}
        super().__init__(data_spec, {"rec": losses}, hyperparameters, **kwargs)
        self.split = split
        self.reads_split = ablation == "full"
        # The reference's co-attention also sums over empty slots, as many as
        # the longest history could fill.
        self.pads_history = co_attention == "reference" and "contrast_loss" in losses
        width = self._add_embeddings(item_dims, user_dims, query_dim, word_dim)
        self._add_encoders(width, num_heads, num_layers, dropout)
        if "query_item_loss" in losses:
            self.query_item_contrast = QueryItemContrast(query_item_temperature)
        if "contrast_loss" in losses:
            self.co_attention = CoAttention(co_attention, name="co_attention")
            self.interest_contrast = TripletInterestContrast(triplet_margin)
        self.prediction = PredictionNetwork(prediction_units, dropout)

    def _add_embeddings(self, item_dims, user_dims, query_dim, word_dim):
        """Adds the layers of Eq. 1 to 3; returns the width D."""
        spec = self.data_spec
        item_dims = _widths("item_dims", item_dims, spec.item_features)
        user_dims = _widths("user_dims", user_dims, spec.user_features)
        width = sum(item_dims)
        self.item_encoder = FeatureEncoder(
            spec.num_items,
            spec.item_features,
            item_dims[0],
            width,
            activation=None,
            feature_dims=item_dims[1:],
            name="item_encoder",
        )
        self.user_encoder = FeatureEncoder(
            spec.num_users,
            spec.user_features,
            user_dims[0],
            units=None,
            feature_dims=user_dims[1:],
            name="user_encoder",
        )
        self.query_encoder = QueryEncoder(
            spec.num_words,
            word_dim,
            width,
            activation=None,
            num_queries=spec.num_queries,
            query_dim=query_dim,
        )
        # Row 0 serves data without search sources: to them all are the same.
        self.source_embedding = layers.Embedding(
            spec.num_search_sources + 1,
            width,
            embeddings_initializer="glorot_normal",
            name="source_embedding",
        )
        lengths = {"rec": spec.max_rec_history, "search": spec.max_search_history}
        self.position_embedding = {
            scenario: layers.Embedding(
                length,
                width,
                embeddings_initializer="glorot_normal",
                name=f"{scenario}_position_embedding",
            )
            for scenario, length in lengths.items()
        }
        return width

    def _add_encoders(self, width, num_heads, num_layers, dropout):
        if width % num_heads:
            raise ValueError(
                f"num_heads={num_heads} does not divide the width {width}, the sum of "
                "item_dims over an item's id and features"
            )
        self.encoders = {
            scenario: [
                TransitionEncoder(
                    num_heads,
                    dropout,
                    epsilon=1e-8,
                    inner_dropout=0.0,
                    negative_slope=0.01,
                    name=f"{scenario}_encoder_{i}",
                )
                for i in range(num_layers)
            ]
            for scenario in ("rec", "search")
        }
        self.target_attention = {
            scenario: TargetAttention(name=f"{scenario}_target_attention")
            for scenario in ("rec", "search")
        }

    def set_feature_tables(self, tables):
        """Sets the feature look-up tables of users and items.

        Args:
            tables: `{"user": {feature: (num_users + 1,)}, "item": {feature:
                (num_items + 1,)}}`.
        """
        self.user_encoder.set_tables(tables["user"])
        self.item_encoder.set_tables(tables["item"])

    def encode_items(self, items):
        """Embeddings of items: `(...) -> (..., D)`."""
        return self.item_encoder(items)

    def encode_history(self, history, training=False):
        """Encodes a group of histories and splits their interests.

        Args:
            history: the arrays of one group of rows of a batch.
            training: whether dropout is applied.

        Returns:
            A dict of the `encoded` histories H_r and H_s (Eq. 5) and their
            `masks`; the co-attention `weights` (Eq. 10) and the masks of
            `similar` and `dissimilar` slots (Eq. 11 and 12), each by scenario,
            from the ablation "contrast" on; the `queries` and `clicked` items
            of the search behaviors, and the mask of the latter.
        """
        if self.pads_history:
            history = base.pad_history(history, self.data_spec)
        masks = {"rec": history["rec_items"] > 0, "search": history["search_mask"]}
        queries = self.query_encoder(history["search_words"], history["search_queries"])
        clicked = self.encode_items(history["clicked_items"])
        clicked_mask = history["clicked_items"] > 0
        sources = self.source_embedding(history["search_sources"])
        behaviors = {
            "rec": self.encode_items(history["rec_items"]),
            "search": sources + queries + masked_mean(clicked, clicked_mask, axis=-2),
        }
        encoded = {
            scenario: self._encode(scenario, x, masks[scenario], training)
            for scenario, x in behaviors.items()
        }
        group = {
            "encoded": encoded,
            "masks": masks,
            "queries": queries,
            "clicked": clicked,
            "clicked_mask": clicked_mask,
        }
        if "contrast_loss" in self.loss_weights["rec"]:
            group |= self._split(encoded, masks)
        return group

    def _encode(self, scenario, x, mask, training):
        """H_r or H_s (Eq. 2 to 5)."""
        slots = ops.arange(x.shape[1] or ops.shape(x)[1])
        x = x + self.position_embedding[scenario](slots)
        for encoder in self.encoders[scenario]:
            x = encoder(x, x, mask, training=training)
        return x

    def _split(self, encoded, masks):
        rec, search = self.co_attention(
            encoded["rec"], encoded["search"], masks["rec"], masks["search"]
        )
        weights = {"rec": rec, "search": search}
        similar, dissimilar = {}, {}
        for scenario, mask in masks.items():
            similar[scenario], dissimilar[scenario] = split_interests(
                weights[scenario], mask, self.split
            )
        return {"weights": weights, "similar": similar, "dissimilar": dissimilar}

    def _logits(self, inputs, groups, training):
        """Logits of the candidates: `(B, C)`."""
        candidates = self.encode_items(inputs["candidates"])
        parts = base.split_rows(candidates, groups)
        interests = ops.concatenate(
            [self._read(g, items) for g, items in zip(groups, parts, strict=True)],
            axis=0,
        )
        user = self.user_encoder(inputs["user"])[:, None, :]
        user = ops.broadcast_to(user, (*ops.shape(candidates)[:2], user.shape[-1]))
        x = ops.concatenate([interests, user, candidates], axis=-1)
        return self.prediction(x, training=training)

    def _read(self, group, candidates):
        """What candidates see of the histories (Eq. 17 to 20).

        `(B, C, 6 D)`, or `(B, C, 2 D)` where the split is not read.
        """
        interests = []
        for scenario, attention in self.target_attention.items():
            masks = [group["masks"][scenario]]
            if self.reads_split:
                masks += [group["similar"][scenario], group["dissimilar"][scenario]]
            encoded = group["encoded"][scenario]
            interests += [attention(encoded, candidates, mask) for mask in masks]
        return ops.concatenate(interests, axis=-1)

    def forward(self, batch, training=False):
        inputs = batch["rec"]
        groups = base.encode_histories(
            batch, lambda history: self.encode_history(history, training)
        )["rec"]
        logits = self._logits(inputs, groups, training)
        losses = {}
        if training and "query_item_loss" in self.loss_weights["rec"]:
            losses["query_item_loss"] = self._query_item_loss(inputs, groups)
        if training and "contrast_loss" in self.loss_weights["rec"]:
            losses["contrast_loss"] = self._contrast_loss(groups)
        return {"rec": (logits, losses)}

    def _query_item_loss(self, inputs, groups):
        """L_ali (Eq. 6 to 8)."""
        pairs = base.query_item_pairs(
            inputs,
            groups,
            lambda pairs: self.query_encoder(pairs["query_words"], pairs["queries"]),
            self.encode_items,
        )
        return self.query_item_contrast(
            *pairs,
            self.encode_items(inputs["sampled_items"]),
            self.query_encoder(
                inputs["sampled_query_words"], inputs["sampled_queries"]
            ),
        )

    def _contrast_loss(self, groups):
        """L_con (Eq. 13, 14 and 16)."""
        total = 0.0
        for scenario in self.encoders:
            interests = [
                interest_vectors(*(group[name][scenario] for name in _INTEREST_INPUTS))
                for group in groups
            ]
            total = total + self.interest_contrast(
                *(
                    ops.concatenate(part, axis=0)
                    for part in zip(*interests, strict=True)
                )
            )
        return total


def _widths(name, widths, features):
    """Widths of an id's and of each feature's embedding, the last one repeated."""
    number = 1 + len(features)
    if not widths or len(widths) > number:
        raise ValueError(
            f"{name} has {len(widths)} widths for an id and {number - 1} features"
        )
    return [*widths, *[widths[-1]] * (number - len(widths))]
