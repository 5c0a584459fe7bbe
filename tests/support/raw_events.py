"""Raw events of users, as a caller of a SavedModel sends them, for tests."""

import csv
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sar_tf.data.schema import REC, SPLITS, TASKS, parse_records
from sar_tf.serving.raw_inputs import RAW_INPUTS


class Event(NamedTuple):
    """A clicked recommendation, which has an item, or a search."""

    type: str
    time: int
    item: str = ""
    query: str = ""
    source: str = ""
    clicked_items: tuple[str, ...] = ()


class Target(NamedTuple):
    """A target in raw ids, with the events of its user before it."""

    user: str
    events: list[Event]
    query: str
    candidates: list[str]
    time: int = 0


def request_of(targets, names, seed=None):
    """A request's arrays of some targets, by name.

    Args:
        targets: A list of `Target`.
        names: Of `RAW_INPUTS`.
        seed: Of a shuffle of the events; those of one time keep their order.
    """
    histories = [_shuffled(target.events, seed) for target in targets]
    columns = {
        "history_types": [[e.type for e in events] for events in histories],
        "history_times": [[e.time for e in events] for events in histories],
        "history_items": [[e.item for e in events] for events in histories],
        "history_queries": [[e.query for e in events] for events in histories],
        "history_sources": [[e.source for e in events] for events in histories],
        "history_clicked_items": [
            [e.clicked_items for e in events] for events in histories
        ],
        "user": [target.user for target in targets],
        "query": [target.query for target in targets],
        "time": [target.time for target in targets],
        "candidates": [target.candidates for target in targets],
    }
    return {
        name: tf.constant(_padded(columns[name], RAW_INPUTS[name])) for name in names
    }


def _padded(rows, entry):
    """Nested lists as an array, padded with "" or 0."""
    if len(entry.axes) == 1:
        return np.array(rows, object if entry.dtype == "string" else entry.dtype)
    width = max(map(len, rows), default=0)
    if len(entry.axes) == 3:
        depth = max((len(cell) for row in rows for cell in row), default=0)
        array = np.full((len(rows), width, depth), "", object)
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                array[i, j, : len(cell)] = cell
        return array
    none = "" if entry.dtype == "string" else 0
    array = np.full((len(rows), width), none, object if none == "" else entry.dtype)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array


def _shuffled(events, seed):
    if seed is None:
        return events
    rng = np.random.default_rng(seed)
    place = {time: rng.random() for time in sorted({e.time for e in events})}
    return sorted(events, key=lambda event: place[event.time])


def kuaisar_events(logs):
    """{user: events} of logs in KuaiSAR's layout; a search comes first at its time."""
    events = {}
    sessions = {}
    for row in _rows(logs / "src_inter.csv"):
        session = sessions.setdefault(row["search_session_id"], [row, [], []])
        session[1].append(int(row["search_session_timestamp"]))
        if int(row["click_cnt"]) and row["item_id"] not in session[2]:
            session[2].append(row["item_id"])
    for row, times, clicked in sessions.values():
        text, source = row["keyword"], row["search_source"]
        event = Event("search", min(times), "", text, source, tuple(clicked))
        events.setdefault(row["user_id"], []).append(event)
    for row in _rows(logs / "rec_inter.csv"):
        if int(row["click"]):
            event = Event("rec", int(float(row["timestamp"])), row["item_id"])
            events.setdefault(row["user_id"], []).append(event)
    return events


def _rows(path):
    with open(path, newline="") as file:
        yield from csv.DictReader(file)


def record_events(dataset):
    """{user: events} of a dataset's records, in their order."""
    names = RawNames(dataset)
    events = {}
    for record in _records(dataset):
        own = events[names.user[record["user"][0]]] = []
        for i, time in enumerate(record["timestamp"].tolist()):
            if record["type"][i] == REC:
                own.append(Event("rec", time, names.item[record["item"][i]]))
                continue
            own.append(
                Event(
                    "search",
                    time,
                    "",
                    " ".join(names.word[w] for w in _row(record, "query_words", i)),
                    names.search_source[record["search_source"][i]],
                    tuple(names.item[x] for x in _row(record, "clicked_items", i)),
                )
            )
    return events


def targets_of(dataset, events, task, split):
    """The targets of a split in the order of the records, with what was before.

    Args:
        dataset: The dataset.
        events: {user: events}, of which those before the target are its history.
        task, split: As in the pipeline.
    """
    names = RawNames(dataset)
    found = []
    for record in _records(dataset):
        user = names.user[record["user"][0]]
        stored = iter(record["candidates"].reshape(-1, dataset.info.num_candidates))
        for place, item in enumerate(record["target_item"]):
            is_stored = record["target_split"][place] != SPLITS["train"]
            candidates = [item, *(next(stored) if is_stored else ())]
            is_wanted = record["target_split"][place] == SPLITS[split]
            if not is_wanted or record["target_task"][place] != TASKS[task]:
                continue
            behavior = record["target_behavior"][place]
            time = record["timestamp"][behavior]
            words = [names.word[w] for w in _row(record, "query_words", behavior)]
            before = [event for event in events[user] if event.time < time]
            items = [names.item[candidate] for candidate in candidates]
            found.append(Target(user, before, " ".join(words), items, time))
    return found


class RawNames:
    """The raw ids of each vocabulary, by dense id; "" of 0."""

    def __init__(self, dataset):
        self.user, self.item, self.word = (
            ["", *dataset.vocabulary(name)] for name in ("user", "item", "word")
        )
        self.search_source = [""]
        if dataset.info.num_search_sources:
            self.search_source += dataset.vocabulary("search_source")


def _records(dataset):
    for serialized in tf.data.TFRecordDataset(dataset.shard_paths()):
        record = parse_records(serialized[None])
        yield {name: column.numpy() for name, column in record.items()}


def _row(record, name, index):
    start, end = record[f"{name}_splits"][index : index + 2]
    return record[name][start:end]
