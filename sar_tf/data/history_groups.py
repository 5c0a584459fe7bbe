"""Where a batch's histories are cut into groups of like length."""

import tensorflow as tf


def group_ends(lengths: tf.Tensor, num_groups: int, longest: int) -> tf.Tensor:
    """Ends of the groups that pad the histories with the fewest empty slots.

    Every history of a group is as wide as the group's longest one, and at least one
    slot wide. The best cuts for one group more follow from the best cuts before each
    length (dynamic programming over the lengths, not over the histories).

    Args:
        lengths: int32 `(H,)`, in ascending order.
        num_groups: Number of groups; some are empty where fewer do as well.
        longest: Upper bound of the lengths.

    Returns:
        int32 `(num_groups,)`: each group's last row + 1, in ascending order.
    """
    widths = tf.range(longest + 1)
    # Number of histories up to each length: a cut never parts equal lengths.
    ends = tf.searchsorted(lengths, widths, side="right")
    rows = ends[None, :] - ends[:, None]
    slots = tf.where(rows >= 0, rows * tf.maximum(widths, 1), tf.int32.max // 2)
    fewest = ends * tf.maximum(widths, 1)
    starts = []
    for _ in range(num_groups - 1):
        total = fewest[:, None] + slots
        starts.append(tf.argmin(total, axis=0, output_type=tf.int32))
        fewest = tf.reduce_min(total, axis=0)
    cuts = [tf.reduce_max(tf.concat([lengths, [0]], axis=0))]
    for start in reversed(starts):
        cuts.append(start[cuts[-1]])
    return tf.gather(ends, tf.stack(cuts[::-1]))
