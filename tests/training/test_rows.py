import numpy as np
import pytest
from support.amazon_log import amazon_dataset
from support.layer_weights import randomize
from support.tiny_model import Tiny

import sar_tf
from sar_tf import models
from sar_tf.training.rows import map_rows, vocabulary_of
from sar_tf.training.transfer import take_weights, weights_by_place


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The log of today, and that of some days before."""
    folders = [tmp_path_factory.mktemp("log") for _ in range(2)]
    return [
        sar_tf.open_dataset(amazon_dataset(folder, days), max_query_words=4)
        for folder, days in zip(folders, (12, 7), strict=True)
    ]


@pytest.fixture(scope="module")
def taken(data):
    """A model, its tables before, a model of the older log and what was taken."""
    today, before = (Tiny(d.spec, d.tables) for d in data)
    randomize(today, 1)
    randomize(before, 2)
    fresh = {p: v.numpy() for p, v in weights_by_place(today).items()}
    transfer = take_weights(today, before, *(d.dataset for d in data))
    return today, fresh, before, transfer


@pytest.mark.parametrize(
    "name, place",
    [
        ("user", "user_encoder/id_embedding/embeddings"),
        ("item", "item_encoder/id_embedding/embeddings"),
        ("word", "query_encoder/word_embedding/embeddings"),
    ],
)
def test_known_ids_keep_their_vectors(data, taken, name, place):
    today, fresh, before, transfer = taken
    own, others = (d.dataset.vocabulary(name) for d in data)
    assert len(set(own) & set(others)) > 0 and own != others
    result, older = (weights_by_place(m)[place].numpy() for m in (today, before))
    for row, raw in enumerate(own, start=1):
        known = raw in others
        expected = older[1 + others.index(raw)] if known else fresh[place][row]
        np.testing.assert_array_equal(result[row], expected, raw)
    np.testing.assert_array_equal(result[0], older[0])
    known = len(set(own) & set(others))
    counts = f"{known} known, {len(own) - known} new, {len(others) - known} gone"
    assert f"{name}: {counts}" in str(transfer).splitlines()


def test_other_weights_are_taken_whole(taken):
    today, _, before, transfer = taken
    others = weights_by_place(before)
    places = [place for place in others if "embedding" not in place]
    assert places and not transfer.new and not transfer.left
    for place in places:
        weight = weights_by_place(today)[place].numpy()
        np.testing.assert_array_equal(weight, others[place].numpy())


def test_queries_are_known_by_their_words(data):
    rows = map_rows("query", *(d.dataset for d in data))
    texts = []
    for d in data:
        words = np.array(["", *d.dataset.vocabulary("word")], object)
        texts.append([list(words[row]) for row in d.dataset.query_words(9)])
    assert len(rows.own) > 3
    for own, other in zip(rows.own, rows.other, strict=True):
        assert texts[0][own] == texts[1][other]


def test_every_table_of_every_model_has_a_vocabulary(simulated_dataset):
    """Or its rows are slots of a history, or the types of what is in them."""
    data = sar_tf.open_dataset(simulated_dataset, max_rec_history=7)
    for name in models.names():
        model = models.get(name)(data.spec, data.tables)
        for place, variable in weights_by_place(model).items():
            if not place.endswith("/embeddings"):
                continue
            vocabulary = vocabulary_of(place, data.spec)
            if vocabulary is None:
                assert place.startswith(("position", "type")), place
                continue
            rows = map_rows(vocabulary, data.dataset, data.dataset)
            assert rows.fits(variable.shape, variable.shape), place
            np.testing.assert_array_equal(rows.own, np.arange(variable.shape[0]))
