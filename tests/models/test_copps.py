import threading

import keras
import numpy as np
import pytest
from support.layer_weights import numpy
from support.search_case import INPUTS, changed, clicked_row, small_model

from sar_tf.layers import replicas
from sar_tf.models import CoPPS, get

OPTIONS = {"inner_units": 8, "num_heads": 2, "dropout": 0.0}
# Users and queries of the targets. Of the histories, those of rows 0, 2 and 3 have two
# items or more; all positives differ.
USERS = np.array([1, 1, 2, 3, 4, 5], "int32")
QUERIES = np.array([1, 2, 3, 1, 4, 5], "int32")
CANDIDATES = np.arange(1, 19, dtype="int32").reshape(6, 3)
VIEWED = np.array([len(clicked_row(row)) >= 2 for row in range(6)])


def copps(**options):
    return small_model(CoPPS, **{**OPTIONS, **options})


def batch_of(users=USERS, queries=QUERIES, candidates=CANDIDATES, **arrays):
    return changed(
        INPUTS,
        "search",
        target_user=users,
        target_query=queries,
        candidates=candidates,
        **arrays,
    )


def rows_of(model, inputs):
    """What `read` returns in training, of the whole batch."""
    encoded = model.encode_history(inputs["history"], training=True)
    target = {**model.encode_target(inputs["search"]), "ids": inputs["search"]}
    found = model.read("search", encoded, target, training=True)
    return {name: numpy(x) for name, x in found.items()}


def cross_entropy(z, others, row, negatives, tau=0.1):
    """Of a row's pair among its negatives, both ways."""

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    cost = 0
    for one, other in ((z, others), (others, z)):
        own = np.exp(cosine(one[row], other[row]) / tau)
        rest = sum(np.exp(cosine(one[row], other[c]) / tau) for c in negatives)
        cost -= 0.5 * np.log(own / (own + rest))
    return cost


def test_registered_for_search_only():
    assert get("copps") is CoPPS
    model = copps()
    of_training = {"similar_items", "target_query", "target_user"}
    assert set(model.needs) == {"query_words", "clicked_items", *of_training}
    names = ("knowledge_loss", "within_loss", "between_loss")
    assert model.loss_weights == dict.fromkeys(names, 0.1)


def test_the_original_loss_is_not_known():
    with pytest.raises(ValueError, match=r"original_loss: the loss of CoPPS' authors"):
        copps(original_loss=True)


def test_other_histories_have_no_views():
    with pytest.raises(ValueError, match=r"history=rec: CoPPS replaces items that"):
        copps(history="rec")
    assert copps(history="rec", contrast_weight=0.0).needs[-1] == "rec_items"


def test_the_case_has_rows_with_and_without_views():
    assert VIEWED[[0, 2]].all() and not VIEWED[[4, 5]].any()


def test_an_items_replacement_is_similar_and_no_candidate():
    """A third of two or three items is one; the share of 0.6 is two of three."""
    model, inputs = copps(view_share=0.6), batch_of()
    encoded = model.encode_history(inputs["history"], training=True)
    ids, replaced = (numpy(x) for x in model.replace(encoded, inputs["search"]))
    before = numpy(encoded["ids"])
    similar = inputs["search"]["similar_items"].reshape(6, -1)
    similar = np.take_along_axis(similar, numpy(encoded["slots"]), axis=1)
    assert replaced.any()
    for row in range(6):
        allowed = (similar[row] > 0) & ~np.isin(similar[row], CANDIDATES[row])
        length = np.count_nonzero(before[row])
        assert replaced[row].sum() == min(allowed.sum(), np.ceil(0.6 * length))
        assert not replaced[row][~allowed].any()
        assert not replaced[row][length:].any()
    np.testing.assert_array_equal(ids, np.where(replaced, similar, before))


def test_no_candidate_replaces_an_item():
    model, inputs = copps(view_share=0.9), batch_of()
    similar = np.where(inputs["history"]["clicked_items"] > 0, 8, 0).astype("int32")
    candidates = CANDIDATES.copy()
    candidates[0, 2] = 8
    inputs = batch_of(candidates=candidates, similar_items=similar)
    encoded = model.encode_history(inputs["history"], training=True)
    replaced = numpy(model.replace(encoded, inputs["search"])[1]).any(1)
    assert not replaced[0] and not replaced[2]  # Row 2's candidates are 7, 8 and 9.
    assert replaced[3] == (len(clicked_row(3)) > 0)


def test_losses_by_hand():
    """Of the views that `read` drew, with the same random numbers."""
    model, inputs = copps(), batch_of()
    model.seed_generator.state.assign(np.array([1, 2], "uint32"))
    rows = rows_of(model, inputs)
    np.testing.assert_array_equal(rows["has_views"], VIEWED)
    model.seed_generator.state.assign(np.array([1, 2], "uint32"))
    losses = {n: float(x) for n, x in model.losses_of("search", inputs).items()}
    viewed = np.flatnonzero(VIEWED)
    expected = {"knowledge_loss": [], "within_loss": []}
    for b in viewed:
        negatives = [
            c for c in viewed if USERS[c] != USERS[b] and QUERIES[c] != QUERIES[b]
        ]
        views = rows["within"], rows["within_other"]
        expected["within_loss"].append(cross_entropy(*views, b, negatives))
        if rows["is_replaced"][b]:
            views = rows["vector"], rows["knowledge"]
            expected["knowledge_loss"].append(cross_entropy(*views, b, negatives))
    for name, values in expected.items():
        assert losses[name] == pytest.approx(np.mean(values), rel=1e-3)


