"""Small batches of chosen histories, padded as the input pipeline does it.

A history is a list of behaviors, oldest first: `("rec", item)` or
`("search", words, clicked items)`.
"""

import numpy as np

from sar_tf.inputs import INPUTS, ROW_PARTS
from sar_tf.interop.pairs import slot_pairs
from sar_tf.models.ids import KIND_OF_ID
from sar_tf.spec import DataSpec, axis_sizes

SPEC = DataSpec(
    num_users=7,
    num_items=20,
    num_words=15,
    num_queries=9,
    num_search_sources=3,
    max_rec_history=4,
    max_search_history=3,
    max_query_words=3,
    max_clicked_items=2,
    user_features={"level": 3},
    item_features={"category": 4, "brand": 2},
    caption_length=3,
    max_item_queries=2,
    max_neighbors=4,
)


def feature_tables(spec, seed=0):
    """Random feature look-up tables; row 0 is 0."""
    rng = np.random.default_rng(seed)

    def table(num, shape):
        values = rng.integers(0, num + 1, shape).astype("int32")
        values[0] = 0
        return values

    user = {n: table(k, spec.num_users + 1) for n, k in spec.user_features.items()}
    item = {n: table(k, spec.num_items + 1) for n, k in spec.item_features.items()}
    if spec.caption_length:
        shape = (spec.num_items + 1, spec.caption_length)
        item["caption"] = table(spec.num_words, shape)
    return {"user": user, "item": item, "training": training_tables(spec, table)}


def training_tables(spec, table):
    """Tables of what items and users did in training, and of the queries' words."""
    users, items = spec.num_users + 1, spec.num_items + 1
    shapes = {
        "item_queries": (spec.num_queries, (items, spec.max_item_queries)),
        "user_items": (spec.num_items, (users, spec.max_neighbors)),
        "user_queries": (spec.num_queries, (users, spec.max_neighbors)),
        "item_users": (spec.num_users, (items, 1)),
        "item_user_queries": (spec.num_queries, (items, 1)),
        "query_words": (spec.num_words, (spec.num_queries + 1, spec.max_query_words)),
    }
    return {name: table(*shape) for name, shape in shapes.items()}


def random_histories(spec, sizes, seed=0):
    """A history of each `(number of recommendations, number of searches)`."""
    rng = np.random.default_rng(seed)
    histories = []
    for num_rec, num_search in sizes:
        types = rng.permutation(["rec"] * num_rec + ["search"] * num_search)
        histories.append([_behavior(rng, spec, kind) for kind in types])
    return histories


def _behavior(rng, spec, kind):
    if kind == "rec":
        return "rec", int(rng.integers(1, spec.num_items + 1))
    words = rng.integers(1, spec.num_words + 1, rng.integers(spec.max_query_words + 1))
    clicked = rng.integers(
        1, spec.num_items + 1, rng.integers(spec.max_clicked_items + 1)
    )
    return "search", words.tolist(), clicked.tolist()


def histories_part(spec, histories, groups=None):
    """The batch's "history" of some histories.

    Args:
        groups: `[(number of rows, rec width, search width), …]`; None is one group of
            full width.
    """
    maxima = spec.max_rec_history, spec.max_search_history
    size = len(histories)
    arrays = {
        "rec_items": np.zeros((size, maxima[0]), "int32"),
        "rec_positions": np.zeros((size, maxima[0]), "int32"),
        "search_queries": np.zeros((size, maxima[1]), "int32"),
        "search_words": np.zeros((size, maxima[1], spec.max_query_words), "int32"),
        "clicked_items": np.zeros((size, maxima[1], spec.max_clicked_items), "int32"),
        "search_sources": np.zeros((size, maxima[1]), "int32"),
        "search_mask": np.zeros((size, maxima[1]), bool),
        "search_positions": np.zeros((size, maxima[1]), "int32"),
        "rec_sessions": np.zeros((size, maxima[0]), "int32"),
        "search_sessions": np.zeros((size, maxima[1]), "int32"),
    }
    for row, history in enumerate(histories):
        _fill(arrays, row, history, maxima)
    rows, *widths = np.array(groups or [(size, *maxima)], "int32").T
    arrays["group_ends"] = np.cumsum(rows, dtype="int32")
    arrays["rec_widths"], arrays["search_widths"] = widths
    return arrays


