"""The stored negatives of validation and test targets."""

import numpy as np

from pipelines.common.job import UserError

NUM_CANDIDATES = 99  # Negatives of a validation or test target, as in both papers.


def user_generator(seed: int, user: int) -> np.random.Generator:
    """The random numbers of one user, whichever process builds the record."""
    return np.random.default_rng([seed, user])


def draw_negatives(
    generator: np.random.Generator,
    num_items: int,
    user_items: np.ndarray,
    num_targets: int,
    num_negatives: int = NUM_CANDIDATES,
) -> np.ndarray:
    """Draws items that the user never interacted with, uniformly.

    Args:
        generator: Of this user, see `user_generator`.
        num_items: The highest dense item id.
        user_items: [M] sorted distinct items of the user, in any split.
        num_targets: E, how many rows to draw.

    Returns:
        [E, num_negatives] dense item ids, distinct within a row.

    Raises:
        UserError: The user left fewer items than one row needs.
    """
    num_others = num_items - len(user_items)
    if num_targets and num_others < num_negatives:
        raise UserError(
            f"a target needs {num_negatives} negatives, but of the {num_items} items "
            f"only {num_others} are left that one of the users never interacted with; "
            "give the job a log with more items"
        )
    ranks = np.zeros((num_targets, num_negatives), np.int64)
    for row in ranks:
        row[:] = generator.choice(
            num_others, num_negatives, replace=False, shuffle=False
        )
    # The r-th item that is not the user's: r, moved up by the user's items below it.
    below = user_items - np.arange(len(user_items)) - 1
    return ranks + 1 + np.searchsorted(below, ranks, side="right")
