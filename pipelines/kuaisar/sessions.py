"""Search sessions whose id two users have: only the first user keeps the session."""

from pathlib import Path

import numpy as np

from pipelines.kuaisar.split import load_part


def find_repeated_sessions(work: Path, num_parts: int) -> np.ndarray:
    """Finds session ids that an earlier row of the log gives to another user.

    Args:
        work: Folder of the job's own files.
        num_parts: Number of parts that the rows are laid out in.

    Returns:
        [n] rows of SESSION: each id with a user that it does not belong to.
    """
    found = []
    for part in range(num_parts):
        sessions, _ = load_part(work, "sessions", part)
        _, first, place = np.unique(
            sessions["session"], return_index=True, return_inverse=True
        )
        owner = sessions["user"][first][place]
        found.append(np.unique(sessions[sessions["user"] != owner]))
    return np.concatenate(found)


def is_in(search: np.ndarray, sessions: np.ndarray) -> np.ndarray:
    """[rows] whether the session and user of a row of SEARCH are among `sessions`."""
    if not len(sessions):
        return np.zeros(len(search), bool)
    suspects = np.flatnonzero(np.isin(search["session"], sessions["session"]))
    pairs = set(sessions.tolist())
    found = np.zeros(len(search), bool)
    found[suspects] = [
        (row["session"], row["user"]) in pairs for row in search[suspects]
    ]
    return found
