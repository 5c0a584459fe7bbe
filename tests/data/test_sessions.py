"""Sessions of histories, from the records' times."""

import numpy as np
import pytest
import tensorflow as tf
from support.builders import make_record, rec, search, write_dataset
from support.rows import histories_of, to_numpy

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.now import users_now
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.sessions import number_sessions

NOON = 1_700_000_000  # In seconds.
NEEDS = ("rec_items", "search_queries", "rec_sessions", "search_sessions", "user")


@pytest.mark.parametrize("per_second", [1, 1000])
def test_a_pause_of_more_than_30_minutes_ends_a_session(per_second):
    """Minutes 0, 30, 60 and a second, 60 and a second, 300; then another user's."""
    seconds = np.array([0, 1800, 3601, 3601, 18_000, 0, 1])
    times = tf.constant((NOON + seconds) * per_second, tf.int64)
    numbers = number_sessions(times, 30).numpy()
    assert numbers[:5].tolist() == [0, 0, 1, 1, 2]
    assert numbers[5] == numbers[6]
    assert number_sessions(times[:0], 30).shape == (0,)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One user, in minutes; 600 and 605 are the targets of a session, 1000 of another.

    Of 3 recommendations and 2 searches at most, the window of 605 has those from 20 on.
    """
    minutes = [0, 20, 45, 100, 131, 131, 600, 605, 1000]
    kinds = "RSRSRRRSR"
    behaviors = []
    for place, (minute, kind) in enumerate(zip(minutes, kinds, strict=True)):
        time = (NOON + 60 * minute) * 1000
        behaviors.append(
            rec(time, place + 1) if kind == "R" else search(time, place + 1, [20])
        )
    targets = [
        (4, "train", 5),
        (5, "train", 6),
        (6, "train", 7),
        (7, "train", 20),
        (8, "test", 9),
    ]
    folder = tmp_path_factory.mktemp("sessions")
    records = [make_record(1, behaviors, targets), make_record(2, [rec(5, 1)])]
    write_dataset(folder, records, 130, [[1]] * 9, captions=False)
    return BatchPipeline(
        SequenceDataset.open(folder),
        batch_size=8,
        evaluation_batch_size=8,
        needs=NEEDS,
        max_rec_history=3,
        max_search_history=2,
        num_groups=1,
    )


def sessions_of(batch, task):
    """By positive: the sessions of the recommendations and of the searches."""
    history, rows = histories_of(batch, task), batch[task]
    return {
        int(candidates[0]): (
            history["rec_sessions"][row].tolist(),
            history["search_sessions"][row].tolist(),
        )
        for row, candidates in enumerate(rows["candidates"])
        if rows["is_target"][row]
    }


def test_sessions_are_counted_back_from_the_targets_own(data):
    """Pauses are after 45, 100 and 131, all of 31 minutes or more, and after 605."""
    (batch,) = to_numpy(data.train_from(0).take(1))
    assert sessions_of(batch, "rec") == {
        # At 131: 0, 45 | 20, 100, which is a session of its own.
        5: ([2, 2, 0], [2, 1]),
        6: ([2, 2, 0], [2, 1]),
        # At 600: 45, 131, 131 | 20, 100; the current session is empty.
        7: ([3, 1, 1], [3, 2]),
    }
    # At 605: 131, 131, 600 | 20, 100.
    assert sessions_of(batch, "search") == {20: ([1, 1, 0], [3, 2])}
    (batch,) = to_numpy(data.test())
    # At 1000: 131, 131, 600 | 100, 605.
    assert sessions_of(batch, "rec") == {9: ([2, 2, 1], [3, 1])}


def test_a_user_of_now_is_in_the_newest_session(data):
    """At 1000: 131, 600, 1000 | 100, 605; the second user has one behavior."""
    (batch,) = users_now(data, 2)
    history = {name: x.numpy().tolist() for name, x in batch["history"].items()}
    assert history["rec_sessions"] == [[2, 1, 0], [0, 0, 0]]
    assert history["search_sessions"] == [[3, 1], [0, 0]]
