"""A history of searches as a sequence of queries and one of products."""

from typing import Any

from keras import ops

from sar_tf.layers.recency import newest


def sequences_of_searches(
    queries: Any, clicked: Any, has_clicks: Any, mask: Any, query: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """The past queries with the target's behind them, and what was clicked before each.

    Args:
        queries: `(B, N, D)`, the searches' queries, oldest first.
        clicked: `(B, N, D)`, the vector of each search's clicked items.
        has_clicks: bool `(B, N)`.
        mask: bool `(B, N)`, true where a slot holds a search.
        query: `(B, D)`, the target's.

    Returns:
        Queries and their mask, products and their mask, and the place of each slot in
        time: `(B, N + 1, D)` and `(B, N + 1)`. The target's query is in the last slot.
        Its place comes after the searches'.
    """
    number = ops.sum(ops.cast(mask, "int32"), axis=1)
    slots = ops.broadcast_to(ops.arange(ops.shape(mask)[1])[None], ops.shape(mask))
    places = ops.concatenate([ops.where(mask, slots, 0), number[:, None]], axis=1)
    queries = _append(queries, query)
    query_mask = ops.pad(mask, ((0, 0), (0, 1)), constant_values=True)
    products = ops.pad(clicked[:, :-1], ((0, 0), (1, 0), (0, 0)))
    products = _append(products, newest(clicked, mask))
    has_clicks = has_clicks & mask
    product_mask = ops.pad(has_clicks[:, :-1], ((0, 0), (1, 0)))
    newest_clicks = newest(ops.cast(has_clicks, "float32")[..., None], mask) > 0
    product_mask = ops.concatenate([product_mask & mask, newest_clicks], axis=1)
    return queries, query_mask, products, product_mask, places


def _append(x, last):
    """`(B, N, D)` and `(B, D)` behind it: `(B, N + 1, D)`."""
    return ops.concatenate([x, last[:, None, :]], axis=1)
