"""A finished dataset folder: its info, vocabularies and tables."""

import functools
import hashlib
import os
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Iterable

import numpy as np

from sar_tf.data.dataset_info import DatasetError, DatasetInfo, list_tables
from sar_tf.paths import as_path

# Errors of NumPy for damaged tables, from thousands of trials.
_SIGNS_OF_DAMAGE = (
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class SequenceDataset:
    """Reads the info, vocabularies and tables of a dataset folder.

    Attributes:
        dataset_dir: The folder; may be on a remote file system, such as gs://….
        info: Its `DatasetInfo`.
        cache: Expensive results that all pipelines on the folder share.
        damage: The text of the error of a damaged shard, where one was found.
    """

    def __init__(self, dataset_dir: str | os.PathLike, info: DatasetInfo) -> None:
        self.dataset_dir = as_path(dataset_dir)
        self.info = info
        self.cache: dict = {}
        self.damage: str | None = None
        self._intact: set[str] = set()
        self._checking = threading.Lock()

    @classmethod
    def open(cls, dataset_dir: str | os.PathLike) -> "SequenceDataset":
        """Opens a folder and checks its files.

        The info, the tables and the vocabularies must have their checksums; shards
        must exist in full. `require_intact` compares the checksum of a shard when it
        is read, so that a large dataset opens quickly.

        Raises:
            DatasetError: The folder is unfinished, damaged or of another version.
        """
        info = DatasetInfo.load(dataset_dir)
        info.verify_tables(dataset_dir)
        info.verify_shards(dataset_dir, checksums=False)
        return cls(dataset_dir, info)

    @functools.cached_property
    def fingerprint(self) -> str:
        """What tells datasets apart whose dense ids stand for different things.

        A SHA-256 of the checksums of the vocabularies, the queries and the features.
        Datasets of other targets may have the same one.
        """
        text = "".join(f"{f} {x}\n" for f, x in self.table_checksums().items())
        return hashlib.sha256(text.encode()).hexdigest()

    def table_checksums(self) -> dict[str, str]:
        """The SHA-256 of each file that tells what dense ids stand for, by name."""
        return {
            table["file"]: table["sha256"]
            for table in self.info.tables or list_tables(self.dataset_dir)
            if table["file"] != "popularity.npz"  # counts targets
        }

    def require_intact(self, shards: Iterable[dict]) -> None:
        """Compares the checksums of shards, of each one once.

        Several threads may call it.

        Args:
            shards: Of `info.shards`.

        Raises:
            DatasetError: Names the first shard at fault.
        """
        for shard in shards:
            # Streams of both tasks come to a shard at about the same time.
            with self._checking:
                if shard["file"] in self._intact:
                    continue
                try:
                    self.info.verify_file(self.dataset_dir, shard)
                except DatasetError as error:
                    self.damage = str(error)
                    raise
                self._intact.add(shard["file"])

    def shard_paths(self) -> list[str]:
        return [str(self.dataset_dir / shard["file"]) for shard in self.info.shards]

    def vocabulary(self, name: str) -> list[str]:
        """Raw ids in the order of their dense ids: id i is element i - 1."""
        path = self.dataset_dir / "vocabularies" / f"{name}.txt"
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{path} cannot be read ({error}); make the dataset again"
            ) from error
        # splitlines would also split at characters that an id may contain.
        return text.removesuffix("\n").split("\n") if text else []

    def dense_ids(self, name: str, raw_ids: Iterable[str]) -> tuple[int, ...]:
        """The dense ids of some raw ids of a vocabulary, in ascending order.

        Raises:
            DatasetError: A raw id is not in the vocabulary.
        """
        wanted = {str(raw) for raw in raw_ids}
        found = {
            raw: dense
            for dense, raw in enumerate(self.vocabulary(name), start=1)
            if raw in wanted
        }
        unknown = sorted(wanted - found.keys())
        if unknown:
            raise DatasetError(
                f"{self.dataset_dir} has no {name} {', '.join(unknown[:5])}"
            )
        return tuple(sorted(found.values()))

    def query_words(self, max_words: int) -> np.ndarray:
        """`(num_queries + 1, max_words)` int32, padded with 0; row 0 is empty."""
        arrays = self._load("queries.npz", {"row_splits": self.info.num_queries + 2})
        return pad_rows(arrays["values"], arrays["row_splits"], max_words)

    def feature_tables(self, max_words: int) -> dict[str, dict[str, np.ndarray]]:
        """The features of every user and item, by dense id; row 0 is the padding.

        Args:
            max_words: Width to which features made of words are cut or padded.

        Returns:
            {"user": {name: table}, "item": {name: table}}; a table is int32 of shape
            `(num + 1,)`, or `(num + 1, max_words)` for words, or `(num + 1, width)`
            for a multi-valued feature.
        """
        sizes = {"user": self.info.num_users, "item": self.info.num_items}
        tables: dict[str, dict[str, np.ndarray]] = {}
        for owner, features in self.info.features.items():
            lengths = {}
            for name, feature in features.items():
                if feature["kind"] != "categorical":
                    lengths[f"{name}/row_splits"] = sizes[owner] + 2
                else:
                    lengths[name] = sizes[owner] + 1
            arrays = self._load(f"{owner}_features.npz", lengths)
            tables[owner] = {
                name: arrays[name].astype(np.int32)
                if feature["kind"] == "categorical"
                else pad_rows(
                    arrays[f"{name}/values"],
                    arrays[f"{name}/row_splits"],
                    feature.get("width", max_words),
                )
                for name, feature in features.items()
            }
        return tables

    def popularity(self) -> dict[str, np.ndarray]:
        """{"rec": counts, "search": counts}, [num_items + 1] training targets each."""
        size = self.info.num_items + 1
        return self._load("popularity.npz", {"rec": size, "search": size})

    def _load(self, file: str, lengths: dict[str, int]) -> dict[str, np.ndarray]:
        path = self.dataset_dir / file
        advice = "make the dataset again"
        try:
            with (
                path.open("rb") as opened,
                np.load(opened, allow_pickle=False) as arrays,
            ):
                loaded = dict(arrays)
        except _SIGNS_OF_DAMAGE as error:
            raise DatasetError(f"{path} cannot be read ({error}); {advice}") from error
        for name, length in lengths.items():
            if name not in loaded:
                raise DatasetError(f"{path} has no array {name!r}; {advice}")
            if len(loaded[name]) != length:
                raise DatasetError(
                    f"{path}: array {name!r} has length {len(loaded[name])} instead "
                    f"of {length}; {advice}"
                )
        return loaded


def pad_rows(values: np.ndarray, row_splits: np.ndarray, width: int) -> np.ndarray:
    """Rows of flat values, cut or padded with 0 to one width: `(rows, width)` int32."""
    lengths = np.minimum(np.diff(row_splits), width)
    filled = np.arange(width) < lengths[:, None]
    padded = np.zeros(filled.shape, np.int32)
    inside = np.arange(len(values)) - np.repeat(row_splits[:-1], np.diff(row_splits))
    padded[filled] = values[inside < width]
    return padded
