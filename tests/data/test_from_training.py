"""What targets may see of the clicks of training."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support.builders import make_record, rec, search, write_dataset
from support.rows import histories_of, to_numpy

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.item_queries import index_item_queries, queries_before
from sar_tf.data.neighbors import drawn_shares, even_shares
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.schema import REC, SEARCH
from sar_tf.data.training_edges import Edges, read_training_edges
from sar_tf.inputs import INPUTS

NEEDS = (
    "rec_items",
    "user",
    "search_mask",
    "rec_sessions",
    "search_sessions",
    *(n for n, x in INPUTS.items() if x.of_training),
)
NUM_USERS, NUM_ITEMS, NUM_QUERIES, BEHAVIORS = 250, 300, 12, 45


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Many users of few items, at few times: ties and repeated clicks everywhere."""
    rng = np.random.default_rng(4)
    records = []
    for user in range(1, NUM_USERS + 1):
        behaviors, time = [], int(rng.integers(0, 30)) * 60
        for _ in range(BEHAVIORS):
            time += int(rng.integers(0, 3)) * 60
            item = int(rng.integers(1, NUM_ITEMS + 1))
            query = int(rng.integers(1, NUM_QUERIES + 1))
            is_rec = rng.random() < 0.5
            behaviors.append(rec(time, item) if is_rec else search(time, query, [item]))
        targets = [
            (index, split, b.get("item") or b["clicked_items"][0])
            for index, b in enumerate(behaviors)
            for split in ["test" if index == BEHAVIORS - 1 else "train"]
            if index
        ]
        stored = np.arange(99) + NUM_ITEMS + 1
        records.append(make_record(user, behaviors, targets, stored))
    folder = tmp_path_factory.mktemp("crowded")
    queries = [[1]] * NUM_QUERIES
    write_dataset(folder, records, NUM_ITEMS + 99, queries, captions=False)
    return BatchPipeline(
        SequenceDataset.open(folder),
        batch_size=2048,
        needs=NEEDS,
        max_neighbors=3,
        max_item_queries=2,
        num_negatives=2,
        max_rec_history=5,
        session_minutes=1,
    ), records


@pytest.fixture(scope="module")
def clicks(crowded):
    """{user or item: [(time, item or user, query), …]} of both sides."""
    edges = read_training_edges(crowded[0].dataset)
    sides = {
        "user": collections.defaultdict(list),
        "item": collections.defaultdict(list),
    }
    for user, item, query, time in zip(*(x.tolist() for x in edges), strict=True):
        sides["user"][user].append((time, item, query))
        sides["item"][item].append((time, user, query))
    return sides


@pytest.fixture(scope="module")
def epoch(crowded):
    """The training batches of an epoch, and for each row its possible times."""
    pipeline, records = crowded
    batches = pipeline.train_from(0).take(pipeline.steps_per_epoch())
    times = collections.defaultdict(list)
    for record in records:
        for behavior, item in zip(
            record.target_behavior, record.target_item, strict=True
        ):
            task = "rec" if record.type[behavior] else "search"
            times[task, record.user, int(item)].append(int(record.timestamp[behavior]))
    return to_numpy(batches), times


def rows_with_one_time(epoch):
    """(task, batch, row, the target's time) of all targets that are known by it."""
    batches, times = epoch
    for batch in batches:
        for task in ("rec", "search"):
            inputs = batch[task]
            positives = inputs["candidates"][:, 0].tolist()
            for row, user in enumerate(inputs["user"].tolist()):
                found = times[task, user, positives[row]]
                if len(found) == 1:
                    yield task, batch, row, found[0]


def test_nothing_at_or_after_a_targets_time_is_read(epoch, clicks):
    """Nor the target's own click, which is at its time; of 10,000 targets."""
    number, ties = 0, 0
    for task, batch, row, time in rows_with_one_time(epoch):
        number += 1
        inputs = {n: x[row] for n, x in batch[task].items() if n in INPUTS}
        user = int(inputs["user"])
        of_user = [(i, q) for t, i, q in clicks["user"][user] if t < time]
        ties += len(of_user) < len([t for t, *_ in clicks["user"][user] if t <= time])
        pairs = list(
            zip(
                inputs["neighbor_items"].tolist(),
                inputs["neighbor_queries"].tolist(),
                strict=True,
            )
        )
        assert set(pairs) <= set(of_user) if of_user else not any(map(any, pairs))
        for column, item in enumerate(inputs["candidates"].tolist()):
            of_item = [(u, q) for t, u, q in clicks["item"][item] if t < time]
            other = int(inputs["candidate_users"][column])
            query = int(inputs["candidate_user_queries"][column])
            assert (other, query) in of_item if of_item else (other, query) == (0, 0)
            asked = {q for _, q in of_item if q}
            shown = inputs["candidate_queries"][column]
            assert np.count_nonzero(shown) == min(len(asked), 2)
            assert set(shown[shown > 0].tolist()) <= asked
            second = [(i, q) for t, i, q in clicks["user"][other] if t < time]
            pairs = zip(
                inputs["second_items"][column].tolist(),
                inputs["second_queries"][column].tolist(),
                strict=True,
            )
            assert set(pairs) <= set(second) if second else set(pairs) == {(0, 0)}
    assert number >= 10_000 and ties == number


