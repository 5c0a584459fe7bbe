"""What a model keeps of the clicks of training, to score without a dataset."""

from typing import Any

from keras import ops

from sar_tf.layers.id_tables import IdTables
from sar_tf.models.base import Model
from sar_tf.spec import DataSpec

# Of so many queries or items all are encoded at once, not each where it occurs.
_FEW = 1 << 14


def add_training_tables(model: Model, *names: str) -> None:
    """Gives a model tables of all clicks of training, and the words of all queries.

    A model reads them where a batch does not have the inputs that are looked up for
    its own targets: when it is served, and when it ranks the whole catalogue.

    Args:
        model: The model, after its `super().__init__`.
        names: Tables of `data.tables["training"]`.
    """
    shapes = _shapes(model.spec)
    model.training_tables = IdTables(
        {name: shapes[name] for name in (*names, "query_words")},
        name="training_tables",
    )


def _shapes(spec: DataSpec) -> dict[str, tuple[int, ...]]:
    users, items = spec.num_users + 1, spec.num_items + 1
    return {
        "item_queries": (items, spec.max_item_queries),
        "user_items": (users, spec.max_neighbors),
        "user_queries": (users, spec.max_neighbors),
        "item_users": (items, 1),
        "item_user_queries": (items, 1),
        "query_words": (spec.num_queries + 1, spec.max_query_words),
    }


def encode_query_ids(model: Model, queries: Any) -> Any:
    """Vectors of queries by their ids: int `(...) -> (..., D)`; 0 is the zero vector.

    Args:
        model: A model with a query encoder and `add_training_tables`.
        queries: Dense ids.
    """
    number = model.spec.num_queries + 1
    if number > _FEW:
        words = model.training_tables.look_up("query_words", queries)
        vectors = model.encode_queries(words)
    else:
        words = model.training_tables.look_up("query_words", ops.arange(number))
        vectors = ops.take(model.encode_queries(words), queries, axis=0)
    return vectors * ops.cast(queries > 0, vectors.dtype)[..., None]


def encode_many_items(model: Model, items: Any) -> Any:
    """As `Model.encode_items`, for more look-ups than there are items."""
    number = model.spec.num_items + 1
    if number > _FEW:
        return model.encode_items(items)
    return ops.take(model.encode_items(ops.arange(number)), items, axis=0)


def require_of_training(inputs: dict[str, Any], name: str, training: bool) -> Any:
    """An input that is looked up in the clicks of training; None where served.

    Raises:
        ValueError: A batch of training is without it.
    """
    if training and name not in inputs:
        raise ValueError(
            f"this batch of training has no {name}: make the data with "
            "needs=model.needs, or leave needs out"
        )
    return inputs.get(name)
