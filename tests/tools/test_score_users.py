"""The best items of the catalogue for every user, in Parquet files."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.layer_weights import randomize

import sar_tf
from sar_tf.data.now import users_now
from sar_tf.data.records import read_blocks
from sar_tf.data.schema import parse_records
from sar_tf.training import checkpoint
from sar_tf.training.config import RunConfig
from sar_tf.training.prepare import prepared
from sar_tf.training.run_directory import RunDirectory
from tools import score_users


def make_run(folder, dataset_dir, model, **hyperparameters):
    """A run of random weights; nothing is trained."""
    config = RunConfig(
        model=model,
        dataset_dir=str(dataset_dir),
        max_rec_history=5,
        max_search_history=4,
        hyperparameters=hyperparameters,
    ).check()
    run = RunDirectory(folder)
    run.start(config)
    with prepared(config) as (made, _):
        checkpoint.save(
            run.best, randomize(made, scale=0.2), {"epoch": 1, "epoch_step": 0}
        )
    return run.path


@pytest.fixture(scope="module")
def run_dir(simulated_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return make_run(folder, simulated_dataset, "support.tiny_model:Tiny")


@pytest.fixture(scope="module")
def records(simulated_dataset):
    """Arrays of each user's record, in their order."""
    found = []
    for serialized in read_blocks(sar_tf.open_dataset(simulated_dataset).dataset, None):
        for one in serialized:
            arrays = parse_records(one[None])
            found.append({name: x.numpy() for name, x in arrays.items()})
    return found


def rows_of(folder):
    # Of the folder: what else is in it must not disturb a reader.
    return pq.read_table(folder).to_pylist()


def score(run_dir, folder, *more):
    score_users.main([f"--run_dir={run_dir}", f"--output_dir={folder}", *more])


def test_histories_are_those_of_the_whole_records(simulated_dataset, records):
    data = sar_tf.open_dataset(
        simulated_dataset, max_rec_history=5, max_search_history=4
    )
    data = dataclasses.replace(data, needs=("user", "rec_items"))
    batches = list(users_now(data, size=50))
    assert [len(b["rec"]["user"]) for b in batches] == [50, 50, len(records) - 100]
    users = np.concatenate([batch["rec"]["user"] for batch in batches])
    items = np.concatenate([batch["history"]["rec_items"] for batch in batches])
    for user, own, record in zip(users, items, records, strict=True):
        clicked = record["item"][record["type"] == 1][-5:]
        assert user == record["user"][0]
        assert own[own > 0].tolist() == clicked.tolist()


def test_the_best_items_of_brute_force(run_dir, records, tmp_path, capsys):
    score(run_dir, tmp_path, "--top_k=7")
    assert f"{len(records)} users, " in capsys.readouterr().out
    model, data = sar_tf.load_run(run_dir)
    users, items = (data.dataset.vocabulary(name) for name in ("user", "item"))
    rows = rows_of(tmp_path)
    assert [row["user"] for row in rows] == [users[r["user"][0] - 1] for r in records]
    every = np.arange(len(items) + 1, dtype=np.int32)
    history = np.zeros((len(records), 5), np.int32)
    for row, record in zip(history, records, strict=True):
        clicked = record["item"][record["type"] == 1][-5:]
        row[: len(clicked)] = clicked
    batch = {
        "history": {"rec_items": history},
        "rec": {
            "user": np.array([record["user"][0] for record in records], np.int32),
            "candidates": np.tile(every, (len(records), 1)),
            "history_row": np.arange(len(records), dtype=np.int32),
        },
    }
    scores = model.score("rec", batch).numpy()
    for row, own, record in zip(rows, scores, records, strict=True):
        own[0] = own[record["user_items"]] = -1
        best = np.sort(own)[::-1][:7]
        np.testing.assert_allclose(row["scores"], best, atol=1e-6)
        places = [items.index(item) + 1 for item in row["items"]]
        np.testing.assert_allclose(own[places], row["scores"], atol=1e-6)
        assert len(set(places)) == 7


