import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.serving.export import export, input_signature
from sar_tf.training.build import build_model

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
    return build_model("unisar", pipeline, {"embedding_dim": 8, "hidden_dim": 8})


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """A folder with an export that an older and a killed one came before."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "1").mkdir()
    (folder / "1" / "old").touch()
    (folder / ".partial-1").mkdir()
    export(model, folder / "1")
    return folder


def as_signature(inputs):
    """The inputs of a batch of one group as those of a signature."""
    flat = {name: value for name, value in inputs.items() if name != "history"}
    flat.update(inputs["history"][0])
    del flat["row"], flat["is_target"]
    return {name: value.numpy() for name, value in flat.items()}


def test_another_process_scores_the_same(pipeline, model, exported):
    batch = next(iter(pipeline.evaluate("test")))
    expected = {}
    for task, inputs in batch.items():
        np.savez(exported / f"rank_{task}.npz", **as_signature(inputs))
        expected[f"rank_{task}"] = keras.ops.convert_to_numpy(model.score(task, inputs))
    subprocess.run(
        [sys.executable, "-c", LOAD, exported], check=True, cwd=exported, timeout=120
    )
    with np.load(exported / "scores.npz") as scores:
        assert set(scores) == {"rank_rec", "rank_search"}
        for name, values in expected.items():
            assert values.shape[1] == 100
            np.testing.assert_allclose(scores[name], values, atol=1e-6)


def test_any_number_of_rows_and_candidates(pipeline, exported):
    rank = tf.saved_model.load(exported / "1").signatures["rank_rec"]
    inputs = as_signature(next(iter(pipeline.evaluate("test")))["rec"])
    scores = rank(**{n: tf.constant(a) for n, a in inputs.items()})["scores"].numpy()
    few = {name: tf.constant(array[:3]) for name, array in inputs.items()}
    few["candidates"] = few["candidates"][:, 5:12]
    np.testing.assert_allclose(rank(**few)["scores"], scores[:3, 5:12], atol=1e-6)


def test_signature_names_what_a_task_needs(model):
    rec = input_signature("rec", model.data_spec)
    search = input_signature("search", model.data_spec)
    assert set(search) - set(rec) == {"query", "query_words"}
    assert rec["candidates"].shape.as_list() == [None, None]
    assert rec["rec_items"].shape.as_list() == [None, 5]
    assert rec["search_mask"].dtype == tf.bool


def test_an_export_replaces_the_one_before(exported):
    assert not list(exported.glob(".partial-*"))
    assert not (exported / "1" / "old").exists()
