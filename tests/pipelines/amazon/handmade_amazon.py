"""Hand-made reviews and metadata, and what the job makes of them, for tests."""

import gzip
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from pipelines.amazon.__main__ import main
from sar_tf.data.dataset_info import DatasetInfo
from sar_tf.data.schema import parse_records

NUM_FILLERS = 120  # Items of other users, so that 99 negatives can be drawn.

START = 1_000_000_000  # In seconds; the times below come after it.
# User, item, time. By hand, in order of time: u1 takes i1, i2 and i3 (at the same
# time, in the order of the file), i4, i5; u2 takes i3, i1.
REVIEWS = [
    ("u1", "i5", 40),
    ("u1", "i2", 20),
    ("u1", "i3", 20),
    ("u2", "i1", 50),
    ("u1", "i1", 10),
    ("u1", "i4", 30),
    ("u2", "i3", 7),
    *((f"v{index:03d}", f"j{index:03d}", index) for index in range(NUM_FILLERS)),
]
# i4 has a hierarchy of one level alone, i5 is not in the metadata.
HIERARCHIES = {
    "i1": [["Camera, Photo", "Digital Camera Lenses"]],
    "i2": [["Beauty", "Hair"], ["Beauty", "The Skin of Hair"], ["Gift"]],
    "i3": [["Beauty", "Hair"]],
    "i4": [["Beauty"]],
}


def write_lines(path, lines):
    """Writes a file of lines, by its suffix with gzip; returns its path."""
    text = "".join(f"{line}\n" for line in lines)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


def layout_2014(folder, reviews=REVIEWS, hierarchies=HIERARCHIES):
    """Writes reviews and metadata as of 2014; returns both paths."""
    review_lines = [
        json.dumps(
            {
                "reviewerID": user,
                "asin": item,
                "overall": 5.0,
                "unixReviewTime": START + time,
            }
        )
        for user, item, time in reviews
    ]
    metadata_lines = [
        str({"asin": item, "title": 'It\'s "new"', "price": 1.5, "categories": found})
        for item, found in hierarchies.items()
    ]
    return (
        write_lines(folder / "reviews.json.gz", review_lines),
        write_lines(folder / "meta.json.gz", metadata_lines),
    )


def layout_2018(folder):
    """Writes them as of 2018, with one item described twice."""
    review_lines = [
        json.dumps({"asin": item, "reviewerID": user, "unixReviewTime": START + time})
        for user, item, time in REVIEWS
    ]
    metadata_lines = [
        json.dumps({"category": found[0], "title": "x", "asin": item})
        for item, found in HIERARCHIES.items()
    ]
    return (
        write_lines(folder / "reviews.json", review_lines),
        write_lines(folder / "meta.json.gz", metadata_lines + metadata_lines[:1]),
    )


def layout_2023(folder):
    """Writes them as of 2023."""
    review_lines = [
        json.dumps(
            {
                "user_id": user,
                "parent_asin": item,
                "asin": "v",
                "timestamp": 1000 * (START + time),
            }
        )
        for user, item, time in REVIEWS
    ]
    metadata_lines = [
        json.dumps({"categories": found[0], "parent_asin": item})
        for item, found in HIERARCHIES.items()
    ]
    metadata_lines.append(json.dumps({"categories": [], "parent_asin": "i5"}))
    return (
        write_lines(folder / "reviews.jsonl", review_lines),
        write_lines(folder / "meta.jsonl.gz", metadata_lines),
    )


def append(path, lines):
    """Appends lines to a file with gzip."""
    with gzip.open(path, "at", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def build(
    files,
    output_dir,
    seed=1,
    max_bad_fraction=0.01,
    allow_empty_splits=False,
    engine=("--engine=local",),
):
    """Runs the job on (reviews, metadata); returns output_dir."""
    main(
        [
            f"--reviews={files[0]}",
            f"--metadata={files[1]}",
            f"--output_dir={output_dir}",
            f"--seed={seed}",
            f"--max_bad_fraction={max_bad_fraction}",
            *(["--allow_empty_splits"] if allow_empty_splits else []),
            *engine,
        ]
    )
    return output_dir


def fails(files, output_dir, **flags):
    """The one line that the job ends with."""
    with pytest.raises(SystemExit) as exit_:
        build(files, output_dir, **flags)
    message = str(exit_.value)
    assert "\n" not in message
    assert not output_dir.exists()
    leftovers = [name for name in os.listdir(output_dir.parent) if "partial" in name]
    assert leftovers == []
    return message


def parse(dataset_dir):
    """All records: each field by its name."""
    info = DatasetInfo.load(dataset_dir)
    info.verify_shards(dataset_dir)
    paths = [str(dataset_dir / shard["file"]) for shard in info.shards]
    serialized = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    fields = parse_records(tf.constant(serialized))
    return {name: field.numpy() for name, field in fields.items()}


def of_user(fields, user, name, rows):
    """One user's part of a field, as a list."""
    start, end = fields[f"{rows}_splits"][user - 1 : user + 1]
    if f"{name}_splits" not in fields or name == rows:
        return fields[name][start:end].tolist()
    splits = fields[f"{name}_splits"][start : end + 1]
    return [part.tolist() for part in np.split(fields[name], splits)[1:-1]]


def raw_ids(dataset_dir, name):
    """{dense id: raw id} of a vocabulary."""
    text = (dataset_dir / "vocabularies" / f"{name}.txt").read_text()
    return dict(enumerate(text.splitlines(), start=1))
