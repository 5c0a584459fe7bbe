import dataclasses
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError, DatasetInfo, list_tables
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.models import SESRec, UniSAR
from sar_tf.serving.export import export, input_signature
from sar_tf.serving.load import load_saved_model
from sar_tf.spec import INPUTS

# Scores what signature.npz holds by a SavedModel, without this package.
LOAD = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
model = tf.saved_model.load(f"{folder}/1")
scores = {}
for name, signature in model.signatures.items():
    if name == "serving_default":
        continue
    inputs = dict(np.load(f"{folder}/{name}.npz"))
    scores[name] = signature(**{n: tf.constant(a) for n, a in inputs.items()})["scores"]
np.savez(f"{folder}/scores.npz", **scores)
assert not any(name.startswith("sar_tf") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def pipeline(simulated_dataset):
    return BatchPipeline(
        SequenceDataset.open(simulated_dataset),
        batch_size=64,
        max_rec_history=5,
        max_search_history=4,
        num_groups=1,
    )


@pytest.fixture(scope="module")
def model(pipeline):
    keras.utils.set_random_seed(1)
    return UniSAR(pipeline.spec, pipeline.tables, embedding_dim=8, hidden_dim=8)


@pytest.fixture(scope="module")
def exported(model, pipeline, tmp_path_factory):
    """A folder with an export that an older and a killed one came before."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "1").mkdir()
    (folder / "1" / "old").touch()
    (folder / ".partial-1").mkdir()
    export(model, folder / "1", pipeline)
    return folder


def as_signature(model, task, batch, size=None):
    """Targets of a batch, each with its history, as a signature takes them."""
    rows = batch[task]["history_row"].numpy()
    flat = {name: value.numpy() for name, value in batch[task].items()}
    for name, value in batch["history"].items():
        if INPUTS[name].part == "history":
            flat[name] = value.numpy()[rows]
    names = input_signature(task, model)
    return {name: tf.constant(flat[name][:size]) for name in names}


def test_another_process_scores_the_same(pipeline, model, exported):
    batch = next(iter(pipeline.evaluate("test")))
    expected = {}
    for task in model.tasks:
        inputs = as_signature(model, task, batch)
        np.savez(exported / f"rank_{task}.npz", **inputs)
        expected[f"rank_{task}"] = keras.ops.convert_to_numpy(model.score(task, batch))
    subprocess.run(
        [sys.executable, "-c", LOAD, exported], check=True, cwd=exported, timeout=120
    )
    with np.load(exported / "scores.npz") as scores:
        assert set(scores) == {"rank_rec", "rank_search"}
        for name, values in expected.items():
            assert values.shape[1] == 100
            np.testing.assert_allclose(scores[name], values, atol=1e-6)


def test_any_number_of_rows_and_candidates(pipeline, model, exported):
    rank = tf.saved_model.load(exported / "1").signatures["rank_rec"]
    batch = next(iter(pipeline.evaluate("test")))
    scores = rank(**as_signature(model, "rec", batch))["scores"].numpy()
    few = as_signature(model, "rec", batch, size=3)
    few["candidates"] = few["candidates"][:, 5:12]
    np.testing.assert_allclose(rank(**few)["scores"], scores[:3, 5:12], atol=1e-6)


def test_signature_names_what_a_task_needs(model):
    rec = input_signature("rec", model)
    search = input_signature("search", model)
    assert set(search) - set(rec) == {"query_words"}
    assert set(rec) - set(model.needs) == {"candidates"}
    assert "search_queries" not in rec  # only words tell a query here
    assert rec["candidates"].shape.as_list() == [None, None]
    assert rec["rec_items"].shape.as_list() == [None, 5]
    assert rec["search_mask"].dtype == tf.bool


def test_models_need_different_inputs(pipeline):
    model = SESRec(pipeline.spec, pipeline.tables, item_dims=(4,), num_heads=2)
    names = set(input_signature("rec", model))
    assert {"search_queries", "search_sources", "user"} < names
    assert not {"rec_positions", "query_words", "pair_items"} & names


def test_an_export_replaces_the_one_before(exported):
    assert not list(exported.glob(".partial-*"))
    assert not (exported / "1" / "old").exists()


def test_data_of_other_sizes_is_refused(pipeline, model, tmp_path):
    other = dataclasses.replace(pipeline, max_rec_history=6)
    with pytest.raises(ValueError, match="made for other data"):
        export(model, tmp_path / "1", other)
    assert not (tmp_path / "1").exists()


def test_unknown_ids_are_read_as_0(pipeline, model, exported):
    rank = tf.saved_model.load(exported / "1").signatures["rank_search"]
    batch = next(iter(pipeline.evaluate("test")))
    inputs = as_signature(model, "search", batch, size=2)

    def scores_with(number):
        """The scores after the first id of each input became this number."""
        changed = {name: x.numpy() for name, x in inputs.items()}
        for array in changed.values():
            if array.dtype == "int32":
                array[(0,) * array.ndim] = number
        return rank(**{n: tf.constant(x) for n, x in changed.items()})["scores"]

    expected = scores_with(0)
    for number in (-1, -(2**31), 2**31 - 1):
        np.testing.assert_array_equal(scores_with(number), expected)


@pytest.fixture
def rebuilt(simulated_dataset, tmp_path):
    """The dataset made again of other logs, in which one item has another raw id."""
    folder = shutil.copytree(simulated_dataset, tmp_path / "rebuilt")
    vocabulary = folder / "vocabularies" / "item.txt"
    ids = vocabulary.read_text().split("\n")
    vocabulary.write_text("\n".join(["-1", *ids[1:]]))
    info = DatasetInfo.load(folder)
    dataclasses.replace(info, tables=list_tables(folder)).save(folder)
    return folder


def test_a_saved_model_is_loaded_for_its_dataset_only(
    simulated_dataset, rebuilt, exported
):
    loaded = load_saved_model(exported / "1", simulated_dataset)
    assert {"rank_rec", "rank_search"} < set(loaded.signatures)
    with pytest.raises(DatasetError, match="another dataset") as error:
        load_saved_model(exported / "1", rebuilt)
    assert "other vocabularies/item.txt;" in str(error.value)


def test_a_saved_model_that_does_not_tell_its_dataset(simulated_dataset, tmp_path):
    (tmp_path / "assets.extra").mkdir()
    for text in ("", "[]", '{"fingerprint": "a"}'):
        (tmp_path / "assets.extra" / "dataset.json").write_text(text)
        with pytest.raises(DatasetError, match=r"dataset.json does not tell"):
            load_saved_model(tmp_path, simulated_dataset)


def test_a_rebuilt_dataset_is_refused(rebuilt, model, tmp_path):
    data = BatchPipeline(
        SequenceDataset.open(rebuilt), max_rec_history=5, max_search_history=4
    )
    with pytest.raises(ValueError, match="made for another dataset"):
        export(model, tmp_path / "1", data)
