"""JSR: a recommender and a search engine that learn the same items."""

from typing import Literal

from keras import ops

from sar_tf.layers.activation_unit import ActivationUnit
from sar_tf.layers.dice_network import DiceNetwork
from sar_tf.layers.mmoe import PredictionNetwork
from sar_tf.models.base import Model
from sar_tf.models.encoders import ItemEncoder, add_item_encoder, add_query_encoder
from sar_tf.models.inputs import counted, target_rows
from sar_tf.models.registry import register
from sar_tf.settings import Size, Sizes, Weight

# What each tower reads.
_NEEDS = {"rec": "rec_items", "search": "query_words"}


@register("jsr")
class JSR(Model):
    """JSR, for both tasks: two towers that share the encoders of items and words.

        u(v) = sum_j a(v, h_j) h_j,  rec logit = MLP([v ; u])     v = e(candidate)
        search logit = MLP(q * v)                                 q = the query's vector

    The loss is `L_R + gamma L_S`, each the mean over its own targets. The search tower
    knows no user, and neither tower an order of behaviors. The original's recommender
    is a product of a user's and an item's vectors. Here it is DIN, as in the
    comparisons of UniSAR's authors, in the form that IV4Rec's authors have, with Dice
    in both networks. The hidden layers of the search tower have ReLU. No source says
    which search tower and which gamma those comparisons had. The language model of the
    items' texts, which the form of 2020 has, is left out.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width D of an item's and of a query's vector.
        attention_units: Hidden layers of the network that weighs the history.
        prediction_units: Hidden layers of each network that scores a candidate.
        search_input: What the search tower sees, "hadamard" q * v or "concat"
            `[q ; v ; q * v]`.
        search_loss_weight: Weight gamma of the search task's loss.
        item_encoder: What an item's vector is made of, its id and features or its id.

    Raises:
        ValueError: The tasks have search, and the dataset's queries have no words.

    Reference:
        [Zamani and Croft, 2018](https://arxiv.org/abs/1807.05631)
    """

    tasks = ("rec", "search")

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        attention_units: Sizes = (64, 16),
        prediction_units: Sizes = (200, 80),
        search_input: Literal["hadamard", "concat"] = "hadamard",
        search_loss_weight: Weight = 1.0,
        item_encoder: ItemEncoder = "features",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        self.needs = tuple(_NEEDS[task] for task in self.tasks)
        if "search" in self.tasks:
            self._add_search_tower(embedding_dim, hidden_dim, prediction_units)
            self.search_input = search_input
            self.task_weights["search"] = search_loss_weight
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        if "rec" in self.tasks:
            self.activation_unit = ActivationUnit(
                attention_units, "dice", name="activation_unit"
            )
            self.rec_head = DiceNetwork(prediction_units, name="rec_head")

    def _add_search_tower(self, embedding_dim, hidden_dim, prediction_units):
        add_query_encoder(
            self,
            embedding_dim,
            hidden_dim,
            who="JSR finds items by",
            remedy="take a dataset with searches, or tasks=rec",
        )
        self.search_head = PredictionNetwork(prediction_units, name="search_head")

    def encode_history(self, history, training):
        items = history["rec_items"]
        return {"items": self.encode_items(items), "mask": items > 0}

    def read(self, task, encoded, target, training):
        """What the task's network sees of each candidate, and which rows count."""
        v, ids = target["candidates"], target["ids"]
        is_target = target_rows(ids, v)
        if task == "search":
            seen = self._see_query(target["query"][:, None, :], v)
        else:
            # Rows that fill up a batch are not in Dice's statistics.
            mask = ops.logical_and(encoded["mask"], is_target[:, None])
            u = self.activation_unit(encoded["items"], v, mask, training=training)
            seen = [v, u]
        return {"seen": ops.concatenate(seen, axis=-1), "is_target": is_target}

    def _see_query(self, query, v):
        if self.search_input == "hadamard":
            return [query * v]
        return [ops.broadcast_to(query, ops.shape(v)), v, query * v]

    def logits(self, task, rows, training):
        x = rows["seen"]
        if task == "search":
            return self.search_head(x, training=training)
        return self.rec_head(x, counted(rows["is_target"], x), training=training)
