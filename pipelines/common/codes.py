"""A job's own codes of items, queries and sources: places among their sorted keys."""

from collections.abc import Sequence

import numpy as np

from pipelines.common.behaviors import Behaviors
from pipelines.common.disk import map_array, save_array
from sar_tf.paths import AnyPath

CODES = ("query", "source")  # Texts of sessions, besides items.


def save_codes(work: AnyPath, kind: str, keys: np.ndarray) -> None:
    """Saves the sorted distinct keys of "item", "query" or "source"."""
    save_array(work / f"{kind}_keys.npy", keys)


def load_codes(work: AnyPath, kind: str) -> np.ndarray:
    """What `save_codes` saved."""
    return map_array(work / f"{kind}_keys.npy")


def encode_behaviors(
    behaviors: Behaviors, work: AnyPath, kinds: Sequence[str]
) -> Behaviors:
    """Behaviors with codes in the place of keys.

    Args:
        behaviors: Of some users.
        work: The job's own folder, with what `save_codes` saved.
        kinds: What has keys: of "item", "query" and "source".
    """
    rec, sessions, click_session, click_item = behaviors
    rec, sessions = rec.copy(), sessions.copy()
    for kind in kinds:
        keys = load_codes(work, kind)
        if kind == "item":
            rec["item"] = np.searchsorted(keys, rec["item"])
            click_item = np.searchsorted(keys, click_item)
        else:
            sessions[kind] = np.searchsorted(keys, sessions[kind])
    return Behaviors(rec, sessions, click_session, click_item)