def test_the_best_of_the_items_that_the_head_finds(
    simulated_dataset, records, tmp_path, monkeypatch
):
    sizes = {"embedding_dim": 4, "hidden_dim": 6, "retrieval_weight": 0.1}
    run_dir = make_run(tmp_path / "run", simulated_dataset, "din", **sizes)
    monkeypatch.setattr("sar_tf.models.catalogue.NUM_RANKED", 12)
    score(run_dir, tmp_path / "out", "--top_k=5", "--retrieval")
    model, data = sar_tf.load_run(run_dir)
    data = dataclasses.replace(data, needs=(*model.needs, "user"))
    (batch,) = users_now(data, size=len(records))
    every = np.arange(model.spec.num_items + 1, dtype=np.int32)
    products = model.target_vectors("rec", batch).numpy() @ (
        model.item_vectors(every).numpy().T
    )
    items = data.dataset.vocabulary("item")
    for index, (row, record) in enumerate(
        zip(rows_of(tmp_path / "out"), records, strict=True)
    ):
        own = products[index]
        own[0] = own[record["user_items"]] = -np.inf
        near = np.argsort(-own)[:12].astype(np.int32)
        part = {
            "history": {n: x[index : index + 1] for n, x in batch["history"].items()},
            "rec": {"candidates": near[None], "history_row": np.zeros(1, np.int32)},
        }
        scores = model.score("rec", part).numpy()[0]
        np.testing.assert_allclose(row["scores"], np.sort(scores)[::-1][:5], atol=1e-6)
        places = [near.tolist().index(items.index(item) + 1) for item in row["items"]]
        np.testing.assert_allclose(scores[places], row["scores"], atol=1e-6)
    with pytest.raises(SystemExit, match="holds scores of another model"):
        score(run_dir, tmp_path / "out", "--top_k=5")


def test_some_users_in_parts_that_go_on(run_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(score_users, "_USERS", 3)
    names = sar_tf.load_run(run_dir)[1].dataset.vocabulary("user")[4:12]
    (tmp_path / "users.txt").write_text("\n".join(names) + "\n")
    more = ("--top_k=4", f"--users={tmp_path / 'users.txt'}")
    score(run_dir, tmp_path / "out", *more)
    rows = rows_of(tmp_path / "out")
    assert sorted(row["user"] for row in rows) == sorted(names)
    second = tmp_path / "out" / "part-00001-of-00003.parquet"
    first = second.with_name("part-00000-of-00003.parquet")
    second.unlink()
    time = first.stat().st_mtime_ns
    score(run_dir, tmp_path / "out", *more)
    assert rows_of(tmp_path / "out") == rows
    assert first.stat().st_mtime_ns == time
    capsys.readouterr()
    score(run_dir, tmp_path / "out", *more)
    assert capsys.readouterr().out.startswith("0 users")
    with pytest.raises(SystemExit, match="holds scores of another model, of other"):
        score(run_dir, tmp_path / "out", "--top_k=5")


def test_errors_name_what_is_wrong(run_dir, tmp_path):
    (tmp_path / "users.txt").write_text("nobody\n")
    with pytest.raises(SystemExit, match="has no user nobody"):
        score(run_dir, tmp_path / "out", f"--users={tmp_path / 'users.txt'}")
    assert not (tmp_path / "out").exists()  # The corrected file may name it again.
    (tmp_path / "users.txt").write_text("\n")
    with pytest.raises(SystemExit, match="names no user; it has one raw id a line"):
        score(run_dir, tmp_path / "out", f"--users={tmp_path / 'users.txt'}")
    with pytest.raises(SystemExit, match=r"no retrieval head .* leave out --retrieval"):
        score(run_dir, tmp_path / "out", "--retrieval")
    with pytest.raises(SystemExit, match="holds no run"):
        score(tmp_path / "none", tmp_path / "out")
