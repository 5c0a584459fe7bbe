"""Contrast between two views of the same rows, among the rows of a batch."""

from typing import Any

from keras import ops

from sar_tf.layers import replicas

_NEVER = -1e30  # Logit of a pair that does not count.


def view_contrast(views: Any, others: Any, is_negative: Any, temperature: float) -> Any:
    """Cross-entropy of each row's other view among those of the batch.

        -log exp(cos(z_b, z'_b)/tau) / (exp(cos(z_b, z'_b)/tau)
                                        + sum_{b'} exp(cos(z_b, z'_b')/tau))

    over the negatives b' of b; the mean of this and of the same with the views'
    roles swapped. The negatives come from the batch of all replicas: G rows, B of them
    on this replica.

    Args:
        views: `(B, D)`, the vectors z.
        others: `(B, D)`, the vectors z'.
        is_negative: bool `(B, G)`.
        temperature: tau.

    Returns:
        float32 `(B,)`; 0 where a row has no negative.
    """
    views, others = _normalize(views), _normalize(others)
    own = ops.sum(views * others, axis=-1, keepdims=True) / temperature
    costs = []
    for asked, answers in ((views, others), (others, views)):
        answers = replicas.active().gather(answers)
        logits = ops.matmul(asked, ops.transpose(answers)) / temperature
        logits = ops.where(is_negative, logits, _NEVER)
        logits = ops.concatenate([own, logits], axis=1)
        costs.append(ops.logsumexp(logits, axis=1) - own[:, 0])
    return 0.5 * (costs[0] + costs[1])


def partner_contrast(
    vectors: Any,
    owners: Any,
    topics: Any,
    counts: Any,
    is_negative: Any,
    temperature: float,
) -> tuple[Any, Any]:
    """The contrast of each row with a partner: another owner's row of one topic.

    The partner is the next one of the batch of all replicas (`find_partners`), and its
    relatives are no negatives of the row either.

    Args:
        vectors: `(B, D)`.
        owners: int `(B, 1)`.
        topics: int `(B, T)`.
        counts: bool `(B,)`, the rows that take part.
        is_negative: bool `(B, G)`, the rows that `unrelated_rows` gives for owners and
            topics.
        temperature: As in `view_contrast`.

    Returns:
        Values `(B,)` as `view_contrast`, and bool `(B,)`, whether a row takes part and
        has a partner.
    """
    every = replicas.active()
    labels = ops.concatenate([owners, topics], axis=1)
    all_labels = every.gather(labels)
    is_partner = ops.logical_and(
        ops.logical_not(are_unrelated(topics, all_labels[:, 1:])),
        are_unrelated(owners, all_labels[:, :1]),
    )
    is_partner = ops.logical_and(is_partner, _gather_bool(counts)[None, :])
    partner, has_one = find_partners(is_partner, every.first_row(vectors))
    # A negative is unrelated to the row's partner, and so is its own partner to
    # the row.
    labels_of_partner = ops.take(all_labels, partner, axis=0)
    for one, other in (
        (labels_of_partner, all_labels),
        (labels, every.gather(labels_of_partner)),
    ):
        is_negative = ops.logical_and(is_negative, are_unrelated(one, other))
    is_negative = ops.logical_and(is_negative, _gather_bool(has_one)[None, :])
    others = ops.take(every.gather(vectors), partner, axis=0)
    values = view_contrast(vectors, others, is_negative, temperature)
    return values, ops.logical_and(counts, has_one)


def unrelated_rows(labels: Any, counts: Any) -> Any:
    """For each row the rows of all replicas that share no label with it.

    Args:
        labels: int `(B, L)`.
        counts: bool `(B,)`, the rows that take part.

    Returns:
        bool `(B, G)`; false for rows that take no part.
    """
    unrelated = are_unrelated(labels, replicas.active().gather(labels))
    return ops.logical_and(_gather_bool(counts)[None, :], unrelated)


def find_partners(is_eligible: Any, first_row: Any = 0) -> tuple[Any, Any]:
    """For each row the first eligible row of the batch behind it, in a circle.

    Args:
        is_eligible: bool `(B, G)`.
        first_row: Place of this replica's first row among the G.

    Returns:
        int32 `(B,)`, 0 where there is none, and bool `(B,)`, whether there is one.
    """
    size, number = ops.shape(is_eligible)
    places = first_row + ops.arange(size)
    distance = ops.mod(ops.arange(number)[None, :] - places[:, None], number)
    distance = ops.where(is_eligible, distance, number)
    nearest = ops.min(distance, axis=1, initial=number)
    has_one = nearest < number
    return ops.where(has_one, ops.mod(places + nearest, number), 0), has_one


def are_unrelated(labels: Any, others: Any) -> Any:
    """Whether two rows have no label in common, for each pair of rows.

    Args:
        labels: int `(B, L)`.
        others: int `(G, L)`.

    Returns:
        bool `(B, G)`.
    """
    return ops.all(labels[:, None, :] != others[None, :, :], axis=-1)


def _gather_bool(values):
    return replicas.active().gather(ops.cast(values, "int32")) > 0


def _normalize(vectors):
    vectors = ops.cast(vectors, "float32")
    square = ops.sum(vectors * vectors, axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(square, 1e-12))
