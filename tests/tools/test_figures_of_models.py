"""Figures of trained models: their numbers by hand, and two small models."""

import numpy as np
import pytest
from support.layer_weights import randomize

from sar_tf.training import checkpoint
from sar_tf.training.config import RunConfig
from sar_tf.training.prepare import prepared
from sar_tf.training.run_directory import RunDirectory
from tools.figures import interests, kinds, query_items, transitions
from tools.figures.__main__ import make_parser
from tools.figures.histories import Trained, cosine, encoded_users, open_models
from tools.results.collect import StudyError

_SMALL = {
    "unisar": {
        "embedding_dim": 4,
        "hidden_dim": 8,
        "num_experts": 1,
        "expert_units": 4,
        "tower_units": (4,),
        "prediction_units": (4,),
    },
    "sesrec": {"item_dims": (4,), "user_dims": (4,), "prediction_units": (4,)},
}


@pytest.fixture(scope="module")
def trained(simulated_dataset, tmp_path_factory):
    """{model: an opened run of random weights}; nothing is trained."""
    found = {}
    for name, hyperparameters in _SMALL.items():
        config = RunConfig(
            model=name,
            dataset_dir=str(simulated_dataset),
            max_rec_history=5,
            max_search_history=4,
            hyperparameters=hyperparameters,
        ).check()
        run = RunDirectory(tmp_path_factory.mktemp("runs") / name)
        run.start(config)
        with prepared(config) as (model, _):
            checkpoint.save(run.best, randomize(model), {"epoch": 1, "epoch_step": 0})
        ranks = {"user": [1], "task": ["rec"], "rank": [1]}
        run.write_ranks("test", {n: np.array(v) for n, v in ranks.items()})
        run.write_metrics({})
        found[name] = next(open_models([f"{name}={run.path}"], "test"))
    return found


def encoded(monkeypatch, module, *batches):
    """Makes a module read these (history, encoded) batches of a model."""
    monkeypatch.setattr(module, "encoded_users", lambda trained: iter(batches))


def test_cosine_by_hand():
    a, b = np.array([[3, 4], [1, 0], [0, 0]]), np.array([[4, 3], [-2, 0], [1, 1]])
    np.testing.assert_allclose(cosine(a, b), [24 / 25, -1, 0])


def views(values, rec, search):
    """What UniSAR makes of histories: four vectors of each, and who has behaviors."""
    s2r, r2r, r2s, s2s = (np.array(own, np.float32) for own in values)
    masks = {"rec": np.array(rec)[:, None], "search": np.array(search)[:, None]}
    return {}, {"views": {"rec": (s2r, r2r), "search": (r2s, s2s)}, "masks": masks}


def test_similarities_of_users_with_both_scenarios(monkeypatch):
    # s2r, r2r, r2s and s2s of three users; the second one never searches.
    values = (
        [[1, 0], [9, 9], [0, 1]],
        [[2, 0], [9, 9], [1, 0]],
        [[1, 1], [9, 9], [1, 1]],
        [[1, 0], [9, 9], [-1, -1]],
    )
    batch = views(values, [True, True, True], [True, False, True])
    encoded(monkeypatch, transitions, batch, batch)
    one = Trained("x", None, None)
    vectors = transitions.transition_vectors(one, 3)
    assert vectors["s2r"].tolist() == [[1, 0], [0, 1], [1, 0]]
    rec, search = transitions.similarities("x", vectors)
    assert (rec.panel, search.panel) == ("r2r and s2r", "s2s and r2s")
    # Cosines 1, 0, 1 and 1/sqrt(2), -1, 1/sqrt(2).
    assert rec.mean == pytest.approx(2 / 3) and rec.counts[[20, 39]].tolist() == [1, 2]
    assert search.mean == pytest.approx((np.sqrt(2) - 1) / 3)
    encoded(monkeypatch, transitions, views(values, [True] * 3, [False] * 3))
    with pytest.raises(StudyError, match="no user of its dataset has both"):
        transitions.transition_vectors(one, 3)
    encoded(monkeypatch, transitions, ({}, {}))
    with pytest.raises(StudyError, match="x: NoneType has no transitions"):
        transitions.transition_vectors(one, 3)


