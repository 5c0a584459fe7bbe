"""UniSAR: one model of search and recommendation, by user transitions."""

from keras import layers, ops

from sar_tf.layers.attention import TransitionEncoder, TransitionFusion
from sar_tf.layers.contrast import (
    QueryItemContrast,
    TransitionAlignment,
)
from sar_tf.layers.embeddings import (
    FeatureEncoder,
    QueryEncoder,
    masked_mean,
    search_behavior,
)
from sar_tf.layers.mmoe import MixtureOfExperts, PredictionNetwork
from sar_tf.layers.target_attention import TargetAttention
from sar_tf.models import base


@base.register("unisar")
class UniSAR(base.Model):
    """UniSAR (Eq. 1 to 12), for both tasks.

    Transitions within (r2r, s2s) and across (s2r, r2s) the scenarios of a
    history are extracted by masked encoders, aligned by contrast, fused by
    cross-attention, read by each candidate through target attention, and
    scored by a mixture of experts with one head a task. The loss is
    `L_R + gamma L_S`, each `click + alpha query_item + beta transition`; the
    L2 term is the optimizer's.

    The encoder runs once a history, whatever the number of candidates.

    Args:
        data_spec: `DataSpec` of the dataset, or a dict of its fields.
        embedding_dim: width of the embeddings of ids, features and words.
        hidden_dim: width D of the model.
        num_heads: attention heads.
        num_layers: layers of each encoder and of each fusion.
        dropout: rate, everywhere.
        num_experts: experts of each task, and as many shared ones.
        expert_units: width of an expert.
        tower_units: hidden layers of a task's tower behind the experts.
        prediction_units: hidden layers of a task's prediction network.
        query_item_temperature: tau_1 at the start.
        query_item_weight: alpha.
        transition_temperature: tau_2 at the start.
        transition_weight: beta.
        search_loss_weight: gamma.
        fusion: variant of Eq. 7, "reference" (the official code's) or "paper".
        mmoe_head: variant of Eq. 9, "reference" or "paper".
        transition_negatives: variant of Eq. 5, "reference" or "paper".

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    tasks = ("rec", "search")

    def __init__(
        self,
        data_spec,
        *,
        embedding_dim=32,
        hidden_dim=64,
        num_heads=2,
        num_layers=1,
        dropout=0.1,
        num_experts=4,
        expert_units=64,
        tower_units=(128, 64),
        prediction_units=(200, 80),
        query_item_temperature=0.1,
        query_item_weight=0.1,
        transition_temperature=0.1,
        transition_weight=0.01,
        search_loss_weight=0.01,
        fusion="reference",
        mmoe_head="reference",
        transition_negatives="reference",
        **kwargs,
    ):
        losses = {
            "click_loss": 1.0,
            "query_item_loss": query_item_weight,
            "transition_loss": transition_weight,
        }
        loss_weights = {
            "rec": losses,
            "search": {n: search_loss_weight * w for n, w in losses.items()},
        }
        names = self.hyperparameters()
        hyperparameters = {n: v for n, v in locals().items() if n in names}
        super().__init__(data_spec, loss_weights, hyperparameters, **kwargs)
        self._add_embeddings(embedding_dim, hidden_dim)
        self._add_transitions(num_heads, num_layers, dropout, fusion)
        self.query_item_contrast = QueryItemContrast(query_item_temperature)
        self.transition_alignment = {
            scenario: TransitionAlignment(
                transition_temperature,
                transition_negatives,
                name=f"{scenario}_transition_alignment",
            )
            for scenario in ("rec", "search")
        }
        self.experts = MixtureOfExperts(
            self.tasks, num_experts, num_experts, expert_units, dropout, mmoe_head
        )
        self.prediction = {
            task: PredictionNetwork(
                (*tower_units, *prediction_units), dropout, name=f"{task}_prediction"
            )
            for task in self.tasks
            if mmoe_head == "reference"
        }

    def _add_embeddings(self, embedding_dim, hidden_dim):
        spec = self.data_spec
        self.query_encoder = QueryEncoder(spec.num_words, embedding_dim, hidden_dim)
        self.item_encoder = FeatureEncoder(
            spec.num_items,
            spec.item_features,
            embedding_dim,
            hidden_dim,
            caption_length=spec.caption_length,
            mask_zero=True,
            name="item_encoder",
        )
        self.user_encoder = FeatureEncoder(
            spec.num_users,
            spec.user_features,
            embedding_dim,
            hidden_dim,
            name="user_encoder",
        )
        lengths = {"rec": spec.max_rec_history, "search": spec.max_search_history}
        lengths["mixed"] = spec.max_rec_history + spec.max_search_history
        self.position_embedding = {
            name: layers.Embedding(
                length,
                hidden_dim,
                embeddings_initializer="glorot_normal",
                name=f"{name}_position_embedding",
            )
            for name, length in lengths.items()
        }
        # The recommendation task has no query: a learned vector stands for it.
        self.rec_query = self.add_weight(
            name="rec_query", shape=(1, hidden_dim), initializer="glorot_normal"
        )

    def _add_transitions(self, num_heads, num_layers, dropout, fusion):
        self.encoders = {
            name: [
                TransitionEncoder(num_heads, dropout, name=f"{name}_encoder_{i}")
                for i in range(num_layers)
            ]
            for name in ("rec", "search", "mixed")
        }
        self.fusions = {
            scenario: [
                TransitionFusion(
                    num_heads, dropout, variant=fusion, name=f"{scenario}_fusion_{i}"
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
                (num_items + 1,), "caption": (num_items + 1, caption_length)}}`.
        """
        self.user_encoder.set_tables(tables["user"])
        self.item_encoder.set_tables(tables["item"])

    def encode_items(self, items):
        """Embeddings of items: `(...) -> (..., D)`."""
        return self.item_encoder(items, encode_caption=self.query_encoder)

    def encode_history(self, history, training=False):
        """Extracts and fuses the transitions of a group of histories.

        Args:
            history: the arrays of one group of rows of a batch.
            training: whether dropout is applied.

        Returns:
            A dict of `fused` transitions V_r and V_s (Eq. 7), their `masks`,
            the `views` of each scenario for the alignment (Eq. 5), and the
            `queries` and `clicked` items of the search behaviors.
        """
        masks = {"rec": history["rec_items"] > 0, "search": history["search_mask"]}
        queries = self.query_encoder(history["search_words"])
        clicked = self.encode_items(history["clicked_items"])
        clicked_mask = history["clicked_items"] > 0
        behaviors = {
            "rec": self.encode_items(history["rec_items"]),
            "search": search_behavior(queries, clicked, clicked_mask, masks["search"]),
        }
        same = self._same_scenario(behaviors, masks, training)
        cross = self._cross_scenario(behaviors, masks, history, training)
        fused, views = {}, {}
        for scenario, mask in masks.items():
            views[scenario] = (
                masked_mean(cross[scenario], mask, axis=-2),
                masked_mean(same[scenario], mask, axis=-2),
            )
            x = same[scenario]
            for fusion in self.fusions[scenario]:
                x = fusion(x, cross[scenario], mask, training=training)
            fused[scenario] = x
        return {
            "fused": fused,
            "masks": masks,
            "views": views,
            "queries": queries,
            "clicked": clicked,
            "clicked_mask": clicked_mask,
        }

    def _same_scenario(self, behaviors, masks, training):
        """H_r2r and H_s2s (Eq. 3)."""
        transitions = {}
        for scenario, x in behaviors.items():
            mask = masks[scenario]
            x = x + self.position_embedding[scenario](
                ops.arange(x.shape[1] or ops.shape(x)[1])
            )
            for encoder in self.encoders[scenario]:
                x = encoder(x, x, mask, training=training)
            transitions[scenario] = x
        return transitions

    def _cross_scenario(self, behaviors, masks, history, training):
        """H_s2r and H_r2s (Eq. 4): each scenario attends to the other only."""
        positions = self.position_embedding["mixed"]
        rec = behaviors["rec"] + positions(history["rec_positions"])
        search = behaviors["search"] + positions(history["search_positions"])
        for encoder in self.encoders["mixed"]:
            rec, search = (
                encoder(rec, search, masks["search"], training=training),
                encoder(search, rec, masks["rec"], training=training),
            )
        return {"rec": rec, "search": search}

    def forward(self, batch, training=False):
        groups = base.encode_histories(
            batch, lambda history: self.encode_history(history, training)
        )
        outputs = {}
        for task, inputs in batch.items():
            logits = self._logits(task, inputs, groups[task], training)
            losses = {}
            if training:
                losses["query_item_loss"] = self._query_item_loss(inputs, groups[task])
                losses["transition_loss"] = self._transition_loss(groups[task])
            outputs[task] = logits, losses
        return outputs

    def _logits(self, task, inputs, groups, training):
        """Logits of a task's candidates (Eq. 8 and 9): `(B, C)`."""
        candidates = self.encode_items(inputs["candidates"])
        context = self._context(task, inputs)
        parts = [
            self._views(group, items)
            for group, items in zip(
                groups, base.split_rows(candidates, groups), strict=True
            )
        ]
        if training:
            x = ops.concatenate(parts, axis=0)
            return self._predict(task, x, context, training)
        # Many candidates: a group at a time stays in the processor's cache.
        contexts = base.split_rows(context, groups)
        return ops.concatenate(
            [
                self._predict(task, *x, training)
                for x in zip(parts, contexts, strict=True)
            ],
            axis=0,
        )

    def _views(self, group, candidates):
        """Candidates, and what they see of the histories (Eq. 8): `(B, C, 3 D)`."""
        views = [
            attention(group["fused"][scenario], candidates, group["masks"][scenario])
            for scenario, attention in self.target_attention.items()
        ]
        return ops.concatenate([*views, candidates], axis=-1)

    def _context(self, task, inputs):
        """User and query, the same for all candidates of a target: `(B, 2 D)`."""
        user = self.user_encoder(inputs["user"])
        if task == "search":
            query = self.query_encoder(inputs["query_words"])
        else:
            query = ops.broadcast_to(
                ops.cast(self.rec_query, user.dtype), ops.shape(user)
            )
        return ops.concatenate([user, query], axis=-1)

    def _predict(self, task, candidates, context, training):
        mix = self.experts(candidates, context, task=task, training=training)
        if not self.prediction:  # the experts' scores are the prediction
            return ops.squeeze(mix, axis=-1)
        return self.prediction[task](mix, training=training)

    def _query_item_loss(self, inputs, groups):
        """L_Rel (Eq. 2)."""
        pairs = base.query_item_pairs(
            inputs,
            groups,
            lambda pairs: self.query_encoder(pairs["query_words"]),
            self.encode_items,
        )
        return self.query_item_contrast(
            *pairs,
            self.encode_items(inputs["sampled_items"]),
            self.query_encoder(inputs["sampled_query_words"]),
        )

    def _transition_loss(self, groups):
        """L_Align (Eq. 6), over both scenarios."""
        total = 0.0
        for scenario, align in self.transition_alignment.items():
            cross, same = (
                ops.concatenate(views, axis=0)
                for views in zip(*(g["views"][scenario] for g in groups), strict=True)
            )
            mask = ops.concatenate(
                [ops.any(g["masks"][scenario], axis=-1) for g in groups], axis=0
            )
            total = total + align(cross, same, mask)
        return total
