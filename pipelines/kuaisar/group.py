"""Groups KuaiSAR's rows into behaviors."""

from pathlib import Path

import numpy as np

from pipelines.common.behaviors import Grouped, group_behaviors, save_behaviors
from pipelines.kuaisar.repeats import is_foreign, repeated_clicks
from pipelines.kuaisar.split import load_part

MIN_INTERACTIONS = 5
RULES = ("in the logs", "in the last two days", "only one behavior")
LAST_RULE = f"fewer than {MIN_INTERACTIONS} interactions"


def group_part(part: int, work: Path, foreign: np.ndarray, end_time: int) -> Grouped:
    """Groups the rows of one part's users into behaviors and saves them.

    A behavior is a clicked recommendation or a search session. A repeated click counts
    once. A session has all rows of one session id. Only users with both kinds of
    behaviors are saved.

    Args:
        part: Number of the part.
        work: Folder of the job's own files, with `query_codes.npz` and
            `source_codes.npz`: the job's code of each code in a piece.
        foreign: Result of `find_foreign_sessions`; these rows are left out.
        end_time: Behaviors at this time and later are dropped, ms.

    Returns:
        See `save_behaviors`; its steps are those of `RULES`.
    """
    rec, _ = load_part(work, "rec", part)
    rec = rec[~repeated_clicks(rec)]
    search, piece = load_part(work, "search", part)
    owned = ~is_foreign(search, foreign)
    search, piece = search[owned], piece[owned]
    for name, codes in (("query", "query_codes"), ("source", "source_codes")):
        table = np.load(work / f"{codes}.npz")
        search[name] = table["codes"][table["offsets"][piece] + search[name]]
    read = group_behaviors(rec, search)
    in_time = read.take(read.rec["time"] < end_time, read.sessions["time"] < end_time)
    steps = (read, in_time, in_time.of_users_with_both())
    return save_behaviors(work / f"grouped-{part:05d}.npz", steps)
