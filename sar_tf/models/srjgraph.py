"""SRJGraph: the clicks of both services are one graph of users and items."""

from keras import ops

from sar_tf.layers.batch_norm import BatchNorm
from sar_tf.layers.dice_network import DiceNetwork
from sar_tf.layers.digits import from_digits, num_digits, to_digits
from sar_tf.layers.embeddings import QueryEncoder
from sar_tf.layers.intent_attention import IntentAttention
from sar_tf.layers.look_up import look_up
from sar_tf.layers.slices import in_slices
from sar_tf.models.base import Model
from sar_tf.models.encoders import ItemEncoder, add_item_encoder, add_user_encoder
from sar_tf.models.inputs import counted, target_rows
from sar_tf.models.registry import register
from sar_tf.models.training_tables import (
    add_training_tables,
    encode_many_items,
    encode_query_ids,
    require_of_training,
)
from sar_tf.settings import Rate, Size, Sizes, Weight

_SLICE = 20  # Candidates that are scored together in inference.


@register("srjgraph")
class SRJGraph(Model):
    """SRJGraph, for both tasks.

        t* = [e_u ; e_q ; e_i]                     q: "no query" in recommendation
        a_u = attention_u(t*, t*; the user's clicks [e_u ; e_q' ; e_i'])
        b = attention_u(t*, [e_v ; e_q' ; e_i]; the clicks of v, a user of the item)
        a_i = attention_i(t*, t*; b)
        logit = MLP_task(BN_task([e_u ; e_i ; e_q ; a_u ; a_i]))

    The attentions are `IntentAttention`; the networks have Dice. Clicks of training
    that are strictly earlier than the target are drawn with replacement, in evaluation
    taken at even distances, the newest first: `spec`'s `max_neighbors` of a user, one
    of an item. The counts are those of the copy that an author of SESRec made; the
    original has more hops and more users of an item. It draws among a user's clicks on
    the candidate's category alone; `category` leaves the others out after the draw, so
    that fewer clicks may be left. The original's second branch and its gate are left
    out. In the original, batches of both tasks take turns; here a step has one of each.
    Queries are means of words, not sums. The weight of search is ours.

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of ids, features and words before the
            encoders' dense layers.
        hidden_dim: Width of a user's, an item's and a query's vector.
        prediction_units: Hidden layers of each network that scores a candidate.
        dropout: Rate in the attentions.
        search_loss_weight: Weight of the search task's loss.
        item_encoder: What an item's vector is made of, its id and features or its id.
        user_encoder: The same of a user's vector.
        category: Feature of items, of one value each; of a user's clicks only those on
            items that share the candidate's value count. The value 0, unknown, is not
            shared: for a candidate that has it no click counts. Empty is no filter.

    Raises:
        ValueError: There is no such feature, or `item_encoder` reads no features.

    Reference:
        [Zhao et al., 2022](https://doi.org/10.1145/3488560.3498414)
    """

    needs = (
        "user",
        "query_words",
        "neighbor_items",
        "neighbor_queries",
        "candidate_users",
        "candidate_user_queries",
        "second_items",
        "second_queries",
    )

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        prediction_units: Sizes = (256, 64),
        dropout: Rate = 0.0,
        search_loss_weight: Weight = 1.0,
        item_encoder: ItemEncoder = "features",
        user_encoder: ItemEncoder = "features",
        category: str = "",
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        if "search" in self.tasks:
            self.task_weights["search"] = search_loss_weight
        self.width = hidden_dim
        self.category = category
        if category:
            _require_category(self.spec, category, item_encoder)
        self.query_encoder = QueryEncoder(
            self.spec.num_words, embedding_dim, hidden_dim, name="query_encoder"
        )
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        add_user_encoder(self, user_encoder, embedding_dim, hidden_dim)
        add_training_tables(
            self, "user_items", "user_queries", "item_users", "item_user_queries"
        )
        self.no_query = self.add_weight(
            name="no_query", shape=(hidden_dim,), initializer="glorot_normal"
        )
        self.of_users = IntentAttention(
            self.spec.max_neighbors, dropout, name="of_users"
        )
        self.of_items = IntentAttention(1, dropout, name="of_items")
        self.norms = {task: BatchNorm(name=f"{task}_norm") for task in self.tasks}
        self.heads = {
            task: DiceNetwork(prediction_units, last_bias=False, name=f"{task}_head")
            for task in self.tasks
        }

    def encode_candidates(self, items):
        """Vectors of items, of a user of each and of that user's clicks, in one row."""
        of_training = self.training_tables.look_up
        users = of_training("item_users", items)[..., 0]
        return self._with_neighbors(
            items,
            users,
            of_training("item_user_queries", items)[..., 0],
            of_training("user_items", users),
            of_training("user_queries", users),
        )

    def encode_target(self, inputs):
        users = inputs["user"]
        items, queries = inputs.get("neighbor_items"), inputs.get("neighbor_queries")
        if items is None:
            items = self.training_tables.look_up("user_items", users)
            queries = self.training_tables.look_up("user_queries", users)
        target = {
            "user": self.user_encoder(users),
            "neighbor_items": self.encode_items(items),
            "neighbor_queries": self._queries(queries),
        }
        if self.category:
            target["neighbor_categories"] = self._categories(items)
        if "query_words" in inputs:
            target["query"] = self.encode_queries(inputs["query_words"])
        if "second_items" in inputs:
            names = (
                "candidates",
                "candidate_users",
                "candidate_user_queries",
                "second_items",
                "second_queries",
            )
            target["candidates"] = self._with_neighbors(*(inputs[n] for n in names))
        else:
            target["candidates"] = self.encode_candidates(inputs["candidates"])
        return target

    def _queries(self, queries):
        """Vectors of queries `(..., D)`; that of no query for 0."""
        vectors = encode_query_ids(self, queries)
        none = ops.cast(self.no_query, vectors.dtype)
        return ops.where((queries > 0)[..., None], vectors, none)

    def _categories(self, items):
        """Categories of items: int `(...)`."""
        return look_up(self.item_encoder.tables[self.category], items)

    def _with_neighbors(self, items, users, queries, second_items, second_queries):
        """`[e_i ; e_v ; e_q ; items ; queries]`: `(..., (3 + 2 M) D)`.

        With a filter, the digits of the item's category follow: who scores the row does
        not know the item, and bfloat16 does not hold a high id as one number.
        """
        digits = []
        if self.category:
            category = self._categories(items)
            same = _is_same(category[..., None], self._categories(second_items))
            second_items = ops.where(same, second_items, 0)
            number = num_digits(self.spec.item_features[self.category])
            digits = [to_digits(category, number, self.compute_dtype)]
        clicks = [encode_many_items(self, second_items), self._queries(second_queries)]
        shape = (*ops.shape(items), clicks[0].shape[-2] * self.width)
        nodes = [self.encode_items(items), self.user_encoder(users)]
        clicks = [ops.reshape(x, shape) for x in clicks]
        nodes += [self._queries(queries), *clicks]
        return ops.concatenate([*nodes, *digits], axis=-1)

    def read(self, task, encoded, target, training):
        """What the task's network sees of each candidate, and which rows count."""
        v, ids = target["candidates"], target["ids"]
        require_of_training(ids, "second_items", training)
        is_target = target_rows(ids, v)
        query = target.get("query")
        if task == "rec":
            query = ops.zeros_like(target["user"]) + self.no_query

        def see(candidates):
            return self._see(candidates, target, query, training)

        seen = see(v) if training else in_slices(see, v, _SLICE)
        return {"seen": seen, "is_target": is_target}

    def _see(self, candidates, target, query, training):
        """`[e_u ; e_i ; e_q ; a_u ; a_i]`: `(B, C, 9 D)`."""
        clicked = target["neighbor_items"]
        is_neighbor = _is_there(clicked)
        if self.category:
            row = (3 + 2 * self.spec.max_neighbors) * self.width
            candidates, digits = ops.split(candidates, [row], axis=-1)
            categories = target["neighbor_categories"][:, None, :]
            same = _is_same(from_digits(digits)[:, :, None], categories)
            is_neighbor = ops.logical_and(is_neighbor[:, None, :], same)
        item = candidates[..., : self.width]
        shape = ops.shape(item)
        u, q = (ops.broadcast_to(x[:, None, :], shape) for x in (target["user"], query))
        asked = ops.concatenate([u, q, item], axis=-1)
        of_user = self.of_users(
            asked,
            asked,
            [target["user"][:, None, :], target["neighbor_queries"], clicked],
            is_neighbor,
            training=training,
        )
        of_item = self._aggregate_item(candidates, asked, training)
        return ops.concatenate([u, item, q, of_user, of_item], axis=-1)

    def _aggregate_item(self, candidates, asked, training):
        """a_i: `(B, C, 3 D)`."""
        width, number = self.width, self.spec.max_neighbors
        rows, count = ops.shape(candidates)[:2]
        flat = ops.reshape(candidates, (-1, candidates.shape[-1]))
        asked = ops.reshape(asked, (-1, 1, 3 * width))
        item, other, query, second, queries = ops.split(
            flat, [width, 2 * width, 3 * width, (3 + number) * width], axis=-1
        )
        second, queries = (
            ops.reshape(x, (-1, number, width)) for x in (second, queries)
        )
        b = self.of_users(
            asked,
            ops.concatenate([other, query, item], axis=-1)[:, None, :],
            [other[:, None, :], queries, second],
            _is_there(second),
            training=training,
        )
        found = self.of_items(
            asked,
            asked,
            ops.split(b, 3, axis=-1),
            _is_there(other[:, None, :]),
            training=training,
        )
        return ops.reshape(found, (rows, count, 3 * width))

    def logits(self, task, rows, training):
        x = rows["seen"]
        counts = counted(rows["is_target"], x)
        x = self.norms[task](x, counts, training=training)
        return self.heads[task](x, counts, training=training)


def _is_there(vectors):
    """Whether there is a node: no node is the zero vector. `(..., D) -> (...)`."""
    return ops.any(vectors != 0, axis=-1)


def _is_same(category, other):
    """Whether categories are the same one; unknown ones, 0, never are."""
    return ops.logical_and(category == other, category > 0)


def _require_category(spec, name, item_encoder):
    """Refuses what is no feature of one value in the item encoder's tables."""
    sizes = spec.item_features
    known = [other for other, size in sizes.items() if isinstance(size, int)]
    if name not in known:
        raise ValueError(
            "category must be empty or an item feature of one value, of which there "
            f"are: {', '.join(known) or 'none'}; not {name!r}"
        )
    if item_encoder == "id":
        raise ValueError(
            f"category={name}: item_encoder=id reads no features of items; take "
            "item_encoder=features"
        )
