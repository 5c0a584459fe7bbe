import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.builders import random_records, write_dataset

from sar_tf import models
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.inputs import INPUTS, TASKS
from sar_tf.needs import ALL_NEEDS, check_needs, inputs_of, reads_history
from sar_tf.spec import axis_sizes, empty_batch, make_batch

SIZES = {"H": 5, "G": 2, "B": 6, "C": 3, "S": 4, "P": 7, "Q": 2}


def zeros(entry, shape):
    return np.zeros(shape, entry.dtype)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    write_dataset(folder, *random_records(num_users=30, max_behaviors=12))
    return BatchPipeline(SequenceDataset.open(folder), batch_size=8, num_sampled=4)


def test_make_batch_has_the_shapes_and_types_of_the_table():
    made = make_batch(SPEC, TASKS, ALL_NEEDS, zeros, SIZES)
    assert list(made) == ["history", *TASKS]
    sizes = {**axis_sizes(SPEC), **SIZES}
    assert sizes["Nr"] == 4 and sizes["Ns"] == 3 and sizes["W"] == 3 and sizes["K"] == 2
    for arrays in made.values():
        for name, array in arrays.items():
            entry = INPUTS[name]
            assert array.shape == tuple(sizes[axis] for axis in entry.axes), name
            assert array.dtype == entry.dtype, name
    assert made["history"]["clicked_items"].shape == (5, 3, 2)
    of_search = {name for name, x in INPUTS.items() if x.tasks == ("search",)}
    assert of_search > {"query", "query_words"}
    assert made["search"].keys() - made["rec"].keys() == of_search
    own = made["rec"].keys() - made["search"].keys()
    assert own == {name for name, x in INPUTS.items() if x.tasks == ("rec",)}
    assert own > {"sequence_items", "other_clicked_items"}
    assert made["rec"]["sequence_items"].shape == (2, 5)
    assert made["rec"]["pair_query_words"].shape == (7, 3)


def test_make_batch_has_what_is_needed_and_what_is_always_there():
    made = make_batch(SPEC, ("search",), ("rec_items", "query"), zeros, SIZES)
    groups = {"group_ends", "rec_widths", "search_widths"}
    assert made["history"].keys() == {"rec_items", *groups}
    rows = {"candidates", "history_row", "is_target"}
    assert made["search"].keys() == {*rows, "query"}
    without = make_batch(SPEC, ("rec",), ("user", "sampled_items"), zeros, SIZES)
    assert without.keys() == {"rec"}
    assert without["rec"].keys() == {*rows, "user", "sampled_items"}


def test_a_batch_of_evaluation_has_neither_labels_nor_draws():
    parts = ("history", "groups", "row")
    made = make_batch(SPEC, TASKS, ALL_NEEDS, zeros, SIZES, parts)
    names = {name for arrays in made.values() for name in arrays}
    assert not any(INPUTS[name].part in ("label", "draw") for name in names)


def test_an_empty_batch_has_no_rows():
    made = empty_batch(SPEC, TASKS, ALL_NEEDS)
    assert made["rec"]["candidates"].shape[0] == 0
    assert made["history"]["rec_items"].shape == (0, 4)
    assert made["history"]["group_ends"].shape == (1,)


def test_inputs_of_a_task():
    entries = inputs_of(("row",), ALL_NEEDS, "rec")
    names = [entry.name for entry in entries if not entry.of_training]
    assert names == ["candidates", "history_row", "is_target", "user"]
    names = [entry.name for entry in inputs_of(("groups",), ())]
    assert names == ["group_ends", "rec_widths", "search_widths"]


def test_needs():
    assert check_needs(["user"]) == ("user",)
    assert reads_history(("user", "search_mask"))
    assert not reads_history(("user", "sampled_items", "pair_items"))
    with pytest.raises(ValueError, match=r"needs names weather, wind; a batch has"):
        check_needs(("wind", "user", "weather"))
    with pytest.raises(ValueError, match="needs names candidates"):
        check_needs(("candidates",))  # always there, so not to be named


def test_every_input_has_a_meaning():
    for name, entry in INPUTS.items():
        assert entry.name == name
        assert entry.meaning.endswith(".")
        assert entry.part in ("history", "groups", "row", "label", "draw")
        assert entry.dtype in ("int32", "bool", "float32")


def keys_and_types(dataset):
    return {
        part: {name: (spec.dtype.name, spec.shape.rank) for name, spec in own.items()}
        for part, own in dataset.element_spec.items()
    }


def table_of(tasks, needs, parts):
    made = make_batch(SPEC, tasks, needs, zeros, SIZES, parts)
    return {
        part: {name: (array.dtype.name, array.ndim) for name, array in own.items()}
        for part, own in made.items()
    }


NEEDS = {
    "all": (TASKS, ALL_NEEDS),
    "items": (TASKS, ()),
    "user": (("rec",), ("user",)),
    "sampled": (TASKS, ("sampled_items",)),
    "pairs": (TASKS, ("pair_items", "pair_counts")),
    "history": (("search",), ("clicked_items",)),
    # What the model says, of those that say the same the last.
    **dict.fromkeys(
        {(models.get(n).tasks, models.get(n).needs): n for n in models.names()}.values()
    ),
}


@pytest.mark.parametrize(("case", "num_groups"), [("all", 1), *((n, 4) for n in NEEDS)])
def test_the_pipeline_gives_exactly_the_tables_keys(pipeline, case, num_groups):
    """Of training and of evaluation, the same whatever the number of groups."""
    if case in models.names():
        model = models.get(case)(SPEC, feature_tables(SPEC))
        tasks, needs = model.tasks, model.needs
    else:
        tasks, needs = NEEDS[case]
    data = dataclasses.replace(
        pipeline, tasks=tasks, needs=needs, num_groups=num_groups
    )
    evaluated = ("history", "groups", "row")
    trained = (*evaluated, "label", "draw")
    assert keys_and_types(data.train()) == table_of(tasks, needs, trained)
    assert keys_and_types(data.test()) == table_of(tasks, needs, evaluated)


def test_training_from_a_step_gives_what_an_epoch_gives(pipeline):
    assert keys_and_types(pipeline.train_from(0)) == keys_and_types(pipeline.train())


def test_static_axes_of_the_pipeline_are_the_specs(pipeline):
    data = dataclasses.replace(pipeline, max_rec_history=5, max_search_history=2)
    sizes = {**axis_sizes(data.spec), "G": 3, "C": 5, "S": 4}
    for own in data.train().element_spec.values():
        for name, spec in own.items():
            expected = [sizes.get(axis) for axis in INPUTS[name].axes]
            assert spec.shape.as_list() == expected, name


def test_the_batches_of_the_tests_are_of_the_table():
    made = batch(SPEC, random_histories(SPEC, [(1, 2), (0, 0)]))
    expected = make_batch(SPEC, TASKS, ALL_NEEDS, zeros, SIZES)
    for part, arrays in made.items():
        assert expected[part].keys() == arrays.keys()
        for name, array in arrays.items():
            assert array.dtype == INPUTS[name].dtype, name


def test_it_needs_no_tensorflow():
    code = (
        "import sys, sar_tf.spec, sar_tf.settings; print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
