import numpy as np
import pytest
import tensorflow as tf
from support.raw_events import request_of, targets_of
from support.rows import to_numpy

from sar_tf.inputs import INPUTS
from sar_tf.needs import ALL_NEEDS
from sar_tf.serving.raw_inputs import raw_inputs, vocabulary_names
from sar_tf.serving.raw_reader import RawReader
from sar_tf.serving.vocabularies import Vocabularies


@pytest.fixture(scope="module")
def make_batch(tmp_path_factory):
    """The batch that a graph makes: make_batch(pipeline, task, request)."""

    def make(pipeline, task, request):
        folder = tmp_path_factory.mktemp("tables")
        names = vocabulary_names(ALL_NEEDS)
        vocabularies = Vocabularies(pipeline.dataset, pipeline.spec, names, folder)
        reader = RawReader(pipeline.spec, ALL_NEEDS, vocabularies)
        batch = tf.function(reader.batch)(task, request)
        return tf.nest.map_structure(lambda x: x.numpy(), batch)

    return make


@pytest.mark.parametrize("log, split", [("kuaisar", "validation"), ("amazon", "test")])
@pytest.mark.parametrize("task", ["rec", "search"])
def test_inputs_are_those_of_the_pipeline(request, make_batch, log, split, task):
    pipeline = request.getfixturevalue(f"{log}_pipeline")
    events = request.getfixturevalue(f"{log}_raw")
    targets = targets_of(pipeline.dataset, events, task, split)
    names = [entry.name for entry in raw_inputs(task, ALL_NEEDS)]
    raw = request_of(targets, [*names, "candidates"], seed=2)
    made = make_batch(pipeline, task, raw)
    batches = to_numpy(pipeline.evaluate(split))
    assert len(targets) > 25
    assert max(len(target.events) for target in targets) > 9  # More than the windows.
    for name in set(made[task]) - {"history_row"}:
        expected = np.concatenate(
            [batch[task][name][batch[task]["is_target"]] for batch in batches]
        )
        np.testing.assert_array_equal(made[task][name], expected, name)
    wanted = {
        name
        for name in ALL_NEEDS
        if INPUTS[name].part == "history" and not INPUTS[name].of_training
    }
    assert set(made["history"]) == wanted
    sessions = made["history"]["rec_sessions"]
    assert log != "kuaisar" or len(np.unique(sessions[:, 0])) > 2
    for name in wanted:
        expected = np.concatenate(
            [
                batch["history"][name][
                    batch[task]["history_row"][batch[task]["is_target"]]
                ]
                for batch in batches
            ]
        )
        np.testing.assert_array_equal(made["history"][name], expected, name)


def test_the_simulated_logs_have_what_the_job_drops(kuaisar_pipeline, kuaisar_raw):
    """Otherwise the test above would not see whether unknown items are left out."""
    users = set(kuaisar_pipeline.dataset.vocabulary("user"))
    items = set(kuaisar_pipeline.dataset.vocabulary("item"))
    dropped = [
        event
        for user, events in kuaisar_raw.items()
        for event in events
        if user in users and not {*event.clicked_items, event.item or "1"} <= items
    ]
    assert dropped
