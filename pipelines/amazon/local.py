"""The job's work in several processes of one machine."""

import functools

from pipelines.amazon.logs import Logs, load_part, read_queries, read_reviews
from pipelines.amazon.reader import RawFile
from pipelines.common.processes import ProcessPool
from pipelines.common.rejects import Rejects
from pipelines.common.shuffle import count_parts
from pipelines.common.staging import Staging
from sar_tf.startup import import_tensorflow


class LocalEngine:
    """Reads and writes in processes of this machine; use it in a `with`.

    Args:
        reviews, metadata: The files.
        staging: The folders to fill.
        rejects: Collects the malformed rows.
        max_bad_fraction: Largest share of malformed rows in a file.
    """

    def __init__(
        self,
        reviews: RawFile,
        metadata: RawFile,
        staging: Staging,
        rejects: Rejects,
        max_bad_fraction: float,
    ):
        self._reviews = reviews
        self._metadata = metadata
        self._shards = staging.shards
        self._work = staging.work
        self._rules = rejects, max_bad_fraction
        self._num_parts = count_parts(reviews.num_bytes)
        self._pool = ProcessPool(self._num_parts, prepare=import_tensorflow)

    def __enter__(self) -> "LocalEngine":
        self._pool.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._pool.__exit__(*error)

    def read_reviews(self) -> Logs:
        """Reads the reviews and groups them by user, see `logs.read_reviews`."""
        return read_reviews(
            self._reviews, self._work, self._num_parts, self._pool, *self._rules
        )

    def read_queries(self, logs: Logs) -> list[list[str]]:
        """The queries of item 0 (none), 1, …, see `logs.read_queries`."""
        return read_queries(
            self._metadata, logs.items, self._work, self._pool, *self._rules
        )

    def write_records(self, logs: Logs, seed: int):
        """Writes the shards, with the queries that `Queries.save` saved.

        Args:
            logs: The reviews.
            seed: Seed of the draws of queries and negatives.

        Returns:
            The `Summary` of all shards.
        """
        from pipelines.amazon.records import Settings, write_part
        from pipelines.common.writer import sum_up

        work, num_items, num_parts = self._work, len(logs.items), self._num_parts
        write = functools.partial(
            write_part,
            num_parts=num_parts,
            work=work,
            directory=self._shards,
            settings=Settings(num_items, seed),
        )
        parts = (load_part(work, part) for part in range(num_parts))
        ids = (
            (logs.users.encode(part.users), logs.items.encode(part.items))
            for part in parts
        )
        shards = self._pool.map(write, range(num_parts), ids)
        return sum_up(shards, num_items, len(logs.users))
