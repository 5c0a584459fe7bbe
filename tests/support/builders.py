"""Small records and datasets for tests, written as they are read."""

from pathlib import Path

import numpy as np

from pipelines.common import writer
from pipelines.common.negatives import NUM_CANDIDATES
from pipelines.common.vocabulary import Vocabulary
from sar_tf.data.dataset_info import DatasetInfo
from sar_tf.data.schema import REC, SEARCH, SPLITS, TASKS, Ragged, UserRecord


def rec(time: int, item: int) -> dict:
    """A clicked recommendation."""
    return {"type": REC, "timestamp": time, "item": item}


def search(time: int, query: int, clicked=(), words=(), source: int = 1) -> dict:
    """A search session."""
    return {
        "type": SEARCH,
        "timestamp": time,
        "query": query,
        "search_source": source,
        "clicked_items": list(clicked),
        "query_words": list(words),
    }


def make_record(user: int, behaviors: list[dict], targets=(), stored=None):
    """A `UserRecord`.

    Args:
        user: Dense id.
        behaviors: Of `rec` and `search`, in chronological order.
        targets: (index of the behavior, split, item) of each.
        stored: Items to take stored candidates from; by default those above the
            user's own. Each target has them in another order.
    """

    def column(name):
        return np.array([b.get(name, 0) for b in behaviors], np.int64)

    items = {b["item"] for b in behaviors if b["type"] == REC}
    items.update(i for b in behaviors for i in b.get("clicked_items", ()))
    user_items = np.array(sorted(items), np.int64)
    timestamp = column("timestamp")
    behavior = np.array([target[0] for target in targets], np.int64)
    split = np.array([SPLITS[target[1]] for target in targets], np.int64)
    if stored is None:
        stored = np.arange(NUM_CANDIDATES) + max(items, default=0) + 1
    return UserRecord(
        user=user,
        type=column("type"),
        timestamp=timestamp,
        item=column("item"),
        query=column("query"),
        search_source=column("search_source"),
        query_words=Ragged.from_rows(b.get("query_words", ()) for b in behaviors),
        clicked_items=Ragged.from_rows(b.get("clicked_items", ()) for b in behaviors),
        user_items=user_items,
        target_task=column("type")[behavior],
        target_split=split,
        target_behavior=behavior,
        target_item=np.array([target[2] for target in targets], np.int64),
        target_history_end=np.searchsorted(timestamp, timestamp[behavior]),
        candidates=_stored_candidates(stored, user, np.count_nonzero(split)),
    )


def _stored_candidates(stored, user: int, number: int) -> np.ndarray:
    """Rows that differ, for the evaluated targets of a user and of all users."""
    row = np.resize(stored, NUM_CANDIDATES)
    rows = [np.roll(row, 7 * user + index) for index in range(number)]
    return np.array(rows, np.int64).reshape(-1)


def write_dataset(
    dataset_dir: Path,
    records: list[UserRecord],
    num_items: int,
    queries: list[list[int]],
    num_shards: int = 2,
    captions: bool = True,
) -> DatasetInfo:
    """A dataset folder of these records.

    Args:
        dataset_dir: An empty folder.
        records: Users 1, 2, ….
        num_items: The highest item id.
        queries: The words of query 1, 2, ….
        num_shards: Files that the records are spread over.
        captions: Whether items have captions; only item 1's has words.
    """
    summary = writer.Summary.empty(num_items)
    parts = np.array_split(np.arange(len(records)), num_shards)
    for index, part in enumerate(parts):
        path = dataset_dir / writer.shard_name(index, num_shards)
        chosen = [records[i] for i in part]
        summary.merge(writer.write_shard(path, chosen, num_items))
    words = Ragged.from_rows([[], *queries])
    raw_ids = {
        "user": [f"user-{i:04d}" for i in range(1, len(records) + 1)],
        "item": [f"item-{i:04d}" for i in range(1, num_items + 1)],
        "word": [f"word-{i:04d}" for i in range(1, words.values.max(initial=0) + 1)],
        "search_source": ["home", "results"],
    }
    item_features = {}
    if captions:
        caption_splits = np.full(num_items + 2, 2)
        caption_splits[:2] = 0
        item_features["caption"] = np.array([1, 2]), caption_splits
    tables = writer.Tables(
        vocabularies={name: Vocabulary(ids) for name, ids in raw_ids.items()},
        queries=(words.values, np.append(0, np.cumsum(words.lengths))),
        user_features={"level": np.arange(len(records) + 1) % 3},
        item_features=item_features,
    )
    return writer.write_dataset(
        dataset_dir,
        summary,
        tables,
        name="test",
        command="python -m pipelines.test",
        seed=1,
        split_rule="leave one out",
    )


def random_records(num_users: int, max_behaviors: int, seed: int = 0):
    """Records in which every item and every query occurs once, so it tells who.

    Returns:
        records, the highest item id (99 of which are nobody's) and the words of the
        queries.
    """
    rng = np.random.default_rng(seed)
    num_items, queries, users = 0, [], []
    for _ in range(num_users):
        behaviors, targets = [], []
        time = 0
        for index in range(rng.integers(1, max_behaviors + 1)):
            time += int(rng.integers(0, 3))  # Ties are frequent.
            if rng.random() < 0.5:
                num_items += 1
                behaviors.append(rec(time, num_items))
            else:
                clicked = range(num_items + 1, num_items + 1 + int(rng.integers(0, 4)))
                num_items += len(clicked)
                queries.append(list(range(1, 1 + int(rng.integers(0, 4)))))
                behaviors.append(
                    search(time, len(queries), clicked, queries[-1], index % 2 + 1)
                )
            positive = behaviors[-1].get("item") or min(clicked, default=0)
            if positive:
                split = rng.choice(list(SPLITS), p=[0.6, 0.2, 0.2])
                targets.append((index, str(split), positive))
        users.append((behaviors, targets))
    stored = np.arange(NUM_CANDIDATES) + num_items + 1
    records = [
        make_record(user, behaviors, targets, stored)
        for user, (behaviors, targets) in enumerate(users, start=1)
    ]
    return records, num_items + NUM_CANDIDATES, queries


def expected_history(
    record: UserRecord, target: int, max_rec: int, max_search: int
) -> dict[str, list]:
    """A target's history by plain Python: what the vectorised code must give."""
    end = record.target_history_end[target]
    recs = [i for i in range(end) if record.type[i] == TASKS["rec"]][-max_rec:]
    searches = [i for i in range(end) if record.type[i] == TASKS["search"]]
    searches = searches[-max_search:]
    merged = sorted(recs + searches)
    clicked = record.clicked_items.rows()
    words = record.query_words.rows()
    return {
        "rec_items": [int(record.item[i]) for i in recs],
        "rec_positions": [merged.index(i) for i in recs],
        "search_queries": [int(record.query[i]) for i in searches],
        "search_sources": [int(record.search_source[i]) for i in searches],
        "search_positions": [merged.index(i) for i in searches],
        "clicked_items": [clicked[i].tolist() for i in searches],
        "search_words": [words[i].tolist() for i in searches],
    }
