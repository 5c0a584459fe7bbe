import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pipelines import simulate
from pipelines.common import job
from pipelines.simulate.__main__ import main
from sar_tf.data.dataset_info import DatasetInfo

FILES = ("rec_inter", "src_inter", "user_features", "item_features", "social_network")
# Figure 2 of UniSAR, in percent, and how far a log of this size may be from it.
FIGURE_2 = {
    ("rec", "rec"): 7.99,
    ("search", "rec"): 4.86,
    ("search", "search"): 17.14,
    ("rec", "search"): 3.67,
}
TOLERANCE = 1.0


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("simulate") / "logs"
    simulate.write_logs(output_dir)
    return {name: pd.read_csv(output_dir / f"{name}.csv") for name in FILES}


@pytest.fixture(scope="module")
def clicks(logs):
    """All clicked items, by user and time."""
    rec, search = logs["rec_inter"], logs["src_inter"]
    search = search.rename(columns={"search_session_timestamp": "timestamp"})
    columns = ["user_id", "timestamp", "item_id", "scenario"]
    clicked = pd.concat(
        [
            rec[rec["click"] == 1].assign(scenario="rec")[columns],
            search[search["click_cnt"] > 0].assign(scenario="search")[columns],
        ]
    )
    return clicked.sort_values(["user_id", "timestamp"], kind="stable")


def test_shares_of_figure_2(logs, clicks):
    items = logs["item_features"].set_index("item_id")
    category = pd.to_numeric(items["first_level_category_id"], errors="coerce")
    category = category.replace(0, np.nan).reindex(clicks["item_id"]).to_numpy()
    before = clicks.shift()
    same_user = (clicks["user_id"] == before["user_id"]).to_numpy()
    correlated = pd.Series(category[1:] == category[:-1]).to_numpy()
    pairs = pd.DataFrame(
        {
            "before": before["scenario"].to_numpy()[1:],
            "now": clicks["scenario"].to_numpy()[1:],
            "correlated": correlated,
        }
    )[same_user[1:]]
    shares = pairs.groupby(["before", "now"])["correlated"].mean() * 100

    for scenarios, expected in FIGURE_2.items():
        assert shares[scenarios] == pytest.approx(expected, abs=TOLERANCE)
    assert list(shares[list(FIGURE_2)].rank()) == [3, 2, 4, 1]


def test_rows_have_the_shape_of_kuaisar(logs):
    rec, search = logs["rec_inter"], logs["src_inter"]
    assert rec["click"].mean() == pytest.approx(0.5, abs=0.01)
    session = search.groupby("search_session_id")
    assert (session["click_cnt"].max() > 0).mean() == pytest.approx(0.6, abs=0.02)
    for column in ("user_id", "keyword", "search_session_timestamp"):
        assert (session[column].nunique() == 1).all()
    clicked = rec[rec["click"] == 1]
    assert not clicked.duplicated(["user_id", "timestamp", "item_id"]).any()
    batches = rec.groupby(["user_id", "timestamp"]).size()
    assert batches.mean() > 4
    for clock, milliseconds in (
        (rec["time"], rec["timestamp"]),
        (search["search_session_time"], search["search_session_timestamp"]),
    ):
        beijing = pd.to_datetime(milliseconds + 8 * 3_600_000, unit="ms")
        assert (beijing.dt.strftime("%Y-%m-%d %H:%M:%S") == clock).all()
        assert clock.min() >= "2023-05-22 14:30"
        assert "2023-06-10 00:00" < clock.max() < "2023-06-10 09:30"

    items = logs["item_features"]
    first_level = items["first_level_category_id"]
    assert {"0", "empty"} < set(first_level)
    assert len(set(first_level) - {"0", "empty"}) == 37
    known = set(items["item_id"])
    assert set(rec["item_id"]) | set(search["item_id"]) <= known


