"""Ids that are taken for unknown ones at random, so that a model learns to do without.

A model reads an id that it has never seen as 0. Row 0 of a table means something only
if training has used it.
"""

import tensorflow as tf

# Serving leaves unknown items out of histories: they are not among these.
FORGOTTEN = (
    "user",
    "candidates",
    "query",
    "query_words",
    "search_queries",
    "search_words",
    "search_sources",
)


def forget_ids(
    batch: dict[str, dict[str, tf.Tensor]], share: float, seed: tf.Tensor
) -> dict[str, dict[str, tf.Tensor]]:
    """A batch in which a random share of ids is 0, unknown.

    Each number of the inputs `FORGOTTEN` is replaced on its own: a query may lose its
    id and keep its words.

    Args:
        batch: As `sar_tf.inputs` describes it.
        share: The share of ids, of 0 to 1.
        seed: `(2,)` seed of the draw.
    """

    def forget(part: int, name: str, ids: tf.Tensor) -> tf.Tensor:
        if name not in FORGOTTEN:
            return ids
        stream = len(FORGOTTEN) * part + FORGOTTEN.index(name)
        own_seed = tf.random.experimental.stateless_fold_in(seed, stream)
        drawn = tf.random.stateless_uniform(tf.shape(ids), own_seed)
        return tf.where(drawn < share, 0, ids)

    return {
        part: {name: forget(index, name, ids) for name, ids in arrays.items()}
        for index, (part, arrays) in enumerate(sorted(batch.items()))
    }
