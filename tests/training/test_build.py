import re

import pytest
from support import builders

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.training.build import ModelError, build_model, fit_pipeline


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    builders.write_dataset(folder, *builders.random_records(40, 12))
    return BatchPipeline(SequenceDataset.open(folder), num_groups=1)


def test_the_pipeline_makes_what_the_model_reads(pipeline):
    model = build_model("sesrec", pipeline, {"ablation": "base"})
    fitted = fit_pipeline(pipeline, model)
    assert fitted.tasks == ("rec",)
    assert "sampled_queries" not in next(iter(fitted.train()))["rec"]


def test_unknown_model(pipeline):
    with pytest.raises(ModelError, match="no model is named 'none'"):
        build_model("none", pipeline, {})


def test_bad_hyperparameter(pipeline):
    with pytest.raises(ModelError, match=r"model unisar: .*'none'"):
        build_model("unisar", pipeline, {"fusion": "none"})


@pytest.mark.parametrize("model", ["unisar", "sasrec"])
def test_what_a_layer_refuses_is_one_line(pipeline, model):
    with pytest.raises(ModelError) as raised:
        build_model(model, pipeline, {"num_heads": 3})
    expected = rf"model {model}: \w+: num_heads=3 does not divide the width 64"
    assert re.fullmatch(expected, str(raised.value))
