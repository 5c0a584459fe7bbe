"""Writes simulated raw logs in the KuaiSAR layout, with structure worth learning.

    python pipelines/simulate.py --output_dir=data/logs --num_users=2000

Users have latent interests (themes of items) that drift, and follow them in search
and recommendation alike, but often turn to a new one when they cross from one to the
other: the shares of UniSAR's Figure 2 come out. Popularity within a theme is Zipf's.
A query is made of words from the caption of an item that the user wants. The logs
cover KuaiSAR's 19 days. Same seed and sizes, same bytes.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from pipelines import job
from pipelines.simulate_behavior import draw_queries, draw_rows
from pipelines.simulate_catalogue import make_catalogue
from pipelines.simulate_files import append_logs, write_items, write_users

USERS_PER_PART = 5000  # Bounds memory: users are drawn and written part by part.
MIN_ITEMS = 400


def write_logs(
    output_dir: str | os.PathLike,
    *,
    num_users: int = 2000,
    num_items: int = 4000,
    rows_per_user: float = 150.0,
    search_share: float = 0.28,
    seed: int = 1,
) -> None:
    """Writes rec_inter, src_inter, user_features, item_features and social_network.

    Args:
        output_dir: Folder to make; it appears when complete.
        num_users: Users of the logs.
        num_items: Items of the catalogue; at least 400.
        rows_per_user: Mean number of rows of a user in both logs together.
        search_share: Share of search sessions among search sessions and
            recommendation batches; the default gives KuaiSAR's ratio of rows.
        seed: Of every draw.

    Raises:
        job.UserError: A size is too small, or output_dir already holds files.
    """
    if num_users < 1:
        raise job.UserError(f"--num_users {num_users} is not a positive number")
    if num_items < MIN_ITEMS:
        raise job.UserError(f"--num_items {num_items} is below {MIN_ITEMS}")
    if rows_per_user <= 0:
        raise job.UserError(f"--rows_per_user {rows_per_user} is not positive")
    if not 0 < search_share < 1:
        raise job.UserError(f"--search_share {search_share} is not between 0 and 1")
    rng = np.random.default_rng(seed)
    with job.staged_output(Path(output_dir)) as staging:
        catalogue = make_catalogue(num_items, rng)
        write_items(staging, catalogue, rng)
        # Gaps between the raw ids, as filtered logs have them.
        user_ids = np.sort(rng.choice(10 * num_users, num_users, replace=False)) + 1
        num_rows = np.zeros((num_users, 2), np.int64)
        group = np.zeros(num_users, np.int64)
        session = 1
        with job.progress("simulating", None, " rows") as bar:
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


def main(argv: list[str] | None = None) -> None:
    parser = job.argument_parser(
        "simulate", "Writes simulated raw logs in the KuaiSAR layout."
    )
    parser.add_argument("--num_users", type=int, default=2000)
    parser.add_argument("--num_items", type=int, default=4000, help="at least 400")
    parser.add_argument(
        "--rows_per_user",
        type=float,
        default=150.0,
        help="mean number of rows of a user in both logs (default: 150)",
    )
    parser.add_argument(
        "--search_share",
        type=float,
        default=0.28,
        help="share of search sessions among sessions and recommendation batches "
        "(default: 0.28, which gives KuaiSAR's ratio of rows)",
    )
    job.run(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    write_logs(
        args.output_dir,
        num_users=args.num_users,
        num_items=args.num_items,
        rows_per_user=args.rows_per_user,
        search_share=args.search_share,
        seed=args.seed,
    )


if __name__ == "__main__":
    main()