def _fill(arrays, row, history, maxima):
    slots = {"rec": 0, "search": 0}
    for position, (kind, *content) in enumerate(history):
        slot = row, slots[kind]
        slots[kind] += 1
        arrays[f"{kind}_positions"][slot] = position
        # Two behaviors a session; every second target starts one of its own.
        session = (len(history) - position + row % 2) // 2
        arrays[f"{kind}_sessions"][slot] = session
        if kind == "rec":
            arrays["rec_items"][slot] = content[0]
            continue
        words, clicked = content
        arrays["search_mask"][slot] = True
        arrays["search_words"][slot][: len(words)] = words
        arrays["clicked_items"][slot][: len(clicked)] = clicked
    # The empty recommendation slots, then the empty search slots, come last.
    position = len(history)
    for kind, maximum in zip(("rec", "search"), maxima, strict=True):
        for slot in range(slots[kind], maximum):
            arrays[f"{kind}_positions"][row, slot] = position
            position += 1


def batch(spec, histories, groups=None, num_candidates=3, num_samples=5, seed=0):
    """A training batch of both tasks on the same histories, a row each."""
    rng = np.random.default_rng(seed)
    size = len(histories)
    history = histories_part(spec, histories, groups)

    def integers(low, high, shape):
        return rng.integers(low, high, shape).astype("int32")

    shared = {
        "user": integers(1, spec.num_users + 1, size),
        "candidates": integers(1, spec.num_items + 1, (size, num_candidates)),
        "sampled_items": integers(1, spec.num_items + 1, num_samples),
        "sampled_queries": integers(1, spec.num_queries + 1, num_samples),
        "sampled_query_words": integers(
            0, spec.num_words + 1, (num_samples, spec.max_query_words)
        ),
        "history_row": np.arange(size, dtype="int32"),
        "is_target": np.full(size, True),
        "is_last": np.arange(size) % 2 == 0,
        **slot_pairs(history),
    }
    for name, entry in INPUTS.items():
        if entry.of_training:
            sizes = {"H": size, "B": size, "C": num_candidates, **axis_sizes(spec)}
            part = history if entry.part == "history" else shared
            highest = getattr(spec, KIND_OF_ID[name])
            part[name] = integers(0, highest + 1, [sizes[axis] for axis in entry.axes])
    search = {
        **shared,
        "query": integers(1, spec.num_queries + 1, size),
        "query_words": integers(0, spec.num_words + 1, (size, spec.max_query_words)),
    }
    search |= _labels(spec, history, search, rng)
    rec = {**shared, **_sequences(spec, history, shared["candidates"], rng)}
    rec |= _replacements(spec, history, seed)
    return {"history": history, "rec": rec, "search": search}


def _replacements(spec, history, seed):
    """What may stand for the clicks and queries of histories; 0 of some."""
    rng = np.random.default_rng([seed, 1])
    clicked, words = history["clicked_items"], history["search_words"]
    items = rng.integers(0, spec.num_items + 1, clicked.shape)
    others, chance = rng.integers(0, spec.num_words + 1, (2, *words.shape))
    others[::2, 0] = 0
    arrays = {
        "other_clicked_items": np.where(clicked > 0, items, 0),
        "other_search_words": others,
        "random_search_words": chance,
    }
    return {name: x.astype("int32") for name, x in arrays.items()}


def _labels(spec, history, search, rng):
    """What the losses of search read; each clicked item has a similar one."""
    clicked = history["clicked_items"]
    drawn = rng.integers(1, spec.num_items + 1, clicked.shape)
    arrays = {
        "item_words": rng.integers(
            0, spec.num_words + 1, (len(clicked), spec.max_query_words)
        ),
        "sampled_words": rng.integers(
            1, spec.num_words + 1, search["sampled_items"].shape
        ),
        "similar_items": np.where(clicked > 0, drawn, 0),
        "target_query": search["query"],
        "target_user": search["user"],
    }
    return {name: x.astype("int32") for name, x in arrays.items()}


def _sequences(spec, history, candidates, rng):
    """Those of every second row: the history and the positive behind it."""
    items = np.pad(history["rec_items"], ((0, 0), (0, 1)))
    lengths = np.count_nonzero(items, axis=1)
    items[np.arange(len(items)), lengths] = candidates[:, 0]
    drawn = rng.integers(1, spec.num_items + 1, items.shape)
    chosen = {"sequence_items": items, "sequence_negatives": (items > 0) * drawn}
    return {name: x[::2].astype("int32") for name, x in chosen.items()}


def take_rows(batch, rows):
    """The batch with some of its targets only; the histories stay."""
    taken = {"history": batch["history"]}
    for task in batch.keys() - taken.keys():
        taken[task] = {
            name: array[rows] if INPUTS[name].part in ROW_PARTS else array
            for name, array in batch[task].items()
        }
    return taken