def test_popularity_is_long_tailed(clicks):
    counts = clicks["item_id"].value_counts()
    top = counts.iloc[: len(counts) // 10].sum() / counts.sum()
    assert 0.3 < top < 0.6
    assert (counts >= 5).mean() > 0.95  # So that the usual filters keep most items.


def test_history_and_query_predict_better_than_popularity(logs, clicks):
    """Words in common with the history, or with the query, against the item's count."""
    items = logs["item_features"]["item_id"].to_numpy()
    words = bags_of_words(logs["item_features"]["caption"])
    place = pd.Series(np.arange(len(items)), index=items)
    count = clicks["item_id"].value_counts().reindex(items, fill_value=0).to_numpy()
    weights = words * np.log(len(items) / (1 + words.sum(0)))
    profiles = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    rng = np.random.default_rng(0)

    hits = {"popularity": [], "history": []}
    for _, rows in list(clicks.groupby("user_id"))[:300]:
        clicked = place[rows["item_id"]].to_numpy()
        history, positive = clicked[-31:-1], clicked[-1]
        others = np.setdiff1d(np.arange(len(items)), clicked)
        candidates = np.append(positive, rng.choice(others, 99, replace=False))
        affinity = (profiles[candidates] @ profiles[history].T) ** 2
        hits["popularity"].append(is_hit(count[candidates]))
        hits["history"].append(is_hit(affinity.sum(1)))
    assert np.mean(hits["history"]) > np.mean(hits["popularity"]) + 0.2

    search = logs["src_inter"][logs["src_inter"]["click_cnt"] > 0].head(300)
    hits = {"popularity": [], "query": []}
    for row in search.itertuples():
        candidates = np.append(place[row.item_id], rng.choice(len(items), 99))
        shared = words[candidates][:, json.loads(row.keyword)].sum(1)
        hits["popularity"].append(is_hit(count[candidates]))
        hits["query"].append(is_hit(shared + count[candidates] / count.sum()))
    assert np.mean(hits["query"]) > np.mean(hits["popularity"]) + 0.4


def bags_of_words(captions):
    lists = [json.loads(caption) for caption in captions]
    bags = np.zeros((len(lists), 1 + max(max(words) for words in lists)))
    for bag, caption in zip(bags, lists, strict=True):
        bag[caption] = 1
    return bags


def is_hit(scores):
    return (scores[1:] >= scores[0]).sum() < 10


def test_seed_decides_every_byte(tmp_path):
    def run(name, seed):
        argv = [f"--output_dir={tmp_path / name}", "--num_users=50", "--num_items=400"]
        main([*argv, f"--seed={seed}"])
        paths = sorted((tmp_path / name).iterdir())
        assert [path.stem for path in paths] == sorted(FILES)
        return [path.read_bytes() for path in paths]

    first = run("first", 7)
    assert run("again", 7) == first
    assert all(new != old for new, old in zip(run("other", 8), first, strict=True))


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("num_users", 0),
        ("num_users", 10**18),
        ("num_items", 100),
        ("rows_per_user", 0),
        ("rows_per_user", float("nan")),
        ("rows_per_user", float("inf")),
        ("search_share", 1),
        ("search_share", float("nan")),
    ],
)
def test_bad_size_is_named(flag, value, tmp_path):
    with pytest.raises(job.UserError, match=f"--{flag}"):
        simulate.write_logs(tmp_path / "out", **{flag: value})
    assert list(tmp_path.iterdir()) == []


def test_dataset_of_simulated_logs(tmp_path):
    dataset_dir = tmp_path / "data" / "simulated"
    sizes = {"num_users": 30, "num_items": 400, "search_share": 0.3, "seed": 7}
    simulate.build_dataset(dataset_dir, **sizes)

    info = DatasetInfo.load(dataset_dir)
    assert 20 < info.num_users <= 30
    flags = "num_users=30, num_items=400, search_share=0.3, seed=7"
    assert info.command == f"pipelines.simulate.build_dataset(dataset_dir, {flags})"
    assert list(dataset_dir.parent.iterdir()) == [dataset_dir]  # The logs are gone.


def test_runs_as_a_command(repository, tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "pipelines.simulate", "--num_users=3"]
        + [f"--output_dir={tmp_path / 'logs'}", "--num_items=400"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert "rows/s" in process.stderr
