"""Makes a dataset from Amazon reviews and metadata, with semi-synthetic searches.

Every review is a recommendation behavior and, if the item has a query, also a search
for one of the queries made from the item's categories. The job reads the layouts of
2014, 2018 and 2023, with and without gzip.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipelines.amazon.category_queries import TOKENIZER, category_queries
from pipelines.amazon.reader import read_hierarchies, read_reviews
from pipelines.common import job
from pipelines.common.progress import progress
from pipelines.common.ragged import RaggedTable, query_words
from pipelines.common.rejects import Rejects
from pipelines.common.summary import Step, finish
from pipelines.common.vocabulary import Vocabulary
from sar_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from pipelines.common.writer import Summary, Tables

USERS_PER_SHARD = 2048
SPLIT_RULE = (
    "leave one out: a user's last interaction is a test target, the last but one a "
    "validation target, the others from the second on are training targets; each is "
    "a target of both tasks, and sees only behaviors strictly earlier in time"
)


def build_dataset(
    output_dir: str | os.PathLike,
    *,
    reviews: str | os.PathLike,
    metadata: str | os.PathLike,
    seed: int = 1,
    max_bad_fraction: float = 0.01,
    allow_empty_splits: bool = False,
    command: str = "",
) -> None:
    """Reads the two files of one product category and writes a dataset folder.

    Args:
        output_dir: Folder to make; it appears when complete.
        reviews: File with one review on each line.
        metadata: File with one item on each line, with its categories.
        seed: Seed of the draws of queries and negatives.
        max_bad_fraction: Largest share of malformed rows in a file.
        allow_empty_splits: Whether a split may have no target.
        command: The command that made the dataset, for dataset_info.json.

    Raises:
        job.UserError: A file is missing, damaged or of an unknown layout, too many rows
            are malformed, a split is empty, or output_dir already holds files.
    """
    output_dir, reviews, metadata = Path(output_dir), Path(reviews), Path(metadata)
    job.require_file(reviews, "reviews")
    job.require_file(metadata, "metadata")
    with job.staged_output(output_dir) as directory:
        rejects = Rejects.of_output(directory, output_dir)
        interactions = read_reviews(reviews, rejects, max_bad_fraction)
        hierarchies = read_hierarchies(
            metadata,
            set(interactions["item"].cat.categories),
            rejects,
            max_bad_fraction,
        )
        rejects.close()
        item_queries = {
            item: category_queries(found) for item, found in hierarchies.items()
        }
        if not any(item_queries.values()):
            raise job.UserError(
                f"{metadata} has no category hierarchy of more than one level for any "
                f"item of {reviews}; are both of the same product category?"
            )
        # It imports TensorFlow, which takes seconds: missing files are found before.
        import_tensorflow()
        from pipelines.common import writer

        summary, tables = _write_records(directory, interactions, item_queries, seed)
        sizes = tables.size("user"), tables.size("item"), len(interactions)
        num_queried = sum(map(bool, item_queries.values()))
        finish(
            rejects,
            [Step("in the reviews", *sizes)],
            summary.targets,
            notes={"items without a search query": tables.size("item") - num_queried},
            allow_empty_splits=allow_empty_splits,
        )
        writer.write_dataset(
            directory,
            summary,
            tables,
            name="amazon",
            command=command,
            seed=seed,
            split_rule=SPLIT_RULE,
            tokenizer=TOKENIZER,
        )


def _write_records(
    directory: Path,
    interactions: pd.DataFrame,
    item_queries: dict[str, list[str]],
    seed: int,
) -> tuple["Summary", "Tables"]:
    """Writes the shards, and makes the tables.

    Args:
        directory: The folder.
        interactions: Result of `read_reviews`.
        item_queries: The texts of each raw item's queries.
        seed: Seed of the draws of queries and negatives.
    """
    from pipelines.amazon.records import Catalogue, user_record
    from pipelines.common import writer

    users = Vocabulary.build(interactions["user"].cat.categories)
    items = Vocabulary.build(interactions["item"].cat.categories)
    queries = Vocabulary.build(*item_queries.values())
    raw_words = query_words(queries)
    words = Vocabulary.build(raw_words.values)
    # Row 0 stands for no item.
    queries_of_items = [[], *(item_queries.get(item, []) for item in items.raw_ids())]
    catalogue = Catalogue(
        num_items=len(items),
        item_queries=RaggedTable.from_rows(queries_of_items).encode(queries),
        query_words=raw_words.encode(words),
    )
    records = (
        user_record(*history, catalogue, seed)
        for history in _histories(interactions, users, items)
    )
    summary = writer.Summary.empty(len(items))
    num_shards = -(-len(users) // USERS_PER_SHARD)
    with progress("records", len(users), " users") as bar:
        for shard in range(num_shards):
            path = directory / writer.shard_name(shard, num_shards)
            part = itertools.islice(records, USERS_PER_SHARD)
            summary.merge(writer.write_shard(path, part, len(items), bar.update))
    tables = writer.Tables(
        vocabularies={"user": users, "item": items, "word": words},
        queries=catalogue.query_words,
        user_features={},
        item_features={},
    )
    return summary, tables


def _histories(
    interactions: pd.DataFrame, users: Vocabulary, items: Vocabulary
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields (dense user, items, times) by user; equal times in the file's order."""
    user, item = (
        vocabulary.encode(column.cat.categories)[column.cat.codes]
        for vocabulary, column in (
            (users, interactions["user"]),
            (items, interactions["item"]),
        )
    )
    time = interactions["time"].to_numpy()
    order = np.lexsort((time, user))
    ends = np.cumsum(np.bincount(user)[1:])
    return zip(
        range(1, len(users) + 1),
        np.split(item[order], ends[:-1]),
        np.split(time[order], ends[:-1]),
        strict=True,
    )
