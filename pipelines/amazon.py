"""Amazon reviews and metadata to a dataset with semi-synthetic searches.

    python pipelines/amazon.py --reviews reviews_Beauty_5.json.gz \
        --metadata meta_Beauty.json.gz --output_dir data/beauty

Every review is a recommendation behavior, and a search for one of the queries that
are made of the item's categories. The layouts of 2014, 2018 and 2023 are read, with
and without gzip.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines import job
from pipelines.amazon_reader import read_hierarchies, read_reviews
from pipelines.category_queries import category_queries
from pipelines.rejects import Rejects
from pipelines.vocabulary import Vocabulary, encode_queries
from sar_tf.startup import import_tensorflow

USERS_PER_SHARD = 2048
SPLIT_RULE = (
    "leave one out: a user's last interaction is a test target, the last but one a "
    "validation target, the others from the second on are training targets; each is "
    "a target of both tasks, and sees only behaviors strictly earlier in time"
)


def build_dataset(
    output_dir: Path,
    *,
    reviews: Path,
    metadata: Path,
    seed: int,
    max_bad_fraction: float,
    command: str,
) -> None:
    """Builds a dataset from one product category's two files.

    Args:
        output_dir: Folder to make; it appears when complete.
        reviews: One review a line.
        metadata: One item a line, with its categories.
        seed: Of the draws of queries and negatives.
        max_bad_fraction: Fail when more of a file's rows are malformed.
        command: What dataset_info.json gives as the command that made it.

    Raises:
        job.UserError: A file cannot be used, or output_dir is taken.
    """
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
        write(directory, interactions, item_queries, seed, command)


def write(
    directory: Path,
    interactions: pd.DataFrame,
    item_queries: dict[str, list[str]],
    seed: int,
    command: str,
) -> None:
    """Writes the dataset folder.

    Args:
        directory: Where to.
        interactions: As `read_reviews` gives them.
        item_queries: Raw item -> the texts of its queries.
        seed: Of the draws of queries and negatives.
        command: The command that makes the dataset.
    """
    # TensorFlow takes seconds to import, too long to wait for a missing file's error.
    import_tensorflow()
    from pipelines import writer
    from pipelines.amazon_records import Catalogue, user_record

    users = Vocabulary.build(interactions["user"].cat.categories)
    items = Vocabulary.build(interactions["item"].cat.categories)
    texts = {text for found in item_queries.values() for text in found}
    queries = Vocabulary.build(texts)
    words = Vocabulary.build({word for text in texts for word in text.split()})
    query_words = encode_queries(queries, words)
    catalogue = Catalogue(
        len(items), *_encode_item_queries(items, item_queries, queries), *query_words
    )
    records = (
        user_record(*history, catalogue, seed)
        for history in _histories(interactions, users, items)
    )
    summary = writer.Summary.empty(len(items))
    num_shards = -(-len(users) // USERS_PER_SHARD)
    with job.progress("records", len(users), " users") as bar:
        for shard in range(num_shards):
            path = directory / writer.shard_name(shard, num_shards)
            part = itertools.islice(records, USERS_PER_SHARD)
            summary.merge(writer.write_shard(path, part, len(items), bar.update))
    tables = writer.Tables(
        vocabularies={"user": users, "item": items, "word": words},
        queries=query_words,
        user_features={},
        item_features={},
    )
    writer.write_dataset(
        directory,
        summary,
        tables,
        name="amazon",
        command=command,
        seed=seed,
        split_rule=SPLIT_RULE,
    )


def _histories(
    interactions: pd.DataFrame, users: Vocabulary, items: Vocabulary
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Gives (dense user, items, times) in the order of users; ties as in the file."""
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


def _encode_item_queries(
    items: Vocabulary, item_queries: dict[str, list[str]], queries: Vocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """The dense queries of item 0 (none), 1, …: values and row splits."""
    raw_items = items.decode(np.arange(1, len(items) + 1))
    rows = [[], *(item_queries.get(item, []) for item in raw_items)]
    row_splits = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=row_splits[1:])
    return queries.encode([text for row in rows for text in row]), row_splits


def main(argv: list[str] | None = None) -> None:
    parser = job.argument_parser("amazon", "Amazon reviews and metadata to a dataset.")
    job.add_max_bad_fraction(parser)
    parser.add_argument(
        "--reviews", type=Path, required=True, help="one review a line, JSON"
    )
    parser.add_argument(
        "--metadata", type=Path, required=True, help="one item a line, with categories"
    )
    job.run(
        parser,
        lambda args: build_dataset(
            args.output_dir,
            reviews=args.reviews,
            metadata=args.metadata,
            seed=args.seed,
            max_bad_fraction=args.max_bad_fraction,
            command=args.command,
        ),
        argv,
    )


if __name__ == "__main__":
    main()
