"""Steps that XLA compiles, as for a TPU, and steps in bfloat16 still learn."""

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
def bfloat16():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_dtype_policy(before)


def train(dataset_dir, model_name, **compile_arguments):
    """The click losses of a first and a last step, and the trained model."""
    keras.utils.set_random_seed(1)
    pipeline = BatchPipeline(
        SequenceDataset.open(dataset_dir),
        batch_size=128,
        tasks=models.get(model_name).tasks,
        max_rec_history=4,
        max_search_history=4,
        num_sampled=20,
        num_groups=1,
    )
    model = build_model(model_name, pipeline, {})
    compile_model(model, 1e-2, 1e-5, **compile_arguments)
    losses = []
    for _ in range(2):
        model.train_function.begin(STEPS)
        history = model.fit(
            pipeline.train(), steps_per_epoch=STEPS, shuffle=False, verbose=0
        ).history
        losses.append(history["rec_click_loss"][0])
    return model, losses


@pytest.mark.parametrize("model_name", ["unisar", "sesrec"])
def test_xla_compiles_the_step(simulated_dataset, model_name):
    _, losses = train(simulated_dataset, model_name, jit_compile=True)
    assert losses[1] < losses[0] - 0.01


def test_bfloat16_learns_with_weights_and_losses_in_float32(
    simulated_dataset, bfloat16
):
    model, losses = train(simulated_dataset, "unisar", clip_norm=1.0)
    assert losses[1] < losses[0] - 0.01
    for variable in (*model.trainable_variables, *model.optimizer.variables):
        assert variable.dtype in ("float32", "int64", "int32"), variable.path
    assert model.experts.compute_dtype == "bfloat16"
    assert np.all([np.isfinite(weight).all() for weight in model.get_weights()])
