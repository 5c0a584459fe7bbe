"""UniSAR: one model of search and recommendation, by user transitions."""

from typing import Literal

from keras import ops

from sar_tf.layers.contrast import QueryItemContrast, TransitionAlignment
from sar_tf.layers.embeddings import QueryEncoder, search_behavior
from sar_tf.layers.feature_encoder import FeatureEncoder
from sar_tf.layers.masking import masked_mean
from sar_tf.layers.mmoe import MixtureOfExperts, PredictionNetwork
from sar_tf.layers.target_attention import TargetAttention
from sar_tf.models.base import Model
from sar_tf.models.inputs import MIXED_HISTORY
from sar_tf.models.registry import register
from sar_tf.models.unisar_transitions import SCENARIOS, Transitions, Without
from sar_tf.settings import Few, Rate, Size, Sizes, Temperature, Weight

Variant = Literal["reference", "paper"]
# What the query-item loss reads, of queries by their words.
PAIR_INPUTS = (
    "sampled_items",
    "sampled_query_words",
    "pair_items",
    "pair_query_words",
    "pair_counts",
)


@register("unisar")
class UniSAR(Transitions, Model):
    """UniSAR (Eq. 1 to 12), for both tasks.

    Transitions within (r2r, s2s) and across (s2r, r2s) the scenarios of a
    history are extracted by masked encoders, aligned by contrast, fused by
    cross-attention, read by each candidate through target attention, and
    scored by a mixture of experts with one head a task. The loss is
    `L_R + gamma L_S`, each `click + alpha query_item + beta transition`; the
    L2 term is the optimizer's. A loss of weight 0 is left out, with its weights.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words.
        hidden_dim: Width D of the model.
        num_heads: Attention heads, a divisor of D.
        num_layers: Layers of each encoder and of each fusion.
        dropout: Dropout rate, everywhere.
        num_experts: Experts of each task, and as many shared ones.
        expert_units: Width of an expert.
        tower_units: Hidden layers of a task's tower behind the experts.
        prediction_units: Hidden layers of a task's prediction network.
        query_item_temperature: Temperature tau_1 of the query-item loss at the start.
        query_item_weight: Weight alpha of the query-item loss.
        transition_temperature: Temperature tau_2 of the transition loss at the start.
        transition_weight: Weight beta of the transition loss.
        search_loss_weight: Weight gamma of the search task's losses.
        fusion: Variant of Eq. 7, that of the official code or that of the paper.
        mmoe_head: Variant of Eq. 9, that of the official code or that of the paper.
        transition_negatives: Variant of Eq. 5, of the official code or of the paper.
        without: Module of Table 5 that is left out and replaced as the paper says;
            without MMoE a network of each task scores what the experts read. The row
            "w/o Joint Training" is two runs without MMoE, tasks=rec and tasks=search.

    Reference:
        [Shi et al., 2024](https://doi.org/10.1145/3626772.3657811)
    """

    tasks = ("rec", "search")
    needs: tuple[str, ...] = (*MIXED_HISTORY, "user", "query_words")

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        num_heads: Few = 2,
        num_layers: Few = 1,
        dropout: Rate = 0.1,
        num_experts: Few = 4,
        expert_units: Size = 64,
        tower_units: Sizes = (128, 64),
        prediction_units: Sizes = (200, 80),
        query_item_temperature: Temperature = 0.1,
        query_item_weight: Weight = 0.1,
        transition_temperature: Temperature = 0.1,
        transition_weight: Weight = 0.01,
        search_loss_weight: Weight = 0.01,
        fusion: Variant = "reference",
        mmoe_head: Variant = "reference",
        transition_negatives: Variant = "reference",
        without: Without = "nothing",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        if "search" in self.tasks:
            self.task_weights["search"] = search_loss_weight
        self.without = without
        self._add_embeddings(embedding_dim, hidden_dim)
        self._add_transitions(hidden_dim, num_heads, num_layers, dropout, fusion)
        self.target_attention = {
            scenario: TargetAttention(name=f"{scenario}_target_attention")
            for scenario in SCENARIOS
        }
        if query_item_weight and without != "L_Rel":
            self.loss_weights["query_item_loss"] = query_item_weight
            self.needs += PAIR_INPUTS
            self.query_item_contrast = QueryItemContrast(query_item_temperature)
        if transition_weight and without != "L_Align":
            self.loss_weights["transition_loss"] = transition_weight
            self.transition_alignment = {
                scenario: TransitionAlignment(
                    transition_temperature,
                    transition_negatives,
                    name=f"{scenario}_transition_alignment",
                )
                for scenario in self.aligned_scenarios()
            }
        self.experts = None
        self.shares_candidates = without != "MMoE"
        if without != "MMoE":
            self.experts = MixtureOfExperts(
                self.tasks, num_experts, num_experts, expert_units, dropout, mmoe_head
            )
        self.prediction = {
            task: PredictionNetwork(
                (*tower_units, *prediction_units), dropout, name=f"{task}_prediction"
            )
            for task in self.tasks
            if mmoe_head == "reference" or self.experts is None
        }

    def _add_embeddings(self, embedding_dim, hidden_dim):
        spec = self.spec
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
        if "rec" in self.tasks:
            # The recommendation task has no query: a learned vector stands for it.
            self.rec_query = self.add_weight(
                name="rec_query", shape=(1, hidden_dim), initializer="glorot_normal"
            )

    def encode_history(self, history, training):
        """Extracts and fuses the transitions of histories.

        Returns:
            A dict of `fused` transitions V_r and V_s (Eq. 7), their `masks`, and the
            `views` of each scenario for the alignment (Eq. 5).
        """
        masks = {"rec": history["rec_items"] > 0, "search": history["search_mask"]}
        behaviors = {
            "rec": self.encode_items(history["rec_items"]),
            "search": search_behavior(
                self.encode_queries(history["search_words"]),
                self.encode_items(history["clicked_items"]),
                history["clicked_items"] > 0,
                masks["search"],
            ),
        }
        same, cross = self.extract(behaviors, masks, history, training)
        fused, views = {}, {}
        for scenario, mask in masks.items():
            views[scenario] = (
                masked_mean(cross[scenario], mask, axis=-2),
                masked_mean(same[scenario], mask, axis=-2),
            )
            fused[scenario] = self.fuse(
                scenario, same[scenario], cross[scenario], mask, training
            )
        return {"fused": fused, "masks": masks, "views": views}

    def read(self, task, encoded, target, training):
        """What candidates see of the histories (Eq. 8), and what they share."""
        candidates = target["candidates"]
        # Rows of groups of other history lengths are joined in training: they cannot
        # have weights of slots.
        apart = not training and self.experts is not None
        views = [
            attention(
                encoded["fused"][scenario],
                candidates,
                encoded["masks"][scenario],
                apart=apart,
            )
            for scenario, attention in self.target_attention.items()
        ]
        if not apart:
            candidates = ops.concatenate([*views, candidates], axis=-1)
        user = target["user"]
        if task == "search":
            query = target["query"]
        else:
            query = ops.cast(self.rec_query, user.dtype)
            query = ops.broadcast_to(query, ops.shape(user))
        return {
            "candidates": candidates,
            "candidate_views": views if apart else [],
            "context": ops.concatenate([user, query], axis=-1),
            "views": encoded["views"],
            "is_anchor": {
                scenario: ops.any(mask, axis=-1)
                for scenario, mask in encoded["masks"].items()
            },
        }

    def logits(self, task, rows, training):
        """The mixture of experts (Eq. 9)."""
        if self.experts is None:
            shape = (*ops.shape(rows["candidates"])[:2], rows["context"].shape[-1])
            context = ops.broadcast_to(rows["context"][:, None, :], shape)
            x = ops.concatenate([rows["candidates"], context], axis=-1)
            return self.prediction[task](x, training=training)
        mix = self.experts(
            rows["candidates"],
            rows["context"],
            rows["candidate_views"],
            task=task,
            training=training,
        )
        if not self.prediction:  # The experts' scores are the prediction.
            return ops.squeeze(mix, axis=-1)
        return self.prediction[task](mix, training=training)

    def losses(self, task, rows, inputs):
        """L_Rel (Eq. 2), and L_Align (Eq. 6) over both scenarios."""
        losses = {}
        if "query_item_loss" in self.loss_weights:
            values = self.query_item_contrast(
                self.encode_queries(inputs["pair_query_words"]),
                self.encode_items(inputs["pair_items"]),
                self.encode_items(inputs["sampled_items"]),
                self.encode_queries(inputs["sampled_query_words"]),
            )
            losses["query_item_loss"] = (values, inputs["pair_counts"])
        if "transition_loss" in self.loss_weights:
            losses["transition_loss"] = [
                (
                    align(*rows["views"][scenario], rows["is_anchor"][scenario]),
                    rows["is_anchor"][scenario],
                )
                for scenario, align in self.transition_alignment.items()
            ]
        return losses
