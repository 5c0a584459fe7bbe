"""Training steps that XLA compiles, as for a TPU."""

import keras
import numpy as np
import pytest

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.training.build import build_model, fit_pipeline
from sar_tf.training.compile import compile_model

STEPS = 6


@pytest.fixture
def bfloat16():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_dtype_policy(before)


def test_a_compiled_step_in_bfloat16_learns(simulated_dataset, bfloat16):
    """Its weights and optimizer are in float32, and gradients are clipped."""
    keras.utils.set_random_seed(1)
    pipeline = BatchPipeline(
        SequenceDataset.open(simulated_dataset),
        batch_size=64,
        max_rec_history=4,
        max_search_history=4,
        num_sampled=20,
        num_groups=1,
    )
    small = {"num_experts": 1, "tower_units": (8,), "prediction_units": (8,)}
    # With one task XLA has half as much to compile, of the same operations.
    small = {**small, "hidden_dim": 16, "tasks": ("rec",)}
    model = build_model("unisar", pipeline, small)
    pipeline = fit_pipeline(pipeline, model)
    compile_model(model, 1e-2, 1e-5, clip_norm=1.0, jit_compile=True)
    model.train_function.begin(STEPS)
    history = model.fit(
        pipeline.train_from(0),
        steps_per_epoch=STEPS,
        epochs=2,
        shuffle=False,
        verbose=0,
    ).history
    first, second = history["rec_click_loss"]
    assert second < first - 0.01
    assert {layer.compute_dtype for layer in model.layers} == {"bfloat16"}
    for variable in (*model.trainable_variables, *model.optimizer.variables):
        assert variable.dtype in ("float32", "int64", "int32"), variable.path
    assert np.all([np.isfinite(weight).all() for weight in model.get_weights()])
