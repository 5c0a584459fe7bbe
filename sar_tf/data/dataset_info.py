"""dataset_info.json: the contents of a dataset folder. A job writes it last."""

import dataclasses
import hashlib
import json
import os

from sar_tf.data.schema import READABLE_VERSIONS, SCHEMA_VERSION
from sar_tf.files import write_text
from sar_tf.paths import as_path

FILE_NAME = "dataset_info.json"
_CHECKSUM = "checksum"


class DatasetError(ValueError):
    """A dataset folder cannot be used; the text names the file and what to do."""


@dataclasses.dataclass
class DatasetInfo:
    """Sizes, kinds, counts and checksums of a dataset.

    `num_x` is the highest dense id of x: an embedding table has num_x + 1 rows.
    """

    name: str
    command: str  # The command that made the dataset.
    seed: int
    split_rule: str
    num_users: int
    num_items: int
    num_words: int
    num_queries: int
    num_search_sources: int
    # {"user": {name: {"kind": "categorical" | "words" | "multi", "num": highest id}},
    # "item": …}; a "multi" one also has its "width", the most values of an owner.
    features: dict[str, dict[str, dict]]
    max_query_words: int
    max_clicked_items: int
    num_candidates: int  # Stored negatives of a validation or test target.
    counts: dict[str, int]  # UniSAR's Table 2: users, items, queries, …_actions.
    targets: dict[str, dict[str, int]]  # Task -> split -> number of targets.
    num_behaviors: int
    shards: list[dict]  # {"file", "num_records", "num_bytes", "sha256"}
    # Finds the words of a text, see `tokenizer`; "" where it is unknown, as in older
    # datasets, and in datasets without texts.
    tokenizer: str = ""
    # {"file", "num_bytes", "sha256"} of each table and vocabulary; older datasets
    # have none.
    tables: list[dict] = dataclasses.field(default_factory=list)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """The text of dataset_info.json, with a checksum of everything else in it."""
        values = dataclasses.asdict(self)
        return json.dumps({**values, _CHECKSUM: _checksum(values)}, indent=2) + "\n"

    def save(self, dataset_dir: str | os.PathLike) -> None:
        """Writes dataset_info.json, whole or not at all."""
        write_text(as_path(dataset_dir) / FILE_NAME, self.to_json())

    @classmethod
    def load(cls, dataset_dir: str | os.PathLike) -> "DatasetInfo":
        """Reads a folder's dataset_info.json.

        Raises:
            DatasetError: No such folder, an unfinished job, another schema version
                or a damaged file.
        """
        path = as_path(dataset_dir) / FILE_NAME
        if path.parent.is_file():
            raise DatasetError(f"{path.parent} is a file; name a dataset's folder")
        if not path.parent.is_dir():
            raise DatasetError(
                f"{path.parent}: no such folder; make the dataset with a job of "
                "pipelines/, such as python -m pipelines.kuaisar"
            )
        if not path.is_file():
            raise DatasetError(
                f"{path.parent} has no {FILE_NAME}, so the job that makes it was "
                "not finished; run it again"
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            version = values["schema_version"]
            checksum = values.pop(_CHECKSUM, None)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{path} is damaged ({error!r}); make the dataset again"
            ) from error
        if version not in READABLE_VERSIONS:
            raise DatasetError(
                f"{path} has schema version {version}, this code reads versions "
                f"{' and '.join(map(str, READABLE_VERSIONS))}; make the dataset again "
                "with this code"
            )
        # Older datasets have neither a checksum nor a list of tables.
        if checksum != _checksum(values) and (checksum or "tables" in values):
            raise DatasetError(
                f"{path} is damaged or was edited (its checksum is not that of its "
                "content); make the dataset again"
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise DatasetError(
                f"{path} is damaged ({error}); make the dataset again"
            ) from error

    def verify_tables(self, dataset_dir: str | os.PathLike) -> None:
        """Checks that every table and vocabulary exists and has its checksum.

        Raises:
            DatasetError: Names the first file at fault.
        """
        for table in self.tables:
            self.verify_file(dataset_dir, table)

    def verify_shards(
        self, dataset_dir: str | os.PathLike, checksums: bool = True
    ) -> None:
        """Checks that every shard exists, is complete and has its checksum.

        Args:
            dataset_dir: The folder that holds the shards.
            checksums: Whether to read every shard and compare its SHA-256; otherwise
                only sizes are compared, which costs nothing.

        Raises:
            DatasetError: Names the first shard at fault.
        """
        for shard in self.shards:
            self.verify_file(dataset_dir, shard, checksums)

    def verify_file(
        self, dataset_dir: str | os.PathLike, entry: dict, checksum: bool = True
    ) -> None:
        """Checks one file.

        Args:
            dataset_dir: The folder that holds the file.
            entry: One of `shards` or `tables`.
            checksum: Whether to read the file and compare its SHA-256, too.

        Raises:
            DatasetError: The file is missing, cannot be read or has changed.
        """
        path = as_path(dataset_dir) / entry["file"]
        advice = "copy it again, or make the dataset again"
        if self.command:
            advice += f" with: {self.command}"
        if not path.is_file():
            raise DatasetError(f"{path} is missing; {advice}")
        num_bytes = path.stat().st_size
        if num_bytes != entry["num_bytes"]:
            raise DatasetError(
                f"{path} has {num_bytes} bytes instead of {entry['num_bytes']}, "
                f"it was cut short or changed; {advice}"
            )
        try:
            is_damaged = checksum and sha256(path) != entry["sha256"]
        except OSError as error:
            raise DatasetError(f"{path} cannot be read ({error.strerror})") from error
        if is_damaged:
            raise DatasetError(f"{path} is damaged (its SHA-256 differs); {advice}")


def list_tables(dataset_dir: str | os.PathLike) -> list[dict]:
    """The entries of `DatasetInfo.tables` for a folder, by name of the file."""
    root = as_path(dataset_dir)
    return [
        {
            "file": path.relative_to(root).as_posix(),
            "num_bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        for path in sorted([*root.glob("*.npz"), *root.glob("vocabularies/*.txt")])
    ]


def _checksum(values: dict) -> str:
    """The SHA-256 of values of JSON, whatever the order and layout of their text."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def sha256(path: str | os.PathLike) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with as_path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
