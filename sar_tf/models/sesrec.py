"""SESRec: recommendation with similar and dissimilar search interests."""

from typing import Literal

from keras import ops

from sar_tf.layers.attention import TransitionEncoder
from sar_tf.layers.co_attention import CoAttention
from sar_tf.layers.contrast import QueryItemContrast
from sar_tf.layers.embeddings import Embedding, QueryEncoder
from sar_tf.layers.feature_encoder import FeatureEncoder
from sar_tf.layers.interest_contrast import (
    TripletInterestContrast,
    interest_vectors,
    split_interests,
)
from sar_tf.layers.masking import masked_mean
from sar_tf.layers.mmoe import PredictionNetwork
from sar_tf.layers.target_attention import TargetAttention
from sar_tf.models.base import Model
from sar_tf.models.registry import register
from sar_tf.models.unisar import PAIR_INPUTS
from sar_tf.settings import Few, Rate, Size, Sizes, Temperature, Weight

# Rows of Table 3: each is the one before and one module more.
ABLATIONS = ("base", "alignment", "contrast", "full")

SCENARIOS = ("rec", "search")


@register("sesrec")
class SESRec(Model):
    """SESRec (Eq. 1 to 23), for recommendation.

    Both histories are encoded; co-attention splits each into interests that
    are similar to the other history and interests that are not; a candidate
    reads all, the similar and the dissimilar ones through target attention,
    and an MLP scores it. The loss is `click + alpha query_item + beta
    contrast`; the L2 term is the optimizer's. A loss of weight 0 is left out.

    Args:
        spec, tables, tasks: As `Model`.
        item_dims: Widths of the embeddings of an item's id and features, in
            order; the last one serves all features that follow. Their sum is
            the model's width D. Captions are not used.
        user_dims: Widths of the embeddings of a user's id and features.
        query_dim: Width of the embedding of a query's id.
        word_dim: Width of the embedding of a word.
        num_heads: Attention heads, a divisor of D.
        num_layers: Layers of each encoder.
        dropout: Dropout rate on the encoders' sublayers and in the MLP.
        prediction_units: Hidden layers of the MLP.
        query_item_temperature: Temperature tau of the query-item loss at the start.
        query_item_weight: Weight alpha of the query-item loss.
        triplet_margin: Margin m of the triplet loss.
        contrast_weight: Weight beta of the triplet loss.
        split: Threshold of Table 4 between similar and dissimilar interests.
        ablation: Row of Table 3: "alignment" adds the query-item loss to "base",
            "contrast" adds the triplet loss, "full" adds the similar and dissimilar
            interests to what a candidate reads.
        co_attention: Variant of Eq. 10, of the official code or of the paper.

    Reference:
        [Si et al., 2023](https://doi.org/10.1145/3539618.3591786)
    """

    tasks = ("rec",)
    needs: tuple[str, ...] = (
        "rec_items",
        "search_queries",
        "search_words",
        "clicked_items",
        "search_sources",
        "search_mask",
        "user",
    )

    def __init__(
        self,
        spec,
        tables=None,
        *,
        item_dims: Sizes = (32,),
        user_dims: Sizes = (32,),
        query_dim: Size = 16,
        word_dim: Size = 16,
        num_heads: Few = 4,
        num_layers: Few = 1,
        dropout: Rate = 0.1,
        prediction_units: Sizes = (200, 80),
        query_item_temperature: Temperature = 0.1,
        query_item_weight: Weight = 0.1,
        triplet_margin: Weight = 0.1,
        contrast_weight: Weight = 1e-3,
        split: Literal["mean", "median", "1/8", "1/16"] = "mean",
        ablation: Literal["base", "alignment", "contrast", "full"] = "full",
        co_attention: Literal["reference", "paper"] = "reference",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        modules = ABLATIONS.index(ablation)
        self.split = split
        self.reads_split = ablation == "full"
        self.splits = modules >= ABLATIONS.index("contrast")
        # The reference's co-attention also sums over empty slots, as many as
        # the longest history could fill.
        self.trims_history = not (co_attention == "reference" and self.splits)
        width = self._add_embeddings(item_dims, user_dims, query_dim, word_dim)
        self._add_encoders(width, num_heads, num_layers, dropout)
        if query_item_weight and modules >= ABLATIONS.index("alignment"):
            self.loss_weights["query_item_loss"] = query_item_weight
            self.needs += (*PAIR_INPUTS, "pair_queries", "sampled_queries")
            self.query_item_contrast = QueryItemContrast(query_item_temperature)
        if self.splits:
            self.co_attention = CoAttention(co_attention, name="co_attention")
        if self.splits and contrast_weight:
            self.loss_weights["contrast_loss"] = contrast_weight
            self.interest_contrast = TripletInterestContrast(triplet_margin)
        self.prediction = PredictionNetwork(prediction_units, dropout)

    def _add_embeddings(self, item_dims, user_dims, query_dim, word_dim):
        """Adds the layers of Eq. 1 to 3; returns the width D."""
        spec = self.spec
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
        self.source_embedding = Embedding(
            spec.num_search_sources + 1,
            width,
            embeddings_initializer="glorot_normal",
            name="source_embedding",
        )
        lengths = {"rec": spec.max_rec_history, "search": spec.max_search_history}
        self.position_embedding = {
            scenario: Embedding(
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

    def encode_history(self, history, training):
        """Encodes histories and splits their interests.

        Returns:
            A dict of the `encoded` histories H_r and H_s (Eq. 5) and the `masks` of
            the slots that a candidate reads together: all, and where it reads the
            split, the similar and dissimilar ones (Eq. 11 and 12). From the ablation
            "contrast" on, `interests`: what the triplet loss compares (Eq. 13, 14).
        """
        masks = {"rec": history["rec_items"] > 0, "search": history["search_mask"]}
        clicked = self.encode_items(history["clicked_items"])
        behaviors = {
            "rec": self.encode_items(history["rec_items"]),
            "search": self.source_embedding(history["search_sources"])
            + self.encode_queries(history["search_words"], history["search_queries"])
            + masked_mean(clicked, history["clicked_items"] > 0, axis=-2),
        }
        encoded = {
            scenario: self._encode(scenario, x, masks[scenario], training)
            for scenario, x in behaviors.items()
        }
        read = {scenario: [mask] for scenario, mask in masks.items()}
        if not self.splits:
            return {"encoded": encoded, "masks": read}
        interests = {}
        weights = self.co_attention(
            encoded["rec"], encoded["search"], masks["rec"], masks["search"]
        )
        for scenario, own in zip(SCENARIOS, weights, strict=True):
            split = split_interests(own, masks[scenario], self.split)
            interests[scenario] = interest_vectors(
                encoded[scenario], own, *split, masks[scenario]
            )
            if self.reads_split:
                read[scenario] += split
        return {"encoded": encoded, "masks": read, "interests": interests}

    def _encode(self, scenario, x, mask, training):
        """H_r or H_s (Eq. 2 to 5)."""
        x = x + self.position_embedding[scenario](ops.arange(ops.shape(x)[1]))
        for encoder in self.encoders[scenario]:
            x = encoder(x, x, mask, training=training)
        return x

    def read(self, task, encoded, target, training):
        """What candidates see of the histories (Eq. 17 to 20)."""
        candidates = target["candidates"]
        views = [
            attention(encoded["encoded"][scenario], candidates, mask)
            for scenario, attention in self.target_attention.items()
            for mask in encoded["masks"][scenario]
        ]
        user = target["user"][:, None, :]
        user = ops.broadcast_to(user, (*ops.shape(candidates)[:2], user.shape[-1]))
        return {
            "candidates": ops.concatenate([*views, user, candidates], axis=-1),
            "interests": encoded.get("interests", {}),
        }

    def logits(self, task, rows, training):
        return self.prediction(rows["candidates"], training=training)

    def losses(self, task, rows, inputs):
        """L_ali (Eq. 6 to 8), and L_con (Eq. 13, 14 and 16) over both histories."""
        losses = {}
        if "query_item_loss" in self.loss_weights:
            values = self.query_item_contrast(
                self.encode_queries(inputs["pair_query_words"], inputs["pair_queries"]),
                self.encode_items(inputs["pair_items"]),
                self.encode_items(inputs["sampled_items"]),
                self.encode_queries(
                    inputs["sampled_query_words"], inputs["sampled_queries"]
                ),
            )
            losses["query_item_loss"] = (values, inputs["pair_counts"])
        if "contrast_loss" in self.loss_weights:
            losses["contrast_loss"] = [
                (self.interest_contrast(*vectors), has_behavior)
                for *vectors, has_behavior in rows["interests"].values()
            ]
        return losses


def _widths(name, widths, features):
    """Widths of an id's and of each feature's embedding, the last one repeated."""
    number = 1 + len(features)
    if not widths or len(widths) > number:
        raise ValueError(
            f"{name} has {len(widths)} widths for an id and {number - 1} features"
        )
    return [*widths, *[widths[-1]] * (number - len(widths))]
