"""What the rows of the input pipeline's batches hold, in plain Python."""

import numpy as np
import tensorflow as tf

from sar_tf.data.schema import SPLITS, TASKS
from sar_tf.inputs import INPUTS
from support.builders import expected_history

LIMITS = {"max_rec_history": 4, "max_search_history": 3}


def to_numpy(dataset):
    """The batches of a dataset, as NumPy arrays."""
    return [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in dataset]


def read_epoch(pipeline, epoch=0):
    """The training batches of an epoch."""
    batches = pipeline.train_from(epoch)
    elements = pipeline.steps_per_epoch() * pipeline.replicas_of_worker
    return to_numpy(batches.take(elements))


def targets_of(records, task, split):
    """(record, index of the target), in the order of the records."""
    return [
        (record, target)
        for record in records
        for target in range(len(record.target_task))
        if record.target_task[target] == TASKS[task]
        and record.target_split[target] == SPLITS[split]
    ]


def histories_of(batch, task):
    """The histories' arrays of a task, one history a row of the task."""
    rows = batch[task]["history_row"]
    return {
        name: array[rows]
        for name, array in batch["history"].items()
        if INPUTS[name].part == "history"
    }


def lengths_of(batch):
    """(recommendations, searches) of each of the batch's histories."""
    history = batch["history"]
    counts = (history["rec_items"] > 0).sum(1), history["search_mask"].sum(1)
    return np.stack(counts, axis=1)


def groups_of(batch):
    """The rows of the batch's histories in each group: slices."""
    ends = batch["history"]["group_ends"]
    return [slice(*pair) for pair in zip([0, *ends[:-1]], ends, strict=True)]


def rows_of(batch, task):
    """Each row's history as lists without padding, in the order of the rows."""
    arrays = histories_of(batch, task)
    rows = []
    for i in range(len(batch[task]["history_row"])):
        recs = np.count_nonzero(arrays["rec_items"][i])
        mask = arrays["search_mask"][i]
        searches = np.count_nonzero(mask)
        assert mask[:searches].all() and not arrays["rec_items"][i][recs:].any()
        for name in ("search_queries", "search_words", "clicked_items"):
            assert not arrays[name][i][searches:].any()
        row = {
            name: arrays[name][i][: recs if "rec" in name else searches].tolist()
            for name in arrays
            if name != "search_mask" and not INPUTS[name].of_training
        }
        for name in ("search_words", "clicked_items"):
            row[name] = [[v for v in ids if v] for ids in row[name]]
        rows.append(row)
    return rows


def check_row(inputs, row, history, record, target):
    """Asserts that a row is a target, and its history that of `expected_history`."""
    assert inputs["user"][row] == record.user
    assert inputs["candidates"][row][0] == record.target_item[target]
    limits = LIMITS["max_rec_history"], LIMITS["max_search_history"]
    history = dict(history)
    for kind in ("rec", "search"):
        # The few seconds of a record are one session.
        sessions = history.pop(f"{kind}_sessions")
        assert sessions == [0] * len(history[f"{kind}_positions"])
    assert history == expected_history(record, target, *limits)
    if "query" in inputs:
        behavior = record.target_behavior[target]
        assert inputs["query"][row] == record.query[behavior]
        words = inputs["query_words"][row]
        assert words[words > 0].tolist() == record.query_words.rows()[behavior].tolist()
