"""Hand-made logs in the KuaiSAR layout, and what the job makes of them, for tests."""

import csv
import dataclasses
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import tensorflow as tf

from pipelines import kuaisar
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.schema import parse_records

BEIJING = timezone(timedelta(hours=8))
ITEMS = range(1001, 1111)  # Dense ids 1 to 110 where all are kept.
FILLERS = range(901, 906)  # Users who click every item once, and search once.


def ms(clock: str) -> int:
    """Milliseconds of a time in Beijing in June 2023, "07 12:00:00.500"."""
    moment = datetime.fromisoformat(f"2023-06-{clock}").replace(tzinfo=BEIJING)
    return round(moment.timestamp() * 1000)


@dataclasses.dataclass
class Logs:
    """Rows of the four tables that the job reads, by column."""

    rec: list[dict] = dataclasses.field(default_factory=list)
    search: list[dict] = dataclasses.field(default_factory=list)
    items: list[dict] = dataclasses.field(default_factory=list)
    users: list[dict] = dataclasses.field(default_factory=list)

    def add_rec(self, user, clock, *items, click=1):
        for item in items:
            row = {"user_id": user, "item_id": item, "playing_time": 0.0}
            row |= {"timestamp": float(ms(clock)), "click": click}
            self.rec.append(row)

    def add_session(self, user, clock, session, keyword, source, shown):
        """shown: item -> number of clicks."""
        for item, clicks in shown.items():
            self.search.append(
                {
                    "user_id": user,
                    "search_session_id": session,
                    "search_session_timestamp": ms(clock),
                    "keyword": keyword,
                    "search_source": source,
                    "item_id": item,
                    "click_cnt": clicks,
                    "item_type": "PHOTO",
                }
            )

    def add_item(self, item, caption="[]", first=1, second=1):
        row = {"item_id": item, "caption": caption, "author_id": 1}
        row |= {"first_level_category_id": first, "second_level_category_id": second}
        self.items.append(row)

    def add_fillers(self):
        """Gives each of ITEMS five interactions, and the log its end on 06-10."""
        for item in ITEMS:
            self.add_item(item)
        for user in FILLERS:
            for item in ITEMS:
                self.add_rec(user, "01 08:00:00", item)
            self.add_session(user, "01 09:00:00", user, "[3]", "FILLER", {1001: 0})
        self.add_rec(901, "10 09:30:00", 1001)

    def write(self, directory: Path) -> Path:
        directory.mkdir()
        for name, rows in (
            ("rec_inter", self.rec),
            ("src_inter", self.search),
            ("item_features", self.items),
            ("user_features", self.users),
        ):
            with open(directory / f"{name}.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        return directory


def handmade() -> Logs:
    """Fillers, and user 7, whose record test_kuaisar_dataset.py checks; others go."""
    logs = Logs()
    logs.users = [
        user_row(7, 4, 0, 2, "empty"),
        user_row(901, 3, 9, 1, 1),
        user_row(8, 5, 5, 5, 5),
    ]
    logs.add_fillers()
    logs.items[0] |= {"caption": "[70, 0, 9]", "first_level_category_id": 0}
    logs.items[1] |= {"first_level_category_id": "empty"}
    logs.items[2] |= {"caption": "[9]", "first_level_category_id": 30}
    logs.items[2] |= {"second_level_category_id": 31}

    logs.add_rec(7, "08 23:59:59.999", 1010)
    logs.add_rec(7, "02 10:00:00", 1003, 1001)
    logs.add_rec(7, "02 10:00:00", 1002, click=0)
    logs.add_session(7, "02 10:00:00", 50, "[5, 70]", "USER_INPUT", {1004: 2, 1005: 0})
    logs.add_rec(7, "06 23:59:59.999", 1006)
    logs.add_rec(7, "07 00:00:00", 1007)
    logs.add_session(7, "07 12:00:00", 51, "[]", "empty", {1005: 0})
    logs.add_session(
        7, "08 00:00:00", 52, "[70]", "HISTORY", {1009: 1, 1001: 0, 1008: 1}
    )
    logs.add_rec(7, "09 00:00:00", 1011)
    return logs


def user_row(user, feat1, feat2, search_level, rec_level):
    return {
        "user_id": user,
        "search_active_level": search_level,
        "rec_active_level": rec_level,
        "onehot_feat1": feat1,
        "onehot_feat2": feat2,
    }


def build(logs, tmp_path, name="dataset", **flags):
    """Makes a dataset of `Logs` or of a folder of logs; returns its folder."""
    input_dir = (
        logs.write(tmp_path / f"{name}-logs") if isinstance(logs, Logs) else logs
    )
    kuaisar.build_dataset(tmp_path / name, input_dir=input_dir, **flags)
    return tmp_path / name


def contents(dataset_dir):
    """Every file's bytes, by its path in the folder."""
    return {
        os.fspath(path.relative_to(dataset_dir)): path.read_bytes()
        for path in sorted(dataset_dir.rglob("*"))
        if path.is_file()
    }


def read_record(dataset_dir, raw_user):
    """One user's record, its fields as lists."""
    dataset = SequenceDataset.open(dataset_dir)
    user = 1 + dataset.vocabulary("user").index(str(raw_user))
    for serialized in tf.data.TFRecordDataset(dataset.shard_paths()):
        record = parse_records(serialized[None])
        if record["user"][0] == user:
            return {name: values.numpy().tolist() for name, values in record.items()}
    raise AssertionError(f"user {user} has no record")
