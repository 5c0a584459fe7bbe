"""Models from configs and files, here and in another process."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy
from support.tiny_model import Tiny, tiny
from support.unisar_case import OPTIONS, SIZES

from sar_tf.models import SESRec, UniSAR

SESREC = {"item_dims": (4, 2), "user_dims": (3,), "prediction_units": (5,)}
CASES = {
    "unisar": (UniSAR, OPTIONS | {"fusion": "paper"}),
    "sesrec": (SESRec, SESREC),
    "tiny": (Tiny, {"width": 3, "tasks": ("rec",)}),
}

# Loads a model and prints its scores, metrics and optimizer, in the default policy.
LOAD = """
import json, sys
import keras
import numpy as np
from support.batches import SPEC, batch, random_histories
import sar_tf.models, support.tiny_model
from support.unisar_case import SIZES

path, dtype = sys.argv[1:]
assert keras.config.dtype_policy().name == "float32"
model = keras.models.load_model(path)
assert keras.config.dtype_policy().name == "float32"
assert model.dtype_policy.name == dtype, model.dtype_policy
assert model.item_encoder.dtype_policy.name == dtype
inputs = batch(SPEC, random_histories(SPEC, SIZES))
scores = {t: np.asarray(model.score(t, inputs)).tolist() for t in model.tasks}
optimizer = model.optimizer
momenta = sum(float(abs(np.asarray(v)).sum()) for v in optimizer.variables)
rate = optimizer.get_config()["learning_rate"]
found = [type(optimizer).__name__, rate, int(optimizer.iterations), momenta]
print(json.dumps([scores, found]))
"""


@pytest.fixture
def inputs():
    return batch(SPEC, random_histories(SPEC, SIZES))


def scores_of(model, inputs):
    return {task: numpy(model.score(task, inputs)) for task in model.tasks}


def in_another_process(path, repository, dtype="float32"):
    paths = [str(repository), str(repository / "tests")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path), dtype],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_config_and_weights_make_a_copy(name, inputs, tmp_path):
    cls, options = CASES[name]
    model = cls(SPEC, feature_tables(SPEC), **options)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(model)
    )
    assert isinstance(copy, cls)
    assert copy.spec == model.spec
    assert copy.get_config() == model.get_config()
    assert (copy.needs, copy.tasks) == (model.needs, model.tasks)
    assert copy.loss_weights == model.loss_weights
    model.save_weights(tmp_path / "model.weights.h5")
    copy.load_weights(tmp_path / "model.weights.h5")
    expected = scores_of(model, inputs)
    for task, scores in scores_of(copy, inputs).items():
        np.testing.assert_array_equal(scores, expected[task])


def test_a_config_is_json():
    model = tiny(width=3, tasks=("rec",))
    copy = Tiny.from_config(json.loads(json.dumps(model.get_config())))
    assert copy.get_config() == model.get_config()
    assert copy.tasks == ("rec",)


def test_a_model_without_tables_is_an_error():
    with pytest.raises(ValueError, match=r"pass tables=data\.tables") as error:
        Tiny(SPEC)
    assert "category, brand" in str(error.value) or "level" in str(error.value)
    with pytest.raises(ValueError, match=r"Tiny needs the feature tables"):
        Tiny(spec=SPEC, tables=None)


def test_a_table_of_another_shape_is_an_error():
    tables = feature_tables(SPEC)
    tables["item"]["brand"] = tables["item"]["brand"][:-1]
    with pytest.raises(ValueError, match=r"'brand' has shape \(20,\), not \(21,\)"):
        Tiny(SPEC, tables)
    del tables["item"]["brand"]
    with pytest.raises(ValueError, match=r"no table for the features \['brand'\]"):
        Tiny(SPEC, tables)


def test_scoring_before_loading_is_an_error(inputs):
    model = tiny()
    copy = Tiny.from_config(model.get_config())
    with pytest.raises(ValueError, match="load its weights first"):
        copy.score("rec", inputs)
    copy.compile("adam", run_eagerly=True)
    with pytest.raises(ValueError, match="load its weights first"):
        copy.train_on_batch(inputs)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        numpy(copy.score("rec", inputs)), numpy(model.score("rec", inputs))
    )


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["unisar", "tiny"])
def test_a_saved_file_is_loaded_in_another_process(
    name, dtype, inputs, tmp_path, repository
):
    cls, options = CASES[name]
    model = cls(SPEC, feature_tables(SPEC), dtype=dtype, **options)
    model.compile(keras.optimizers.Lion(0.25), run_eagerly=True)
    chosen = {part: inputs[part] for part in ("history", *model.tasks)}
    model.train_on_batch(chosen)
    path = tmp_path / "model.keras"
    model.save(path)
    scores, optimizer = in_another_process(path, repository, dtype)
    expected = scores_of(model, inputs)
    assert scores.keys() == expected.keys()
    for task, values in scores.items():
        np.testing.assert_allclose(values, expected[task], rtol=1e-6)
    assert optimizer[:3] == ["Lion", 0.25, 1]
    momenta = sum(float(np.abs(numpy(v)).sum()) for v in model.optimizer.variables)
    assert optimizer[3] == pytest.approx(momenta, rel=1e-5)


def test_a_loaded_model_evaluates_and_goes_on_training(inputs, tmp_path):
    model = tiny()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), run_eagerly=True)
    model.train_on_batch(inputs)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    copy.run_eagerly = True
    results = []
    for one in (model, copy):
        steps = [one.train_on_batch(inputs, return_dict=True) for _ in range(2)]
        results.append({n: float(v) for n, v in steps[-1].items()})
        evaluated = one.evaluate(inputs, return_dict=True, verbose=0)
        assert evaluated.keys() > {"click_loss", "rec_click_loss", "rec_NDCG@5"}
        results[-1] |= evaluated
    # The model's running means went on from the first step.
    del results[0]["loss"], results[1]["loss"]
    for name in ("rec_NDCG@5", "search_MRR", "rec_HR@1"):
        assert results[0][name] == pytest.approx(results[1][name], rel=1e-6)
    for ours, theirs in zip(model.variables, copy.variables, strict=True):
        if ours.trainable:
            np.testing.assert_allclose(numpy(ours), numpy(theirs), rtol=1e-6)