def test_histories_see_queries_before_their_own_targets(epoch, clicks):
    for task, batch, row, time in list(rows_with_one_time(epoch))[::17]:
        history = histories_of(batch, task)
        for item, shown in zip(
            history["rec_items"][row], history["rec_item_queries"][row], strict=True
        ):
            asked = {q for t, _, q in clicks["item"][int(item)] if t < time and q}
            assert set(shown[shown > 0].tolist()) <= asked
            assert np.count_nonzero(shown) == min(len(asked), 2)


def sessions_before(record, time):
    """{type: sessions of the behaviors before a time, the newest first}."""
    number, later, found = 0, time, {REC: [], SEARCH: []}
    for own, kind in zip(record.timestamp[::-1], record.type[::-1], strict=True):
        if own < time:
            number += later - own > 60
            found[kind].append(number)
            later = own
    return found


def test_sessions_follow_the_targets_time(crowded, epoch):
    """They are told by what is earlier than it; of 10,000 targets."""
    _, records = crowded
    number, current = 0, 0
    histories = {}
    for task, batch, row, time in rows_with_one_time(epoch):
        number += 1
        key = id(batch), task
        if key not in histories:
            histories[key] = histories_of(batch, task)
        history = {name: x[row] for name, x in histories[key].items()}
        expected = sessions_before(records[batch[task]["user"][row] - 1], time)
        slots = np.count_nonzero(history["rec_items"])
        shown = history["rec_sessions"][:slots][::-1].tolist()
        assert shown == expected[REC][:5]
        shown = history["search_sessions"][history["search_mask"]][::-1].tolist()
        assert shown == expected[SEARCH][:30]
        current += 0 in expected[REC] + expected[SEARCH]
    assert number >= 10_000 and 0.2 < current / number < 0.9


def test_evaluation_reads_the_same_each_time_and_training_does_not(crowded, epoch):
    pipeline, _ = crowded
    test = pipeline.test()
    one, other = to_numpy(test), to_numpy(test)
    for name in ("neighbor_items", "second_items", "candidate_users"):
        np.testing.assert_array_equal(one[0]["rec"][name], other[0]["rec"][name])
    assert one[0]["rec"]["neighbor_items"].all()
    assert not one[0]["rec"]["candidate_users"][:, 1:].any()  # Nobody's items.
    steps = pipeline.steps_per_epoch()
    again = to_numpy(pipeline.train_from(0).take(steps + 1))
    drawn = [x["rec"]["neighbor_items"] for x in (epoch[0][0], again[0], again[steps])]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_one_group_reads_as_several_do(crowded):
    pipeline, _ = crowded
    several = to_numpy(pipeline.test())[0]
    one = to_numpy(dataclasses.replace(pipeline, num_groups=1).test())[0]
    number = len(several["rec"]["user"])
    for name in NEEDS:
        parts = [
            (histories_of(b, "rec") if INPUTS[name].part == "history" else b["rec"])[
                name
            ][:number]
            for b in (one, several)
        ]
        np.testing.assert_array_equal(*parts, err_msg=name)


def best_queries(edges, item, time, width):
    """By a plain count."""
    found = [
        (t, place, q)
        for place, (i, q, t) in enumerate(
            zip(edges.item, edges.query, edges.time, strict=True)
        )
        if i == item and t < time and q
    ]
    counts = collections.Counter(q for *_, q in found)
    newest = {q: place for _, place, q in found}
    ranked = sorted(counts, key=lambda q: (-counts[q], -newest[q]))[:width]
    return ranked + [0] * (width - len(ranked))


def test_best_queries_are_the_most_frequent_the_newest_of_equals_first():
    rng = np.random.default_rng(1)
    time = np.sort(rng.integers(0, 40, 300))
    edges = Edges(time, rng.integers(1, 6, 300), rng.integers(0, 8, 300), time)
    table = index_item_queries(edges, 6, 3)
    items = np.repeat(np.arange(7), 12)
    times = np.tile(np.arange(0, 48, 4), 7)
    found = queries_before(
        table, tf.constant(items, tf.int32), tf.constant(times, tf.int64)
    )
    expected = [
        best_queries(edges, *asked, 3) for asked in zip(items, times, strict=True)
    ]
    assert found.numpy().tolist() == expected


def test_shares_are_ascending_and_uniform():
    np.testing.assert_allclose(even_shares(4), [0.125, 0.375, 0.625, 0.875])
    drawn = drawn_shares([500, 3], tf.constant([1, 2])).numpy()
    assert (np.diff(drawn, axis=1) >= 0).all()
    assert drawn.mean() == pytest.approx(0.5, abs=0.03)


def test_tables_hold_all_clicks(crowded, clicks):
    pipeline, _ = crowded
    tables = pipeline.tables["training"]
    assert tables["user_items"].shape == (NUM_USERS + 1, 3)
    assert tables["item_queries"].shape == (NUM_ITEMS + 100, 2)
    assert tables["query_words"].shape == (NUM_QUERIES + 1, 1)
    for user in (1, 77):
        pairs = zip(
            tables["user_items"][user], tables["user_queries"][user], strict=True
        )
        assert set(pairs) <= {(i, q) for _, i, q in clicks["user"][user]}
    edges = read_training_edges(pipeline.dataset)
    for item in (1, 30):
        expected = best_queries(edges, item, np.inf, 2)
        assert tables["item_queries"][item].tolist() == expected
        pair = tables["item_users"][item, 0], tables["item_user_queries"][item, 0]
        assert pair in {(u, q) for _, u, q in clicks["item"][item]}
