"""Random batches of the shapes of amazon_beauty, to time models: nothing to learn."""

import dataclasses
import itertools

import numpy as np

from sar_tf.models import DataSpec

# Queries are as wide as the official code pads them.
BEAUTY = DataSpec(
    num_users=22_363,
    num_items=12_101,
    num_words=638,
    num_queries=3_116,
    num_search_sources=0,
    max_rec_history=30,
    max_search_history=30,
    max_query_words=12,
    max_clicked_items=1,
)

_SHORTEST_SEQUENCE = 3  # Behaviors that every user has before the evaluated targets.
_TAIL = 1.75  # A sequence is at least n long with probability (3 / n)^1.75.
_POPULARITY = 6  # Item u^6 of all, u uniform: of 8,000 clicks 3,200 are distinct.
_FEWEST_WORDS = 3


@dataclasses.dataclass(frozen=True)
class RandomBatches:
    """Makes batches as `BatchPipeline` gives them, but of NumPy arrays.

    As on Amazon data every behavior is a target of all tasks, which share its history;
    a history has as many searches as recommendations, and each item is found by one
    query. Lengths of histories, repeated items and numbers of words are like
    amazon_beauty's: in training 7 on average, a fifth of them 1, in evaluation 3 or
    more.

    Attributes:
        tasks: "rec", "search" or both.
        num_groups: As `BatchPipeline`'s: 1 gives every task histories of its own, at
            full width.
        spec: Sizes; histories of both types must be as wide, and sessions have one
            clicked item.
        seed: Of everything random.
    """

    tasks: tuple[str, ...] = ("rec", "search")
    num_groups: int = 4
    spec: DataSpec = BEAUTY
    seed: int = 1

    def train(self, sizes, num_negatives=4, num_sampled=1024) -> list[dict]:
        """A training batch of each number of targets a task."""
        batches = []
        for rng, size in zip(self._generators(), sizes, strict=False):
            lengths = _draw_lengths(rng, size, self.spec.max_rec_history, training=True)
            batch = self._batch(rng, lengths, num_negatives + 1)
            for inputs in batch.values():
                queries = rng.integers(1, self.spec.num_queries + 1, num_sampled)
                inputs["sampled_items"] = self._items(rng, num_sampled)
                inputs["sampled_queries"] = queries
                inputs["sampled_query_words"] = self._query_words[queries]
            if self.num_groups > 1:
                self._add_pairs(batch)
            batches.append(_narrow(batch))
        return batches

    def evaluate(self, sizes, num_candidates=100) -> list[dict]:
        """An evaluation batch of each number of targets a task."""
        batches = []
        for rng, size in zip(self._generators(), sizes, strict=False):
            lengths = _draw_lengths(
                rng, size, self.spec.max_rec_history, training=False
            )
            batches.append(_narrow(self._batch(rng, lengths, num_candidates)))
        return batches

    def _generators(self):
        """A random generator for each batch, whatever the size of those before."""
        for index in itertools.count():
            yield np.random.default_rng((self.seed, index))

    @property
    def _query_words(self):
        """`(num_queries + 1, W)`, padded with 0."""
        rng = np.random.default_rng(self.seed)
        shape = self.spec.num_queries + 1, self.spec.max_query_words
        words = rng.integers(1, self.spec.num_words + 1, shape)
        number = rng.integers(_FEWEST_WORDS, shape[1] + 1, (shape[0], 1))
        number[0] = 0
        return np.where(np.arange(shape[1]) < number, words, 0)

    def _items(self, rng, shape):
        share = rng.random(shape) ** _POPULARITY
        return 1 + (share * self.spec.num_items).astype(np.int64)

    def _query_of(self, items):
        return np.where(items > 0, 1 + items % self.spec.num_queries, 0)

    def _batch(self, rng, lengths, num_candidates):
        size = len(lengths)
        users = rng.integers(1, self.spec.num_users + 1, size)
        history = self._history(rng, np.sort(lengths))
        bounds = np.arange(self.num_groups + 1) * size // self.num_groups
        batch = {}
        for task in self.tasks:
            inputs = {"row": np.arange(size), "user": users}
            inputs["candidates"] = self._items(rng, (size, num_candidates))
            if task == "search":
                inputs["query"] = self._query_of(inputs["candidates"][:, 0])
                inputs["query_words"] = self._query_words[inputs["query"]]
            if self.num_groups == 1:
                inputs["history"] = (history,)
                inputs["is_target"] = np.full(size, True)
            else:
                inputs["history_rows"] = tuple(map(np.arange, np.diff(bounds)))
            batch[task] = inputs
        if self.num_groups > 1:
            batch[self.tasks[0]]["history"] = tuple(
                _trim(history, start, end) for start, end in itertools.pairwise(bounds)
            )
        return batch

    def _history(self, rng, lengths):
        slots = np.arange(self.spec.max_rec_history)
        mask = slots < lengths[:, None]
        recs, clicked = (np.where(mask, self._items(rng, mask.shape), 0) for _ in "rs")
        queries = self._query_of(clicked)
        positions = np.broadcast_to(2 * slots, mask.shape)
        return {
            "rec_items": recs,
            "rec_positions": positions,
            "search_queries": queries,
            "search_words": self._query_words[queries],
            "clicked_items": clicked[:, :, None],
            "search_sources": np.zeros_like(queries),
            "search_mask": mask,
            "search_positions": positions + 1,
        }

    def _add_pairs(self, batch):
        """The distinct (query, clicked item) pairs, told apart by the item alone."""
        groups = batch[self.tasks[0]]["history"]
        clicked = np.concatenate([group["clicked_items"].ravel() for group in groups])
        items, counts = np.unique(clicked[clicked > 0], return_counts=True)
        queries = self._query_of(items)
        for inputs in batch.values():
            inputs["pairs"] = {
                "queries": queries,
                "items": items,
                "counts": counts.astype(np.float32),
                "query_words": self._query_words[queries],
            }


def _draw_lengths(rng, size, longest, training):
    """Lengths of histories, those above the longest cut to it.

    The sequences before the evaluated targets have random lengths. Each behavior of
    one is a training target, so that lengths up to the shortest are equally frequent.
    """
    lengths = np.arange(1, 50 * longest + 1)
    at_least = np.minimum(1.0, (_SHORTEST_SEQUENCE / lengths) ** _TAIL)
    shares = at_least if training else at_least - np.append(at_least[1:], 0.0)
    drawn = rng.choice(lengths, size, p=shares / shares.sum())
    return np.minimum(drawn, longest)


def _trim(history, start, end):
    """Some rows, as wide as the longest of them."""
    width = max(history["search_mask"][start:end].sum(axis=1).max(initial=0), 1)
    return {name: array[start:end, :width] for name, array in history.items()}


def _narrow(batch):
    """The arrays with the types that the pipeline gives them."""
    if isinstance(batch, dict):
        return {name: _narrow(part) for name, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(map(_narrow, batch))
    return batch.astype(np.int32) if batch.dtype == np.int64 else batch
