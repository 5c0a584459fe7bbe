"""What may stand for the queries and clicks of histories, before each target."""

import collections

import numpy as np
import pytest
from support.builders import make_record, rec, search, write_dataset
from support.rows import histories_of, to_numpy

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.training_edges import read_training_edges

NEEDS = (
    "rec_items",
    "search_queries",
    "clicked_items",
    "user",
    "other_clicked_items",
    "other_search_words",
    "random_search_words",
)
NUM_USERS, NUM_ITEMS, NUM_QUERIES, BEHAVIORS = 560, 300, 12, 45


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Searches of few queries and items at few times; query q has the word q."""
    rng = np.random.default_rng(5)
    records, times = [], {}
    for user in range(1, NUM_USERS + 1):
        behaviors, time = [], int(rng.integers(0, 30))
        items = rng.permutation(NUM_ITEMS) + 1  # Each one once: it tells the target.
        for item in items[:BEHAVIORS].tolist():
            time += int(rng.integers(0, 3))
            query = int(rng.integers(1, NUM_QUERIES + 1))
            is_rec = rng.random() < 0.5
            behaviors.append(rec(time, item) if is_rec else search(time, query, [item]))
            times[user, item] = time
        targets = [
            (index, "train", b["item"])
            for index, b in enumerate(behaviors)
            if index and "item" in b
        ]
        records.append(make_record(user, behaviors, targets))
    folder = tmp_path_factory.mktemp("crowded")
    queries = [[query] for query in range(1, NUM_QUERIES + 1)]
    write_dataset(folder, records, NUM_ITEMS, queries, captions=False)
    data = BatchPipeline(
        SequenceDataset.open(folder),
        tasks=("rec",),
        batch_size=2048,
        needs=NEEDS,
        num_negatives=2,
        max_search_history=5,
    )
    return data, times


def test_nothing_at_or_after_a_targets_time_is_read(crowded):
    """Of 10,000 targets. Nor the target's own click, which is at its time."""
    data, times = crowded
    items, queries = (collections.defaultdict(list) for _ in range(2))
    edges = read_training_edges(data.dataset)
    for item, query, time in zip(edges.item, edges.query, edges.time, strict=True):
        if query:
            items[int(query)].append((time, int(item)))
            queries[int(item)].append((time, int(query)))
    number, late = 0, 0
    for batch in to_numpy(data.train_from(0).take(data.steps_per_epoch())):
        inputs, history = batch["rec"], histories_of(batch, "rec")
        for row, user in enumerate(inputs["user"].tolist()):
            time = times[user, int(inputs["candidates"][row, 0])]
            number += 1
            for slot, query in enumerate(history["search_queries"][row].tolist()):
                clicked = int(history["clicked_items"][row, slot, 0])
                drawn = (
                    (items[query], int(inputs["other_clicked_items"][row, slot, 0])),
                    (queries[clicked], int(inputs["other_search_words"][row, slot, 0])),
                )
                chance = int(inputs["random_search_words"][row, slot, 0])
                assert (1 <= chance <= NUM_QUERIES) if query else not chance
                for known, found in drawn:
                    earlier = {x for t, x in known if t < time}
                    late += len(earlier) < len(known)
                    assert found in earlier if earlier else not found
    assert number >= 10_000 and late > number


def test_an_epoch_draws_others(crowded):
    data, _ = crowded
    drawn = [
        next(iter(data.train_from(epoch)))["rec"]["other_clicked_items"].numpy()
        for epoch in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
