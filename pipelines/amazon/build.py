"""Makes a dataset from Amazon reviews and metadata, with semi-synthetic searches.

Every review is a recommendation behavior and, if the item has a query, also a search
for one of the queries made from the item's categories. The job reads the layouts of
2014, 2018 and 2023, with and without gzip.
"""

import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.amazon.category_queries import TOKENIZER
from pipelines.amazon.logs import Logs, load_part, read_queries, read_reviews
from pipelines.amazon.reader import METADATA_LAYOUTS, REVIEW_LAYOUTS, open_file
from pipelines.common import job
from pipelines.common.processes import ProcessPool
from pipelines.common.progress import progress
from pipelines.common.rejects import Rejects
from pipelines.common.shuffle import count_parts
from pipelines.common.summary import Step, finish
from sar_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from pipelines.common.writer import Summary, Tables

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
    files = (
        open_file(reviews, REVIEW_LAYOUTS, "reviews"),
        open_file(metadata, METADATA_LAYOUTS, "metadata"),
    )
    num_parts = count_parts(files[0].num_bytes)
    with (
        job.staged_output(output_dir) as staging,
        ProcessPool(num_parts, prepare=import_tensorflow) as pool,
    ):
        work = staging / "work"
        work.mkdir()
        rejects = Rejects.of_output(staging, output_dir)
        args = pool, rejects, max_bad_fraction
        logs = read_reviews(files[0], work, num_parts, *args)
        item_queries = read_queries(files[1], logs.items, work, *args)
        rejects.close()
        num_queried = sum(map(bool, item_queries))
        if not num_queried:
            raise job.UserError(
                f"{metadata} has no category hierarchy of more than one level for any "
                f"item of {reviews}; are both of the same product category?"
            )
        # It imports TensorFlow, which takes seconds: missing files are found before.
        import_tensorflow()
        from pipelines.common import writer

        summary, tables = _write_records(
            staging, pool, num_parts, logs, item_queries, seed
        )
        finish(
            rejects,
            [
                Step(
                    "in the reviews",
                    len(logs.users),
                    len(logs.items),
                    logs.num_reviews,
                )
            ],
            summary.targets,
            notes={"items without a search query": len(logs.items) - num_queried},
            allow_empty_splits=allow_empty_splits,
        )
        shutil.rmtree(work)
        writer.write_dataset(
            staging,
            summary,
            tables,
            name="amazon",
            command=command,
            seed=seed,
            split_rule=SPLIT_RULE,
            tokenizer=TOKENIZER,
        )


def _write_records(
    staging: Path,
    pool: ProcessPool,
    num_parts: int,
    logs: Logs,
    item_queries: list[list[str]],
    seed: int,
) -> tuple["Summary", "Tables"]:
    """Writes the shards, and makes the tables.

    Args:
        staging: The folder of the dataset.
        pool: The processes that write.
        num_parts: Number of parts of the users.
        logs: The reviews.
        item_queries: The texts of the queries of item 0 (none), 1, …
        seed: Seed of the draws of queries and negatives.
    """
    from pipelines.amazon.records import Settings, write_part
    from pipelines.amazon.tables import make_tables
    from pipelines.common.writer import Summary

    work, num_items = staging / "work", len(logs.items)
    tables, queries = make_tables(logs.users, logs.items, item_queries)
    queries.save(work)
    write = functools.partial(
        write_part,
        num_parts=num_parts,
        work=work,
        directory=staging,
        settings=Settings(num_items, seed),
    )
    parts = (load_part(work, part) for part in range(num_parts))
    ids = (
        (logs.users.encode(part.users), logs.items.encode(part.items)) for part in parts
    )
    summary = Summary.empty(num_items)
    with progress("records", len(logs.users), " users") as bar:
        for part in pool.map(write, range(num_parts), ids):
            summary.merge(part)
            bar.update(part.shards[0]["num_records"])
    return summary, tables
