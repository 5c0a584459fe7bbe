"""Draws the negatives of validation and test targets, which a dataset stores."""

import numpy as np

from pipelines.common.job import UserError

NUM_CANDIDATES = 99  # Negatives of a target, as in both papers.


def user_generator(seed: int, user: int) -> np.random.Generator:
    """The generator of one user's draws; equal in all processes."""
    return np.random.default_rng([seed, user])


def check_negatives(num_items: int, num_negatives: int) -> None:
    """Fails if there are too few items for the stored negatives.

    Raises:
        UserError: Names the number that fits.
    """
    if num_items <= num_negatives:
        raise UserError(
            f"a target needs {num_negatives} negatives, but there are {num_items} "
            f"items; give the job a log with more items, or --num_negatives="
            f"{max(num_items // 2, 1)}"
        )


def draw_negatives(
    generator: np.random.Generator,
    num_items: int,
    user_items: np.ndarray,
    num_targets: int,
    num_negatives: int = NUM_CANDIDATES,
) -> np.ndarray:
    """Draws uniformly from the items that the user never interacted with.

    Args:
        generator: The user's generator, see `user_generator`.
        num_items: The highest dense item id.
        user_items: `(M,)` sorted distinct items of the user, in any split.
        num_targets: E, the number of rows to draw.
        num_negatives: Number of items in a row.

    Returns:
        `(E, num_negatives)` dense item ids, distinct within a row.

    Raises:
        UserError: Fewer items are left than one row needs.
    """
    num_others = num_items - len(user_items)
    if num_targets and num_others < num_negatives:
        raise UserError(
            f"a target needs {num_negatives} negatives, but one user interacted "
            f"with all but {num_others} of the {num_items} items; "
            "give the job a log with more items"
        )
    ranks = np.zeros((num_targets, num_negatives), np.int64)
    for row in ranks:
        row[:] = generator.choice(
            num_others, num_negatives, replace=False, shuffle=False
        )
    # The r-th item of others is r plus the number of the user's items below it.
    below = user_items - np.arange(len(user_items)) - 1
    return ranks + 1 + np.searchsorted(below, ranks, side="right")
