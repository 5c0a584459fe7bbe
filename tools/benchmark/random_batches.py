"""Random batches of the shapes of amazon_beauty, to time models: nothing to learn."""

import dataclasses
import itertools

import numpy as np

from sar_tf.interop.pairs import slot_pairs
from sar_tf.needs import ALL_NEEDS
from sar_tf.spec import DataSpec, make_batch

# Amazon Beauty has queries of at most 7 words, and the official code pads them to 50.
# 12 is in between: queries of 3 to 12 words cost what longer ones of KuaiSAR do.
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
_SESSION = 5  # Recommendations, and as many searches.
_LAST_TARGETS = 0.17  # Share of the training targets that are a user's last one.
_EVALUATION = ("history", "groups", "row")


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
        num_groups: As `BatchPipeline`'s: 1 gives every row a history of its own.
        spec: Sizes; histories of both types must be as wide, and sessions have one
            clicked item.
        needs: Inputs to make, by name.
        seed: Of everything random.
    """

    tasks: tuple[str, ...] = ("rec", "search")
    num_groups: int = 3
    spec: DataSpec = BEAUTY
    needs: tuple[str, ...] = ALL_NEEDS
    seed: int = 1

    def train(self, sizes, num_negatives=4, num_sampled=1024) -> list[dict]:
        """A training batch of each number of targets a task."""
        return [
            self._batch(rng, size, num_negatives + 1, num_sampled)
            for rng, size in zip(self._generators(), sizes, strict=False)
        ]

    def evaluate(self, sizes, num_candidates=100) -> list[dict]:
        """An evaluation batch of each number of targets a task."""
        return [
            self._batch(rng, size, num_candidates)
            for rng, size in zip(self._generators(), sizes, strict=False)
        ]

    @property
    def tables(self) -> dict[str, dict[str, np.ndarray]]:
        """What models take of the clicks of training: nothing, but the words."""
        users, items = self.spec.num_users + 1, self.spec.num_items + 1
        neighbors = np.zeros((users, self.spec.max_neighbors), np.int32)
        others = np.zeros((items, 1), np.int32)
        tables = {
            "item_queries": np.zeros((items, self.spec.max_item_queries), np.int32),
            "user_items": neighbors,
            "user_queries": neighbors,
            "item_users": others,
            "item_user_queries": others,
            "query_words": self._query_words,
        }
        return {"training": tables}

    def _generators(self):
        """A random generator for each batch, whatever the size of those before."""
        for index in itertools.count():
            yield np.random.default_rng((self.seed, index))

    def _batch(self, rng, size, num_candidates, num_sampled=None):
        """A batch; one of training where items are sampled."""
        training = num_sampled is not None
        lengths = _draw_lengths(rng, size, self.spec.max_rec_history, training)
        users = rng.integers(1, self.spec.num_users + 1, size)
        own = self._histories(rng, np.sort(lengths))
        shared = {"is_target": np.full(size, True), "user": users}
        own |= self._instruments(own["rec_items"], "rec_item_queries")
        batch = {}
        for place, task in enumerate(self.tasks):
            # With one group each task has copies of the histories, at their full width.
            first = place * size if self.num_groups == 1 else 0
            arrays = {**shared, "history_row": first + np.arange(size)}
            arrays["candidates"] = self._items(rng, (size, num_candidates))
            arrays |= self._instruments(arrays["candidates"], "candidate_queries")
            arrays |= self._neighbors(rng, size, num_candidates)
            arrays["query"] = self._query_of(arrays["candidates"][:, 0])
            arrays["query_words"] = self._query_words[arrays["query"]]
            if training:
                arrays |= self._draws(rng, num_sampled) | self._pairs(own)
                arrays |= self._sequences(rng, own, arrays["candidates"])
                arrays |= self._labels(rng, own, arrays)
            batch |= self._make((task,), arrays | self._laid_out(own), training)
        return batch

    def _make(self, tasks, arrays, training):
        """The arrays that the model needs, in the types and the order of the table."""
        sizes = {
            "H": len(arrays["rec_items"]),
            "G": self.num_groups,
            "B": len(arrays["user"]),
            "C": arrays["candidates"].shape[1],
            "S": len(arrays.get("sampled_items", ())),
            "P": len(arrays.get("pair_items", ())),
            "Q": len(arrays.get("sequence_items", ())),
        }

        def make(entry, shape):
            assert arrays[entry.name].shape == shape, entry.name
            return arrays[entry.name].astype(entry.dtype)

        parts = (*_EVALUATION, "label", "draw") if training else _EVALUATION
        return make_batch(self.spec, tasks, self.needs, make, sizes, parts)

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

    def _instruments(self, items, name):
        """Each item's queries; all have as many."""
        places = np.arange(self.spec.max_item_queries)
        items = items[..., None]
        return {name: self._query_of(np.where(items, items + places, 0))}

    def _neighbors(self, rng, size, num_candidates):
        """Neighbors in the graph of clicks, every second click of a search."""
        number = self.spec.max_neighbors
        items = self._items(rng, (size, number))
        second = self._items(rng, (size, num_candidates, number))
        shape = size, num_candidates
        return {
            "neighbor_items": items,
            "neighbor_queries": self._query_of(items) * (items % 2),
            "candidate_users": rng.integers(1, self.spec.num_users + 1, shape),
            "candidate_user_queries": rng.integers(0, self.spec.num_queries + 1, shape),
            "second_items": second,
            "second_queries": self._query_of(second) * (second % 2),
        }

    def _draws(self, rng, number):
        queries = rng.integers(1, self.spec.num_queries + 1, number)
        return {
            "sampled_items": self._items(rng, number),
            "sampled_queries": queries,
            "sampled_query_words": self._query_words[queries],
            "sampled_words": rng.integers(1, self.spec.num_words + 1, number),
        }

    def _labels(self, rng, own, arrays):
        """What stands for a click or search; an item's text is the target's query."""
        clicked, mask = own["clicked_items"], own["search_mask"]

        def items():
            return np.where(clicked, self._items(rng, clicked.shape), 0)

        def words():
            queries = rng.integers(1, self.spec.num_queries + 1, mask.shape)
            return self._query_words[np.where(mask, queries, 0)]

        return {
            "item_words": arrays["query_words"],
            "similar_items": items(),
            "other_clicked_items": items(),
            "other_search_words": words(),
            "random_search_words": words(),
            "target_query": arrays["query"],
            "target_user": arrays["user"],
        }

    def _histories(self, rng, lengths):
        """The history of each row, sorted by length."""
        slots = np.arange(self.spec.max_rec_history)
        mask = slots < lengths[:, None]
        recs, clicked = (np.where(mask, self._items(rng, mask.shape), 0) for _ in "rs")
        queries = self._query_of(clicked)
        positions = np.broadcast_to(2 * slots, mask.shape)
        sessions = np.where(mask, (lengths[:, None] - 1 - slots) // _SESSION, 0)
        return {
            "rec_items": recs,
            "rec_positions": positions,
            "search_queries": queries,
            "search_words": self._query_words[queries],
            "clicked_items": clicked[:, :, None],
            "search_sources": np.zeros_like(queries),
            "search_mask": mask,
            "search_positions": positions + 1,
            "rec_sessions": sessions,
            "search_sessions": sessions,
        }

    def _sequences(self, rng, own, candidates):
        """One row in six is its user's last target; with one group, all have a row."""
        items = np.pad(own["rec_items"], ((0, 0), (0, 1)))
        lengths = np.count_nonzero(items, axis=1)
        items[np.arange(len(items)), lengths] = candidates[:, 0]
        is_last = rng.random(len(items)) < _LAST_TARGETS
        items = np.where(is_last[:, None], items, 0)
        arrays = {
            "sequence_items": items,
            "sequence_negatives": np.where(items, self._items(rng, items.shape), 0),
        }
        if self.num_groups > 1:
            arrays = {name: x[is_last] for name, x in arrays.items()}
        return arrays | {"is_last": is_last}

    def _laid_out(self, own):
        """The batch's histories and their groups."""
        if self.num_groups == 1:
            own = {n: np.concatenate([x] * len(self.tasks)) for n, x in own.items()}
        lengths = own["search_mask"].sum(axis=1)
        ends = np.array([len(lengths)])
        if self.num_groups > 1:
            # Here because JAX, which takes one group, does without TensorFlow.
            from sar_tf.data.history_groups import group_ends

            longest = self.spec.max_rec_history
            ends = group_ends(lengths.astype("int32"), self.num_groups, longest).numpy()
        widths = np.array(
            [
                max(lengths[start:end].max(initial=0), 1)
                for start, end in itertools.pairwise([0, *ends])
            ]
        )
        return own | {
            "group_ends": ends,
            "rec_widths": widths,
            "search_widths": widths,
        }

    def _pairs(self, own):
        """The (query, clicked item) pairs of a task's histories.

        Each slot's with one group; else each pair once, told apart by the item alone.
        """
        if self.num_groups == 1:
            return slot_pairs(own)
        clicked = own["clicked_items"]
        items, counts = np.unique(clicked[clicked > 0], return_counts=True)
        queries = self._query_of(items)
        return {
            "pair_items": items,
            "pair_queries": queries,
            "pair_query_words": self._query_words[queries],
            "pair_counts": counts,
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
