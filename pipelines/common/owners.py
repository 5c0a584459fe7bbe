"""The kept users and items, and the used queries and sources: raw and dense ids."""

from typing import NamedTuple

import numpy as np

from pipelines.common.codes import load_codes
from pipelines.common.disk import save_array
from pipelines.common.keys import find_texts
from pipelines.common.vocabulary import SavedIds, Vocabulary
from sar_tf.paths import AnyPath


class Owners(NamedTuple):
    """Kept users or items: their sorted keys, dense ids and vocabulary.

    The users of a Beam job are too many: it has the keys and dense ids of each part.
    """

    keys: np.ndarray
    dense_ids: np.ndarray
    vocabulary: SavedIds

    @classmethod
    def of(cls, work: AnyPath, kind: str, keys: np.ndarray) -> "Owners":
        """The owners with these sorted keys; also saves the keys for `features`."""
        texts = find_texts(work, kind, keys)
        order = np.argsort(texts, kind="stable")
        dense_ids = np.empty(len(keys), np.int64)
        dense_ids[order] = np.arange(1, len(keys) + 1)
        save_array(work / f"kept_{kind}.npy", keys)
        return cls(keys, dense_ids, Vocabulary(texts[order]))


def dense_codes(
    work: AnyPath, kind: str, counts: np.ndarray
) -> tuple[Vocabulary, np.ndarray]:
    """The texts of the used codes, and the dense id of each code.

    Args:
        work: The job's own folder.
        kind: "query" or "source".
        counts: How often each code is used.
    """
    used = np.flatnonzero(counts)
    texts = find_texts(work, kind, np.asarray(load_codes(work, kind))[used])
    vocabulary = Vocabulary.build(texts[texts != ""])
    dense_ids = np.zeros(len(counts), np.int64)
    if len(used):
        dense_ids[used] = np.where(texts != "", vocabulary.encode(texts), 0)
    return vocabulary, dense_ids
