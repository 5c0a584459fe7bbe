"""Steps that XLA compiles, as for a TPU, learn: in bfloat16 and in float32."""

import keras
import numpy as np
import pytest

from sar_tf import models
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.training.build import build_model
from sar_tf.training.compile import compile_model

STEPS = 6


@pytest.fixture
def precision(request):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(request.param)
    yield request.param
    keras.mixed_precision.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("model_name", "precision", "clip_norm"),
    [("unisar", "mixed_bfloat16", 1.0), ("sesrec", "float32", None)],
    indirect=["precision"],
)
def test_a_compiled_step_learns(simulated_dataset, model_name, precision, clip_norm):
    keras.utils.set_random_seed(1)
    pipeline = BatchPipeline(
        SequenceDataset.open(simulated_dataset),
        batch_size=128,
        tasks=models.get(model_name).tasks,
        max_rec_history=4,
        max_search_history=4,
        num_sampled=20,
        num_groups=1,
    )
    model = build_model(model_name, pipeline, {})
    compile_model(model, 1e-2, 1e-5, clip_norm=clip_norm, jit_compile=True)
    model.train_function.begin(STEPS)
    history = model.fit(
        pipeline.train(), steps_per_epoch=STEPS, epochs=2, shuffle=False, verbose=0
    ).history
    first, second = history["rec_click_loss"]
    assert second < first - 0.01
    assert {layer.compute_dtype for layer in model.layers} == {
        precision.removeprefix("mixed_")
    }
    for variable in (*model.trainable_variables, *model.optimizer.variables):
        assert variable.dtype in ("float32", "int64", "int32"), variable.path
    assert np.all([np.isfinite(weight).all() for weight in model.get_weights()])
