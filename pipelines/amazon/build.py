"""Makes a dataset from Amazon reviews and metadata, with semi-synthetic searches.

Every review is a recommendation behavior and, if the item has a query, also a search
for one of the queries made from the item's categories. The job reads the layouts of
2014, 2018 and 2023, with and without gzip.
"""

import os
from collections.abc import Sequence

from pipelines.amazon.category_queries import TOKENIZER
from pipelines.amazon.local import LocalEngine
from pipelines.amazon.reader import METADATA_LAYOUTS, REVIEW_LAYOUTS, open_file
from pipelines.common import job
from pipelines.common.engines import choose_engine
from pipelines.common.rejects import Rejects
from pipelines.common.staging import staged_dataset
from pipelines.common.summary import Step, finish
from sar_tf.paths import as_path
from sar_tf.startup import import_tensorflow

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
    engine: str = "local",
    beam_flags: Sequence[str] = (),
) -> None:
    """Reads the two files of one product category and writes a dataset folder.

    Args:
        output_dir: Folder to make; it appears when complete. May be remote.
        reviews: File with one review on each line.
        metadata: File with one item on each line, with its categories.
        seed: Seed of the draws of queries and negatives.
        max_bad_fraction: Largest share of malformed rows in a file.
        allow_empty_splits: Whether a split may have no target.
        command: The command that made the dataset, for dataset_info.json.
        engine: "local", or "beam" for Apache Beam pipelines.
        beam_flags: Beam's own flags, such as "--runner=DirectRunner".

    Raises:
        job.UserError: A file is missing, damaged or of an unknown layout, too many rows
            are malformed, a split is empty, or output_dir already holds files.
    """
    reviews, metadata = as_path(reviews), as_path(metadata)
    job.require_file(reviews, "reviews")
    job.require_file(metadata, "metadata")
    files = (
        open_file(reviews, REVIEW_LAYOUTS, "reviews"),
        open_file(metadata, METADATA_LAYOUTS, "metadata"),
    )
    with staged_dataset(output_dir, engine) as staging:
        rejects = Rejects.of_output(staging.folder, output_dir)
        make = choose_engine(engine, LocalEngine, _load_beam, beam_flags)
        with make(*files, staging, rejects, max_bad_fraction) as worker:
            logs = worker.read_reviews()
            item_queries = worker.read_queries(logs)
            rejects.close()
            num_queried = sum(map(bool, item_queries))
            if not num_queried:
                raise job.UserError(
                    f"{metadata} has no category hierarchy of more than one level for "
                    f"any item of {reviews}; are both of the same product category?"
                )
            # TensorFlow takes seconds to import: missing files are found before.
            import_tensorflow()
            from pipelines.amazon.tables import make_tables
            from pipelines.common import writer

            tables, queries = make_tables(logs.users, logs.items, item_queries)
            queries.save(staging.work)
            summary = worker.write_records(logs, seed)
        step = Step(
            "in the reviews", len(logs.users), len(logs.items), logs.num_reviews
        )
        finish(
            rejects,
            [step],
            summary.targets,
            notes={"items without a search query": len(logs.items) - num_queried},
            allow_empty_splits=allow_empty_splits,
        )
        writer.write_dataset(
            staging.folder,
            summary,
            tables,
            name="amazon",
            command=command,
            seed=seed,
            split_rule=SPLIT_RULE,
            tokenizer=TOKENIZER,
        )


def _load_beam():
    from pipelines.amazon.beam import BeamEngine

    return BeamEngine
