import dataclasses

import numpy as np
import pytest

from sar_tf import models
from sar_tf.interop import projects, sesrec
from sar_tf.interop.fixtures import Fixture, build_model, compute_outputs


@pytest.fixture(scope="module")
def fixture(golden_dir):
    return Fixture.load(golden_dir / "sesrec_features.npz")


def test_sizes_from_shapes(fixture):
    features = sesrec.features(fixture.state)
    assert features == {
        "user": ["gender", "age", "src_level"],
        "item": ["type1", "cate"],
    }
    assert sesrec.history_lengths(fixture.state) == {
        "max_rec_history": 8,
        "max_search_history": 6,
    }
    assert sesrec.hyperparameters(fixture.state, features) == {
        "item_dims": (16, 4, 4),
        "user_dims": (8, 2, 2, 4),
        "query_dim": 8,
        "word_dim": 8,
        "num_layers": 1,
        "prediction_units": (200, 80),
    }


@pytest.mark.parametrize(
    "name",
    [
        "query_item_feat.item_feat.item_id_emb.weight",
        "query_item_feat.item_feat.item_cate_emb.weight",
        "user_feat.user_id_emb.weight",
    ],
)
def test_the_width_of_a_missing_table_is_what_is_left(fixture, name):
    features = sesrec.features(fixture.state)
    expected = sesrec.hyperparameters(fixture.state, features)
    state = {key: value for key, value in fixture.state.items() if key != name}
    assert sesrec.hyperparameters(state, features) == expected


def test_features_in_another_order_than_ours(fixture):
    """A dataset may list its features in its own order."""
    model, batch = build_model(fixture)
    spec = model.spec
    reordered = dataclasses.replace(
        spec,
        user_features=dict(reversed(spec.user_features.items())),
        item_features=dict(reversed(spec.item_features.items())),
    )
    features = {
        "user": list(reordered.user_features),
        "item": list(reordered.item_features),
    }
    hyperparameters = sesrec.hyperparameters(fixture.state, features)
    assert hyperparameters["user_dims"] == (8, 4, 2, 2)
    tables = {
        kind: {
            name.removeprefix(f"{kind}_"): table
            for name, table in fixture.tables.items()
            if name.startswith(f"{kind}_")
        }
        for kind in ("user", "item")
    }
    other = models.SESRec(
        reordered, tables, num_heads=2, dropout=0.0, **hyperparameters
    )
    projects.of_weights(fixture.state).assign(other, fixture.state)
    scores = np.asarray(other.score("rec", batch))[:, 0]
    np.testing.assert_allclose(scores, fixture.outputs["scores"], atol=1e-5)


def test_empty_slots_count_in_the_official_co_attention(fixture):
    """The paper's variant gives other masks, so the fixture tells them apart."""
    model, batch = build_model(fixture)
    config = {**model.get_config(), "co_attention": "paper"}
    paper = models.SESRec.from_config(config)
    paper.set_weights(model.get_weights())
    read = paper.encode_history(batch["history"], training=False)["masks"]
    _, similar, _ = read["rec"]
    official = fixture.outputs["mask_rec_positive"]
    assert np.any(np.asarray(similar) != official)


def test_two_layers(fixture):
    """Each layer takes the weights of its own number."""
    state = dict(fixture.state)
    for key, value in fixture.state.items():
        if ".layer.0." in key:
            state[key.replace(".layer.0.", ".layer.1.")] = value * 1.5
    deeper = dataclasses.replace(fixture, state=state)
    model, _ = build_model(deeper)
    first, second = model.encoders["search"]
    np.testing.assert_allclose(
        np.asarray(second.feed_forward_in.kernel),
        np.asarray(first.feed_forward_in.kernel) * 1.5,
    )
    assert np.isfinite(compute_outputs(deeper)["scores"]).all()