def test_divergences_of_split_users(monkeypatch):
    table = np.array([[0], [1], [2], [2]])
    history = {
        "rec_items": np.array([[1, 2], [1, 2], [1, 0]]),
        "clicked_items": np.array([[[1], [3]], [[3], [1]], [[1], [0]]]),
    }
    first, second = np.array([[True, False]] * 3), np.array([[False, True]] * 3)
    # A history of one slot is not split: all of it is similar, and dissimilar.
    second[2] = first[2]
    masks = {"rec": [None, first, second], "search": [None, first, second]}
    encoded(monkeypatch, interests, (history, {"masks": masks, "interests": {}}))
    found = interests.divergences(Trained("x", None, None), table, 5)
    # User 1: items 1 and 1, then 2 and 3 of one category. User 2: all differ.
    assert found["similar"].tolist() == found["dissimilar"].tolist() == [0, 1]
    # Drawn: a user's first slots are compared with each other, or with the second.
    drawn = found["similar, drawn"]
    assert drawn.tolist() == found["dissimilar, drawn"].tolist()
    assert set(drawn) <= {0, 1}
    panels = [(one.panel, one.name) for one in interests.histograms("x", found)]
    assert panels[1:3] == [("x", "dissimilar"), ("x, slots drawn", "similar")]
    masks = {name: [None, first, first] for name in masks}
    encoded(monkeypatch, interests, (history, {"masks": masks, "interests": {}}))
    with pytest.raises(StudyError, match="x: the model splits no user's interests"):
        interests.divergences(Trained("x", None, None), table, 5)


def test_drawn_slots_are_as_many():
    similar = np.array([[True, False, False, True, False], [True] + [False] * 4])
    dissimilar = np.array([[False, True, False, False, True], [False] * 5])
    rng = np.random.default_rng(1)
    drawn = [interests._drawn(similar, dissimilar, rng) for _ in range(50)]
    for first, second in drawn:
        assert first.sum(axis=1).tolist() == [2, 1]
        assert (first ^ second).tolist() == (similar | dissimilar).tolist()
    assert len({tuple(first[0]) for first, _ in drawn}) == 6


def test_box_by_hand():
    box = query_items.make_box("x", "clicked", np.array([0.0, 1, 2, 3, 4, 100]))
    # Quartiles 1.25 and 3.75: 100 is farther than 1.5 * 2.5 above.
    assert (box.q1, box.median, box.q3) == (1.25, 2.5, 3.75)
    assert (box.low, box.high, box.pairs) == (0, 4, 6)
    assert box.mean == pytest.approx(110 / 6)


def test_tsne_keeps_clusters_apart():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(1)
    vectors = {
        name: rng.normal(0, 0.1, (10, 4)) + center
        for name, center in (("a", 0.0), ("b", 20.0))
    }
    places = transitions.embed(vectors)
    middles = [places[name].mean(axis=0) for name in "ab"]
    for name, own, other in (("a", *middles), ("b", *reversed(middles))):
        near = np.linalg.norm(places[name] - own, axis=1)
        assert (near < np.linalg.norm(places[name] - other, axis=1)).all()
    rows = transitions.csv_rows({"m": places})
    assert len(rows) == 21 and rows[1][:3] == ["m", "a", 1]
    assert rows[11][3:] == places["b"][0].tolist()


@pytest.mark.parametrize(
    ("kind", "model", "lines"),
    [
        ("similarities", "unisar", 1 + 2 * 40),
        ("tsne", "unisar", 1 + 4 * 3),
        ("interests", "sesrec", 1 + 4 * 20),
        ("query_items", "sesrec", 1 + 2),
    ],
)
def test_files_of_a_run(kind, model, lines, trained, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    if kind == "tsne":
        pytest.importorskip("sklearn")
    monkeypatch.setattr(kinds, "open_models", lambda *_: iter([trained[model]]))
    flags = [f"--output={tmp_path}", "--users=3", "--pairs=9"]
    paths = kinds.DRAW[kind]([], make_parser().parse_args(flags))
    assert [path.name for path in paths] == [
        f"{kind}.{suffix}" for suffix in ("png", "svg", "csv")
    ]
    assert len(paths[2].read_text().splitlines()) == lines


def test_models_without_what_is_drawn(trained):
    with pytest.raises(StudyError, match="unisar: UniSAR splits no interests"):
        interests.divergences(trained["unisar"], np.zeros((1, 1), np.int64), 1)
    with pytest.raises(StudyError, match="sesrec: SESRec has no transitions"):
        transitions.transition_vectors(trained["sesrec"], 1)


def test_vectors_of_a_run_are_the_models(trained):
    own = trained["unisar"]
    vectors = transitions.transition_vectors(own, 5)
    history, encoded = next(encoded_users(own))
    both = (history["rec_items"] > 0).any(axis=1) & history["search_mask"].any(axis=1)
    users = np.flatnonzero(both)[:5]
    np.testing.assert_array_equal(
        vectors["r2r"], np.array(encoded["views"]["rec"][1])[users]
    )
    assert vectors["r2s"].shape == (5, 8)


def test_queries_and_items_of_a_run(trained):
    own = trained["sesrec"]
    clicked, drawn = query_items.make_boxes(own, 9)
    assert (clicked.items, drawn.items) == ("clicked", "drawn")
    assert clicked.pairs == drawn.pairs == 9 and -1 <= clicked.low <= clicked.high <= 1
