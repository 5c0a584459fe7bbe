"""A dataset's vocabularies and tokenizer, as tables and ops of a SavedModel."""

import os
from collections.abc import Collection
from pathlib import Path

import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.tokenizer import get_tokenizer
from sar_tf.paths import AnyPath
from sar_tf.spec import DataSpec

VOCABULARIES = ("user", "item", "word", "search_source")


class Vocabularies(tf.Module):
    """Looks up raw ids and texts in the graph, as the dataset's job did.

    The tables are assets: a SavedModel holds copies of the vocabularies' files.

    Args:
        dataset: The dataset of the dense ids.
        spec: Sizes of the model.
        names: The vocabularies to have, of `VOCABULARIES`, and "query".
        folder: Where the file of the queries is written; it must exist until the
            SavedModel is written.
    """

    def __init__(
        self,
        dataset: SequenceDataset,
        spec: DataSpec,
        names: Collection[str],
        folder: str | os.PathLike,
    ) -> None:
        super().__init__()
        self._max_words = spec.max_query_words
        self._width = max(dataset.info.max_query_words, 1)
        # Older datasets do not name their tokenizer: spaces are between their words.
        tokenizer = dataset.info.tokenizer
        self._tokenize = get_tokenizer(tokenizer).graph if tokenizer else _split
        self._tables = {
            name: _line_numbers(dataset.dataset_dir / "vocabularies" / f"{name}.txt")
            for name in VOCABULARIES
            # A dataset without sources of searches has no such vocabulary.
            if name in names and getattr(spec, f"num_{name}s")
        }
        self._raw_items = _lines(dataset.dataset_dir / "vocabularies" / "item.txt")
        if "query" in names:
            self._tables["query"] = _query_table(dataset, Path(folder))

    def ids(self, name: str, raw_ids: tf.Tensor) -> tf.Tensor:
        """The dense ids of raw ids; 0 of unknown ones.

        Args:
            name: The vocabulary.
            raw_ids: string `(...)`.

        Returns:
            int32 `(...)`.
        """
        if name not in self._tables:
            return tf.zeros(tf.shape(raw_ids), tf.int32)
        return tf.cast(self._tables[name].lookup(raw_ids), tf.int32) + 1

    def raw_items(self, items: tf.Tensor) -> tf.Tensor:
        """The raw ids of dense items; "" of 0.

        Args:
            items: int32 `(...)`.

        Returns:
            string `(...)`.
        """
        return self._raw_items.lookup(tf.cast(items, tf.int64) - 1)

    def words(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The words of texts, and the queries that they are.

        A query is known by its words: a text with the words of a query of the dataset,
        in their order, is that query.

        Args:
            texts: string `(T,)`.

        Returns:
            int32 `(T, W)`, the dense ids of the first W words, 0 where a word is
            unknown or there is none, and int32 `(T,)`, the dense ids of the queries,
            0 where there is none; None without the vocabulary "query".
        """
        words = self._tokenize(texts)
        words = words.with_values(self.ids("word", words.values))
        # The job kept this many words of a query.
        words = words.to_tensor(shape=[None, self._width])
        queries = None
        if "query" in self._tables:
            key = tf.strings.as_string(words)
            key = tf.strings.reduce_join(key, axis=-1, separator=" ")
            queries = self.ids("query", key)
        return words[:, : self._max_words], queries


def _line_numbers(path: AnyPath) -> tf.lookup.StaticHashTable:
    """Line of a file -> its number, from 0; -1 where there is no such line."""
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            os.fspath(path),
            key_dtype=tf.string,
            key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
            value_dtype=tf.int64,
            value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        default_value=-1,
    )


def _lines(path: AnyPath) -> tf.lookup.StaticHashTable:
    """Number of a line of a file, from 0 -> the line; "" where there is none."""
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            os.fspath(path),
            key_dtype=tf.int64,
            key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
            value_dtype=tf.string,
            value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        ),
        default_value="",
    )


def _query_table(dataset: SequenceDataset, folder: Path) -> tf.lookup.StaticHashTable:
    """The padded dense words of a query -> its number, from 0; -1 where unknown."""
    width = max(dataset.info.max_query_words, 1)
    first: dict[str, int] = {}
    for number, words in enumerate(dataset.query_words(width)[1:].tolist()):
        first.setdefault(" ".join(map(str, words)), number)
    path = folder / "query.txt"
    lines = "".join(f"{text}\t{number}\n" for text, number in first.items())
    path.write_text(lines, encoding="ascii")
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            os.fspath(path),
            key_dtype=tf.string,
            key_index=0,
            value_dtype=tf.int64,
            value_index=1,
        ),
        default_value=-1,
    )


def _split(texts: tf.Tensor) -> tf.RaggedTensor:
    return tf.strings.split(texts)
