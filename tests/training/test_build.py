import builders
import numpy as np
import pytest

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.training.build import ModelError, build_model, data_spec


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    builders.write_dataset(folder, *builders.random_records(40, 12))
    return BatchPipeline(
        SequenceDataset.open(folder), max_rec_history=7, max_query_words=2, num_groups=1
    )


def test_data_spec(pipeline):
    spec, info = data_spec(pipeline), pipeline.dataset.info
    assert (spec.num_users, spec.num_items) == (info.num_users, info.num_items)
    assert (spec.max_rec_history, spec.max_search_history) == (7, 30)
    assert spec.max_query_words == spec.caption_length == 2
    assert spec.max_clicked_items == info.max_clicked_items
    assert spec.user_features == {"level": 2}
    assert spec.item_features == {}


def test_a_text_that_is_no_caption(pipeline, monkeypatch):
    features = {"user": {"biography": {"kind": "words", "num": 9}}, "item": {}}
    monkeypatch.setattr(pipeline.dataset.info, "features", features)
    with pytest.raises(ModelError, match=r"a feature of user is \['biography'\]"):
        data_spec(pipeline)


def test_model_has_weights_tables_and_metrics(pipeline):
    model = build_model("unisar", pipeline, {"hidden_dim": 8, "embedding_dim": 4})
    assert model.built
    assert set(model.ranking_metrics) == {"rec", "search"}
    caption = np.array(model.item_encoder.tables["caption"].numpy())
    assert caption[1].tolist() == [1, 2] and not caption[2:].any()
    levels = model.user_encoder.tables["level"].numpy()
    assert levels.tolist() == [i % 3 for i in range(len(levels))]


def test_unknown_model(pipeline):
    with pytest.raises(ModelError, match="no model is named 'none'"):
        build_model("none", pipeline, {})


def test_bad_hyperparameter(pipeline):
    with pytest.raises(ModelError, match=r"model unisar: .*'none'"):
        build_model("unisar", pipeline, {"fusion": "none"})
