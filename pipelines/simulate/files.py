"""Writes the simulated logs as files in the KuaiSAR layout."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.common.disk import writing
from pipelines.simulate.behavior import Rows
from pipelines.simulate.catalogue import QUERY_FORMS, Catalogue

BEIJING_MS = 8 * 3_600_000
SOURCES = np.array(["USER_INPUT", "HISTORY", "RECOMMENDED", "TRENDING"])
LEVELS = ("first", "second", "third", "fourth")


def write_items(
    directory: str | os.PathLike, catalogue: Catalogue, rng: np.random.Generator
) -> None:
    """Writes item_features.csv; unknown categories are 0 or "empty"."""
    size = len(catalogue.theme)
    length = catalogue.caption_length
    captions = [
        str(words[:count].tolist())
        for words, count in zip(catalogue.words, length, strict=True)
    ]
    uploaded = pd.Timestamp("2023-05-21") - pd.to_timedelta(
        rng.integers(0, 400, size), unit="D"
    )
    columns = {
        "item_id": catalogue.raw_id,
        "caption": captions,
        "author_id": catalogue.author,
        "item_type": "NORMAL",
        "upload_time": uploaded.strftime("%Y-%m-%d"),
        "upload_type": np.array(["ShortImport", "LongImport"])[
            rng.integers(0, 2, size)
        ],
    }
    nothing = np.zeros(size, np.int64)
    ids = (catalogue.first_level, catalogue.second_level, nothing, nothing)
    for level, values in zip(LEVELS, ids, strict=True):
        name = f"{level}_level_category"
        raw = values.astype(str).astype(object)
        raw[(values == 0) & (rng.random(size) < 0.5)] = "empty"
        columns[f"{name}_id"] = raw
        for suffix in ("name", "name_en"):
            names = np.char.add(f"{level}_", values.astype(str)).astype(object)
            names[values == 0] = "empty"
            columns[f"{name}_{suffix}"] = names
    _append(Path(directory) / "item_features.csv", columns)


def write_users(
    directory: str | os.PathLike,
    user_ids: np.ndarray,
    num_rows: np.ndarray,
    group: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Writes user_features.csv and social_network.csv.

    Args:
        directory: Folder of the files.
        user_ids: `(U,)` ids in the logs.
        num_rows: `(U, 2)` rows of each user in the search and recommendation logs.
        group: `(U,)` a number that depends on the user's interests.
        rng: Generator of all random draws.
    """
    levels = [
        np.searchsorted(np.quantile(counts, [0.25, 0.5, 0.75]), counts) + 1
        for counts in num_rows.T
    ]
    columns = {
        "user_id": user_ids,
        "search_active_level": levels[0],
        "rec_active_level": levels[1],
        "onehot_feat1": group % 7 + 1,
        "onehot_feat2": rng.integers(0, 10, len(user_ids)),
    }
    _append(Path(directory) / "user_features.csv", columns)
    follower, followed = rng.choice(user_ids, (2, 3 * len(user_ids)))
    follows = pd.DataFrame({"user_id": follower, "user_follow_id": followed})
    follows = follows[follower != followed].drop_duplicates().sort_values("user_id")
    _append(Path(directory) / "social_network.csv", follows)


def append_logs(
    directory: str | os.PathLike,
    rows: Rows,
    queries: np.ndarray,
    user_ids: np.ndarray,
    first_session: int,
    catalogue: Catalogue,
    rng: np.random.Generator,
) -> int:
    """Appends rows to rec_inter.csv and src_inter.csv.

    Args:
        directory: Folder of the files.
        rows: The rows of some users, numbered from 0.
        queries: [rows] codes of the search rows' queries.
        user_ids: `(U,)` ids of these users in the logs.
        first_session: The first search session's id.
        catalogue: The items.
        rng: Generator of all random draws.

    Returns:
        The id for the first session of the next part.
    """
    item = catalogue.raw_id[rows.item]
    user = user_ids[rows.user]
    rec = np.flatnonzero(rows.is_rec)
    _append(
        Path(directory) / "rec_inter.csv",
        {"user_id": user[rec], "item_id": item[rec], **_watching(rows, rec, rng)},
    )
    search = np.flatnonzero(~rows.is_rec)
    blocks, session = np.unique(rows.block[search], return_inverse=True)
    source = rng.choice(len(SOURCES), len(blocks), p=[0.6, 0.2, 0.15, 0.05])
    clicks = rows.clicked[search] * (1 + (rng.random(len(search)) < 0.1))
    _append(
        Path(directory) / "src_inter.csv",
        {
            "user_id": user[search],
            "search_session_id": first_session + session,
            "search_session_time": _clock(rows.time[search]),
            "search_session_timestamp": rows.time[search],
            "keyword": _query_lists(queries[search], catalogue),
            "search_source": pd.Categorical.from_codes(source[session], SOURCES),
            "item_id": item[search],
            "click_cnt": clicks,
            "item_type": "PHOTO",
        },
    )
    return first_session + len(blocks)


def _watching(rows, rec, rng):
    size = len(rec)
    clicked = rows.clicked[rec]
    duration = rng.integers(5_000, 120_000, size)
    watched = np.where(clicked, rng.uniform(0.3, 1.5, size), rng.uniform(0, 0.3, size))
    rates = {"forward": 0.005, "like": 0.05, "follow": 0.01}
    chances = rng.random((3, size))
    search = rng.random(size) < 0.01
    return {
        "playing_time": np.rint(watched * duration),
        "duration_ms": duration.astype(float),
        "time": _clock(rows.time[rec]),
        "timestamp": rows.time[rec].astype(float),
        "click": clicked.astype(np.int64),
        **{
            name: (clicked & (chance < rate)).astype(np.int64)
            for (name, rate), chance in zip(rates.items(), chances, strict=True)
        },
        "search": search.astype(np.int64),
        "search_item_related": (search & (rng.random(size) < 0.3)).astype(np.int64),
    }


def _clock(time):
    """Beijing time as "2023-05-22 15:53:20"; time in ms [n] -> categories [n]."""
    seconds, inverse = np.unique((time + BEIJING_MS) // 1000, return_inverse=True)
    texts = np.datetime_as_string(seconds.astype("datetime64[s]"))
    return pd.Categorical.from_codes(inverse, np.char.replace(texts, "T", " "))


def _query_lists(codes, catalogue):
    distinct, inverse = np.unique(codes, return_inverse=True)
    items, forms = np.divmod(distinct, len(QUERY_FORMS))
    # Queries of two items may have the same words, but categories must be distinct.
    texts, place = np.unique(
        [
            str(catalogue.words[item, list(QUERY_FORMS[form])].tolist())
            for item, form in zip(items, forms, strict=True)
        ],
        return_inverse=True,
    )
    return pd.Categorical.from_codes(place[inverse], texts)


def _append(path, columns):
    new = not path.exists()
    with writing(path):
        pd.DataFrame(columns).to_csv(path, mode="a", header=new, index=False)