def between_of(model, users, queries):
    """The rows' vectors and their loss; every history is row 0's, which has views."""
    clicked = INPUTS["history"]["clicked_items"]
    inputs = batch_of(np.array(users, "int32"), np.array(queries, "int32"))
    inputs = changed(inputs, "history", clicked_items=clicked[[0] * 6])
    vectors = rows_of(model, inputs)["vector"]
    return vectors, float(model.losses_of("search", inputs)["between_loss"])


def test_partners_are_other_users_of_the_same_query():
    """Rows 0 and 1, and 2 and 3, are each other's; 4 has its own user's only."""
    users, queries = [1, 2, 3, 4, 5, 5], [1, 1, 2, 2, 3, 3]
    vectors, result = between_of(copps(), users, queries)
    others = vectors[[1, 0, 3, 2, 0, 0]]
    negatives = {0: [2, 3], 1: [2, 3], 2: [0, 1], 3: [0, 1]}
    costs = [cross_entropy(vectors, others, b, c) for b, c in negatives.items()]
    assert result == pytest.approx(np.mean(costs), rel=1e-3)


def test_a_partners_user_is_no_negative():
    """Row 3 is of the user of row 1, the partner of row 0; row 2 of row 0's own."""
    users, queries = [1, 2, 1, 2, 6, 7], [1, 1, 2, 2, 3, 4]
    _, result = between_of(copps(), users, queries)
    assert result == pytest.approx(0, abs=1e-6)


def test_a_batch_without_partners_or_views_has_no_loss():
    model = copps()
    names = ("knowledge_loss", "within_loss", "between_loss")
    empty = changed(batch_of(), "history", clicked_items=np.zeros((6, 3, 2), "int32"))
    empty = changed(empty, "search", similar_items=np.zeros((6, 3, 2), "int32"))
    losses = model.losses_of("search", empty)
    assert {float(losses[name]) for name in names} == {0.0}
    one = {
        "history": INPUTS["history"],
        "search": {
            name: x[:1] if name not in ("sampled_words", "sampled_items") else x
            for name, x in batch_of()["search"].items()
            if name in {*model.needs, "candidates", "history_row", "is_target"}
        },
    }
    losses = model.losses_of("search", one)
    for name in names:
        assert float(losses[name]) == pytest.approx(0, abs=1e-6)


def test_rows_that_fill_up_a_batch_do_not_count():
    """As if they were not there, for the others' negatives too."""
    model = copps()
    inputs = batch_of(is_target=np.array([True, True, False, True, False, False]))
    rows = rows_of(model, inputs)
    np.testing.assert_array_equal(
        rows["has_views"], VIEWED & inputs["search"]["is_target"]
    )


def test_views_are_drawn_in_training_alone(monkeypatch):
    keras.utils.set_random_seed(1)
    model, inputs = copps(view_share=0.5), batch_of()
    one, other = (rows_of(model, inputs)["within"] for _ in range(2))
    assert not np.allclose(one, other)
    before = numpy(model.seed_generator.state).copy()
    model.score("search", inputs)
    np.testing.assert_array_equal(numpy(model.seed_generator.state), before)


class TwoThreads(replicas.Replicas):
    """Two replicas of three rows each, which meet where they gather."""

    number = 2

    def __init__(self):
        self.own = threading.local()
        self.meeting = threading.Barrier(2, timeout=60)
        self.parts = [None, None]

    def gather(self, x):
        self.parts[self.own.index] = numpy(x)
        self.meeting.wait()
        whole = np.concatenate(self.parts)
        self.meeting.wait()
        return keras.ops.convert_to_tensor(whole)

    def first_row(self, x):
        return 3 * self.own.index


def test_replicas_contrast_with_each_others_rows(monkeypatch):
    """Each replica's rows have the losses that they have on one device."""
    model = copps()
    clicked = INPUTS["history"]["clicked_items"][[0] * 6]
    queries = np.array([1, 2, 3, 2, 1, 4], "int32")  # Partners: rows 0, 4 and 1, 3.
    inputs = changed(batch_of(queries=queries), "history", clicked_items=clicked)
    rows, labels = rows_of(model, inputs), inputs["search"]
    expected = model.losses("search", rows, labels)
    both, results = TwoThreads(), [None, None]

    def run(index):
        both.own.index = index
        part = slice(3 * index, 3 * index + 3)
        own = [{n: x[part] for n, x in found.items()} for found in (rows, labels)]
        results[index] = model.losses("search", *own)

    monkeypatch.setattr(replicas, "_active", both)
    threads = [threading.Thread(target=run, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numpy(expected["between_loss"][1]).tolist() == [1, 1, 0, 1, 1, 0]
    for name, terms in expected.items():
        for place, whole in enumerate(terms):
            found = np.concatenate([numpy(part[name][place]) for part in results])
            np.testing.assert_allclose(found, numpy(whole), atol=1e-4)
        assert numpy(terms[0]).max() > 1e-3, name
