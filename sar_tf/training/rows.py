"""Which rows of two datasets' tables stand for the same raw id."""

import dataclasses
import re

import numpy as np

from sar_tf.data.dataset import SequenceDataset
from sar_tf.spec import DataSpec

# A table of ids has its vocabulary in its place in the model: in the name of the layer,
# or of the encoder around it.
_KEYWORDS = {
    "word": "word",
    "query_embedding": "query",
    "source": "search_source",
    "user": "user",
    "item": "item",
}


@dataclasses.dataclass(frozen=True)
class RowMap:
    """Rows that two tables have in common.

    Attributes:
        own, other: int `(R,)`, the rows of each raw id that both have; 0 is one.
        num_rows, num_other: Number of rows of the tables.
    """

    own: np.ndarray
    other: np.ndarray
    num_rows: int
    num_other: int

    def fits(self, shape: tuple, other_shape: tuple) -> bool:
        """Whether tables of these shapes have these rows."""
        return (
            shape[0] == self.num_rows
            and other_shape[0] == self.num_other
            and tuple(shape[1:]) == tuple(other_shape[1:])
        )

    def __str__(self) -> str:
        known = len(self.own) - 1
        return (
            f"{known:,} known, {self.num_rows - 1 - known:,} new, "
            f"{self.num_other - 1 - known:,} gone"
        )


def vocabulary_of(place: str, spec: DataSpec) -> str | None:
    """The vocabulary that the rows of a weight stand for; None if they are no ids.

    Args:
        place: As in `transfer.weights_by_place`.
        spec: Sizes of the model's dataset.
    """
    *parts, last = place.split("/")
    if last != "embeddings":
        return None
    feature = re.search(r"(user|item)_encoder/feature_embeddings/(\d+)/", place)
    if feature:
        return list(getattr(spec, f"{feature[1]}_features"))[int(feature[2])]
    for part in reversed(parts):
        for keyword, name in _KEYWORDS.items():
            if keyword in part:
                return name
    return None


def map_rows(name: str, dataset: SequenceDataset, other: SequenceDataset) -> RowMap:
    """The rows of the raw ids that two datasets have.

    Args:
        name: A vocabulary, or "query".
        dataset, other: The datasets.

    Raises:
        DatasetError: A vocabulary cannot be read.
    """
    own, others = _raw_ids(name, dataset), _raw_ids(name, other)
    place = {raw: row for row, raw in enumerate(others, start=1)}
    pairs = [(0, 0)] + [
        (row, place[raw]) for row, raw in enumerate(own, start=1) if raw in place
    ]
    rows, other_rows = np.array(pairs, np.int64).T
    return RowMap(rows, other_rows, len(own) + 1, len(others) + 1)


def _raw_ids(name: str, dataset: SequenceDataset) -> list[str]:
    if name != "query":
        path = dataset.dataset_dir / "vocabularies" / f"{name}.txt"
        # A log without sources of searches has none.
        return dataset.vocabulary(name) if path.is_file() else []
    words = np.array(["", *dataset.vocabulary("word")], object)
    table = dataset.query_words(max(dataset.info.max_query_words, 1))[1:]
    return [" ".join(words[row[row > 0]]) for row in table]
