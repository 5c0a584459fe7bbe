"""CoPPS: TEM, and views of histories that contrast with each other."""

from keras import ops, random

from sar_tf.layers.clicked_items import take_slots
from sar_tf.layers.history_views import draw_chosen, draw_order
from sar_tf.layers.view_contrast import (
    partner_contrast,
    unrelated_rows,
    view_contrast,
)
from sar_tf.models.registry import register
from sar_tf.models.tem import TEM
from sar_tf.settings import Rate, Temperature, Weight

_FEWEST_ITEMS = 2  # Of a history that has views.


@register("copps")
class CoPPS(TEM):
    """A model in the spirit of CoPPS, for personalized search; not a reproduction.

    Of the original only the abstract was at hand: contrastive learning of user
    sequences in product search, three augmentations with a contrastive task each, an
    external knowledge graph, and signals from within a user's sequence and between
    users. Everything else here is this project's own choice: `TEM` as the base, the
    views, the loss and its numbers.

        L = L_click + weight · (L_knowledge + L_within + L_between)

    Each is the cross-entropy, by cosine and temperature, of one vector M of a target
    among those of the batch (`view_contrast`), both ways. It contrasts

    - knowledge: M, and M of a view in which ceil(share · L) items are others of the
      same category (in place of the knowledge graph), or where items have none, others
      that were clicked in training after a query of the item;
    - within: two views, in each of which items are left out with probability share, at
      least one staying, or a run of ceil(share · L) items is shuffled;
    - between: M, and M of another user's target with the same query or positive, the
      next such target of the batch.

    Rows of the same user, query or positive are no negatives of each other. Targets
    with fewer than two items, without an item to replace or without a partner are left
    out.

    Args:
        spec, tables, tasks, …: As `TEM`.
        contrast_weight: Weight of each of the three contrasts; with 0 it is TEM.
        temperature: Temperature of the contrasts.
        view_share: Share of a history's items that a view changes.

    Raises:
        ValueError: The original loss is asked for, which is not known, or histories
            are not of searches.

    Reference:
        [Dai et al., 2023](https://doi.org/10.1145/3580305.3599287)
    """

    def __init__(
        self,
        spec,
        tables=None,
        *,
        contrast_weight: Weight = 0.1,
        temperature: Temperature = 0.1,
        view_share: Rate = 0.3,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        if self.original_loss:
            raise ValueError("original_loss: the loss of CoPPS' authors is not known")
        self.contrast_weight = contrast_weight
        self.temperature = temperature
        self.view_share = view_share
        if not contrast_weight:
            return
        if self.history != "search":
            raise ValueError(
                f"history={self.history}: CoPPS replaces items that searches clicked; "
                "take history=search, or contrast_weight=0"
            )
        self.needs += ("similar_items", "target_query", "target_user")
        for name in ("knowledge", "within", "between"):
            self.loss_weights[f"{name}_loss"] = contrast_weight
        self.seed_generator = random.SeedGenerator()

    def encode_history(self, history, training):
        encoded = super().encode_history(history, training)
        if not (training and self.contrast_weight):
            return encoded
        items, slots = self.read_items(history)
        return {**encoded, "ids": items, "slots": slots}

    def read(self, task, encoded, target, training):
        rows = super().read(task, encoded, target, training)
        if not (training and self.contrast_weight):
            return rows
        query, mask = target["query"], encoded["mask"]
        ids, is_replaced = self.replace(encoded, target["ids"])
        items = self.encode_items(ids)
        rows["knowledge"] = self.transform(query, items, mask, training)
        for name in ("within", "within_other"):
            order, kept = draw_order(mask, self.view_share, self.seed_generator)
            items = take_slots(encoded["items"], order)
            items = items * ops.cast(kept, items.dtype)[..., None]
            rows[name] = self.transform(query, items, kept, training)
        length = ops.sum(ops.cast(mask, "int32"), axis=1)
        is_target = target["ids"].get("is_target", length >= 0)
        rows["has_views"] = ops.logical_and(length >= _FEWEST_ITEMS, is_target)
        rows["is_replaced"] = ops.any(is_replaced, axis=1)
        return rows

    def replace(self, encoded, inputs):
        """The items of the knowledge view, and which are replaced: each `(B, N)`."""
        similar = inputs["similar_items"]
        size, slots, width = ops.shape(similar)
        similar = ops.reshape(similar, (size, slots * width))
        similar = take_slots(similar, encoded["slots"])
        is_candidate = similar[:, :, None] == inputs["candidates"][:, None, :]
        may_replace = ops.logical_and(similar > 0, encoded["mask"])
        may_replace = ops.logical_and(
            may_replace, ops.logical_not(ops.any(is_candidate, axis=2))
        )
        is_replaced = draw_chosen(
            may_replace, encoded["mask"], self.view_share, self.seed_generator
        )
        return ops.where(is_replaced, similar, encoded["ids"]), is_replaced

    def losses(self, task, rows, inputs):
        losses = super().losses(task, rows, inputs)
        if not self.contrast_weight:
            return losses
        users = inputs["target_user"][:, None]
        topics = ops.stack([inputs["target_query"], rows["positive"]], axis=1)
        vectors, has_views = rows["vector"][:, : self.hidden_dim], rows["has_views"]
        negatives = unrelated_rows(ops.concatenate([users, topics], axis=1), has_views)

        def contrast(one, other):
            return view_contrast(one, other, negatives, self.temperature)

        return {
            **losses,
            "knowledge_loss": (
                contrast(vectors, rows["knowledge"]),
                ops.logical_and(has_views, rows["is_replaced"]),
            ),
            "within_loss": (
                contrast(rows["within"], rows["within_other"]),
                has_views,
            ),
            "between_loss": partner_contrast(
                vectors, users, topics, has_views, negatives, self.temperature
            ),
        }
