"""Ranks of targets among the whole catalogue."""

from typing import Any, NamedTuple

import numpy as np

from sar_tf.metrics.ranks import metrics_of_ranks, rank_of_first
from sar_tf.training.catalogue import Scored

NOT_FOUND = np.iinfo(np.int32).max  # A rank that no metric counts.
RECALLS = (100, 1000)
_BEST = 10  # Items of the ranker that retrieval should find.


class Rivals(NamedTuple):
    """What a few targets are ranked against.

    Attributes:
        candidates: int `(R, C)`, the stored candidates, the positive first.
        known: `(M,)` rows and `(M,)` items that no target of the row is ranked against.
    """

    candidates: np.ndarray
    known: tuple[np.ndarray, np.ndarray]


def rank_in_catalogue(
    scored: Scored, rivals: Rivals, num_ranked: int
) -> dict[str, np.ndarray]:
    """The ranks of some targets by their scores.

    A rank is 1 + the number of other items, without the known ones, whose score is not
    below the positive's: ties and NaN count against the model.

    Args:
        scored: The scores.
        rivals: What they are ranked against.
        num_ranked: Items that retrieval finds for the ranker.

    Returns:
        Integers `(R,)`: "rank" among the catalogue and "sampled_rank" among the stored
        candidates. With a retrieval head also "retrieval_rank" by its products,
        "ranked_rank" after the model has ranked what the head finds (`NOT_FOUND` where
        the positive is not among that), and "best_found@k": of the model's ten best
        items, how many are among the k that the head finds first.
    """
    place = np.arange(len(scored.scores))
    positive = rivals.candidates[:, 0]
    is_rival = np.ones(scored.scores.shape, bool)
    is_rival[:, 0] = False
    is_rival[rivals.known] = False
    is_rival[place, positive] = False
    stored = np.take_along_axis(scored.scores, rivals.candidates, axis=1)
    found = {
        "rank": _rank(scored.scores, positive, is_rival),
        "sampled_rank": rank_of_first(stored),
    }
    if scored.closeness is None:
        return found
    found["retrieval_rank"] = _rank(scored.closeness, positive, is_rival)
    closeness = np.where(is_rival, scored.closeness, -np.inf)
    is_near = is_rival & _is_among_best(closeness, num_ranked - 1)
    found["ranked_rank"] = np.where(
        found["retrieval_rank"] <= num_ranked,
        _rank(scored.scores, positive, is_near),
        NOT_FOUND,
    )
    is_rival[place, positive] = True  # From here on it is an item as any other.
    is_best = is_rival & _is_among_best(
        np.where(is_rival, scored.scores, -np.inf), _BEST
    )
    closeness = np.where(is_rival, scored.closeness, -np.inf)
    for k in RECALLS:
        found[f"best_found@{k}"] = (is_best & _is_among_best(closeness, k)).sum(axis=1)
    return found


def _rank(scores, positive, is_rival):
    own = np.take_along_axis(scores, positive[:, None], axis=1)
    return 1 + np.sum(is_rival & ~(scores < own), axis=1)


def _is_among_best(scores, k):
    """Whether each score is one of the k highest of its row."""
    among = np.zeros(scores.shape, bool)
    k = min(k, scores.shape[1])
    if k:
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        np.put_along_axis(among, best, True, axis=1)
    return among


def full_metrics(ranks: dict[str, np.ndarray], is_exact: bool) -> dict[str, Any]:
    """The metrics of a task's targets.

    Args:
        ranks: What `rank_in_catalogue` returned, of all targets.
        is_exact: Whether the scores themselves are the products that retrieval
            computes, so that it finds what the ranker puts first.

    Returns:
        "targets", their number; the metrics "sampled" of the stored candidates and
        "ranker" of the catalogue; where the model retrieves, "retrieve_then_rank" and
        "retrieval" with "recall@k": the share of targets that are among the k items
        found first and, with a head, "recall_of_best_10@k": the share of the model's
        ten best items that are.
    """
    metrics: dict[str, Any] = {
        "targets": len(ranks["rank"]),
        "sampled": metrics_of_ranks(ranks["sampled_rank"]),
        "ranker": metrics_of_ranks(ranks["rank"]),
    }
    has_head = "retrieval_rank" in ranks
    if not has_head and not is_exact:
        return metrics
    by_retrieval = ranks["retrieval_rank" if has_head else "rank"]
    number = max(len(by_retrieval), 1)
    recall = {f"recall@{k}": float(np.sum(by_retrieval <= k)) / number for k in RECALLS}
    if has_head:
        recall |= {
            f"recall_of_best_{_BEST}@{k}": float(ranks[f"best_found@{k}"].sum())
            / (_BEST * number)
            for k in RECALLS
        }
    metrics["retrieve_then_rank"] = metrics_of_ranks(
        ranks["ranked_rank" if has_head else "rank"]
    )
    metrics["retrieval"] = recall
    return metrics
