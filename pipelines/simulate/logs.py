"""Writes simulated raw logs in the KuaiSAR layout, with structure to learn.

Users have latent interests (themes of items), which drift. They follow their interests
in search and in recommendation, but often change the interest when they change between
the two, with the shares of UniSAR's Figure 2. Popularity within a theme follows
Zipf's law. A query consists of words from the caption of an item that the user wants.
The logs cover 19 days, like KuaiSAR's. The same seed and sizes give the same bytes.
"""

import os

import numpy as np

from pipelines.common import job
from pipelines.common.progress import progress
from pipelines.simulate.behavior import draw_queries, draw_rows
from pipelines.simulate.catalogue import make_catalogue
from pipelines.simulate.files import append_logs, write_items, write_users

USERS_PER_PART = 5000  # Number of users in memory at a time.
MIN_ITEMS = 400
MAX_SIZE = 10**8  # Number of users and of items.
MAX_ROWS = 10**5  # Mean number of rows of a user.


def write_logs(
    output_dir: str | os.PathLike,
    *,
    num_users: int = 2000,
    num_items: int = 4000,
    rows_per_user: float = 150.0,
    search_share: float = 0.28,
    seed: int = 1,
) -> None:
    """Writes the CSV files of a simulated log.

    They are rec_inter, src_inter, user_features, item_features and social_network.

    Args:
        output_dir: Folder to make; it appears when complete.
        num_users: Number of users.
        num_items: Number of items in the catalogue; at least 400.
        rows_per_user: Mean number of rows of a user in both logs together.
        search_share: Share of search sessions among search sessions and
            recommendation batches; the default gives KuaiSAR's ratio of rows.
        seed: Seed of all random draws.

    Raises:
        job.UserError: A size is too small, or output_dir already holds files.
    """
    for flag, value, lowest, highest in (
        ("num_users", num_users, 1, MAX_SIZE),
        ("num_items", num_items, MIN_ITEMS, MAX_SIZE),
        ("rows_per_user", rows_per_user, 1, MAX_ROWS),
    ):
        if not lowest <= value <= highest:
            raise job.UserError(f"--{flag} {value} is not from {lowest} to {highest:,}")
    if not 0 < search_share < 1:
        raise job.UserError(f"--search_share {search_share} is not between 0 and 1")
    rng = np.random.default_rng(seed)
    with job.staged_output(output_dir) as staging:
        catalogue = make_catalogue(num_items, rng)
        write_items(staging, catalogue, rng)
        # Raw ids have gaps, as in filtered logs.
        user_ids = np.sort(rng.choice(10 * num_users, num_users, replace=False)) + 1
        num_rows = np.zeros((num_users, 2), np.int64)
        group = np.zeros(num_users, np.int64)
        session = 1
        with progress("simulating", None, " rows") as bar:
            for start in range(0, num_users, USERS_PER_PART):
                part = slice(start, min(start + USERS_PER_PART, num_users))
                ids = user_ids[part]
                rows, group[part] = draw_rows(
                    len(ids), rows_per_user, search_share, catalogue, rng
                )
                queries = draw_queries(rows, catalogue, rng)
                session = append_logs(
                    staging, rows, queries, ids, session, catalogue, rng
                )
                np.add.at(num_rows, (rows.user + start, rows.is_rec.astype(int)), 1)
                bar.update(len(rows.user))
        write_users(staging, user_ids, num_rows, group, rng)
