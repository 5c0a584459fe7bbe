"""The words of a text: named tokenizers, each in Python and in TensorFlow's graphs.

A dataset names its tokenizer in dataset_info.json. The jobs use the function in Python,
a SavedModel the one in the graph; both give the same words for any text.

"words"
    Words in any script. Each character is replaced by its case-folded compatibility
    decomposition (the characters of Unicode's NFKD), and marks get their canonical
    order, so that all ways to write a word are one. A word is a run of letters, digits
    and marks. An apostrophe may stand between two letters. In scripts without spaces
    (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar, Tibetan) each letter with its
    marks is a word. The table of `unicode_table` defines all that.
"ids"
    Ids that stand for words, as KuaiSAR's logs have them. ASCII white space, commas,
    semicolons, bars, brackets and quotes separate them. Numbers lose leading zeros; 0
    is no word.

Bytes that are no UTF-8 separate words in both.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sar_tf.data import unicode_table
from sar_tf.data.unicode_table import (
    APOSTROPHE,
    LETTER,
    MARK,
    SEPARATOR,
    SINGLE,
    SINGLE_MARK,
)

if TYPE_CHECKING:
    import tensorflow as tf

_ASCII_WORD = re.compile(r"[0-9a-z]+(?:'[0-9a-z]+)*")
_ID_SEPARATORS = "\\s\\v,;|\\[\\](){}\"'\ufffd"
_ID = re.compile(f"[^{_ID_SEPARATORS}]+", re.ASCII)
_NUMBER = "^0+([0-9]*)$"
_LEADING_ZEROS = re.compile(r"0+([0-9]*)")


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """A named rule that finds the words of a text.

    Attributes:
        name: Its name in dataset_info.json.
        words: The words of one text (str), in order; lone surrogates are separators.
        graph: The words of `(T,)` texts (UTF-8 strings) as a ragged tensor
            `(T, None)` of strings, made of TensorFlow's own ops.
    """

    name: str
    words: Callable[[str], list[str]]
    graph: Callable[["tf.Tensor"], "tf.RaggedTensor"]


def get_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of this name.

    Raises:
        ValueError: There is none; the text lists the names.
    """
    if name not in TOKENIZERS:
        raise ValueError(f"no tokenizer {name!r}; there are {', '.join(TOKENIZERS)}")
    return TOKENIZERS[name]


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    rules = _rules()
    folded = rules.mark_run.sub(rules.in_order, text.translate(rules.replacements))
    return rules.word.findall(folded)


def _ids(text: str) -> list[str]:
    found = _ID.findall(
        text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    )
    ids = []
    for word in found:
        number = _LEADING_ZEROS.fullmatch(word) if word[0] == "0" else None
        ids.append(number[1] if number else word)
    return [word for word in ids if word]


@dataclasses.dataclass(frozen=True)
class _Rules:
    """The rules of "words" in the form that `str` and `re` need."""

    replacements: dict[int, str]
    mark_run: re.Pattern
    in_order: Callable[[re.Match], str]
    word: re.Pattern


@functools.cache
def _rules() -> _Rules:
    table = unicode_table.load()
    values, splits = table.values.tolist(), table.splits.tolist()
    replacements = {
        code: "".join(map(chr, values[splits[row] : splits[row + 1]]))
        for row, code in enumerate(table.codes.tolist())
    }
    marks = _character_set(table.combining > 0)
    # A mark that moves past another one must know its class.
    combining = {
        chr(code): int(table.combining[code])
        for code in np.flatnonzero(table.combining).tolist()
    }
    letter, single, mark, single_mark = (
        _character_set(table.classes == kind)
        for kind in (LETTER, SINGLE, MARK, SINGLE_MARK)
    )
    more = f"[{letter}{mark}]*(?:'[{letter}][{letter}{mark}]*)*"
    # A mark goes on with any word, a letter only with that of a letter or a mark.
    marked = f"(?:[{mark}]{more})?"
    word = (
        f"(?:[{letter}{mark}]{more}|[{single}{single_mark}]{marked})"
        f"(?:[{single_mark}]{marked})*"
    )
    return _Rules(
        replacements,
        re.compile(f"[{marks}]{{2,}}"),
        lambda run: "".join(sorted(run[0], key=combining.__getitem__)),
        re.compile(word),
    )


def _character_set(is_member: np.ndarray) -> str:
    """The inside of a regular expression's brackets."""
    edges = np.flatnonzero(np.diff(is_member.astype(np.int8), prepend=0, append=0))
    pairs = edges.reshape(-1, 2).tolist()
    return "".join(f"\\U{first:08x}-\\U{end - 1:08x}" for first, end in pairs)


def _words_graph(texts: "tf.Tensor") -> "tf.RaggedTensor":
    import tensorflow as tf

    codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
    text_of, codes = codes.value_rowids(), codes.flat_values
    codes, text_of = _replace(codes, text_of)
    codes = tf.gather(codes, _canonical_order(codes, text_of))

    kinds = _Pages.of(unicode_table.load().classes).look_up(codes)
    is_first = tf.not_equal(text_of[1:], text_of[:-1])
    is_first = tf.concat([[True], is_first], 0)[: tf.size(text_of)]
    before = tf.where(is_first, SEPARATOR, _shift(kinds, 1))
    is_last = tf.concat([is_first[1:], [True]], 0)[: tf.size(text_of)]
    after = tf.where(is_last, SEPARATOR, _shift(kinds, -1))
    joins = ((before == LETTER) | (before == MARK)) & (after == LETTER)
    kinds = tf.where(kinds == APOSTROPHE, tf.where(joins, LETTER, SEPARATOR), kinds)
    before = tf.where(is_first, SEPARATOR, _shift(kinds, 1))
    after_single = (before == SINGLE) | (before == SINGLE_MARK)
    starts = (kinds != SEPARATOR) & (
        (before == SEPARATOR) | (kinds == SINGLE) | ((kinds == LETTER) & after_single)
    )
    word_of = tf.cumsum(tf.cast(starts, tf.int64)) - 1
    is_inside = kinds != SEPARATOR
    words = tf.strings.unicode_encode(
        tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(codes, is_inside),
            tf.boolean_mask(word_of, is_inside),
            nrows=tf.reduce_sum(tf.cast(starts, tf.int64)),
            validate=False,
        ),
        "UTF-8",
    )
    return tf.RaggedTensor.from_value_rowids(
        words,
        tf.boolean_mask(text_of, starts),
        nrows=tf.size(texts, out_type=tf.int64),
        validate=False,
    )


def _replace(codes: "tf.Tensor", text_of: "tf.Tensor") -> tuple:
    """The replacements of all characters, and the text of each."""
    import tensorflow as tf

    table = unicode_table.load()
    rows = np.zeros(unicode_table.NUM_CODES, np.int32)
    rows[table.codes] = np.arange(1, len(table.codes) + 1)
    row = _Pages.of(rows).look_up(codes)
    # Row 0 stands for characters that stay as they are.
    starts = tf.constant(np.concatenate([[0], table.splits[:-1]]), tf.int32)
    lengths = tf.constant(np.concatenate([[1], np.diff(table.splits)]), tf.int32)
    length = tf.gather(lengths, row)
    source = tf.repeat(tf.range(tf.size(codes)), length)
    within = tf.range(tf.size(source)) - tf.gather(
        tf.cumsum(length, exclusive=True), source
    )
    row = tf.gather(row, source)
    place = tf.where(row > 0, tf.gather(starts, row) + within, 0)
    replaced = tf.gather(tf.constant(table.values, tf.int32), place)
    codes = tf.where(row > 0, replaced, tf.gather(codes, source))
    return codes, tf.gather(text_of, source)


def _canonical_order(codes: "tf.Tensor", text_of: "tf.Tensor") -> "tf.Tensor":
    """Places of the characters so that the marks of a letter are sorted by class."""
    import tensorflow as tf

    combining = _Pages.of(unicode_table.load().combining).look_up(codes)
    size = tf.size(codes, out_type=tf.int64)
    # A run of marks lies between two characters that are none, in one text.
    run = tf.cumsum(tf.cast(combining == 0, tf.int64)) + text_of
    key = (run * 256 + tf.cast(combining, tf.int64)) * size + tf.range(size)
    return tf.argsort(key)


def _shift(values: "tf.Tensor", by: int) -> "tf.Tensor":
    import tensorflow as tf

    return tf.roll(values, by, axis=0)


@dataclasses.dataclass(frozen=True)
class _Pages:
    """A table over all characters, stored as its distinct pages of 256."""

    page_of: np.ndarray  # (NUM_CODES / 256,)
    pages: np.ndarray  # [pages * 256]

    @classmethod
    def of(cls, table: np.ndarray) -> "_Pages":
        pages, page_of = np.unique(
            table.astype(np.int32).reshape(-1, 256), axis=0, return_inverse=True
        )
        return cls(page_of.ravel().astype(np.int32), pages.ravel())

    def look_up(self, codes: "tf.Tensor") -> "tf.Tensor":
        import tensorflow as tf

        page = tf.gather(tf.constant(self.page_of), codes // 256)
        return tf.gather(tf.constant(self.pages), page * 256 + codes % 256)


def _ids_graph(texts: "tf.Tensor") -> "tf.RaggedTensor":
    import tensorflow as tf

    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    spaced = tf.strings.regex_replace(texts, f"[{_ID_SEPARATORS}]+", " ")
    ids = tf.strings.split(tf.strings.strip(spaced), " ")
    ids = ids.with_values(tf.strings.regex_replace(ids.values, _NUMBER, "\\1"))
    return tf.ragged.boolean_mask(ids, ids != "")


TOKENIZERS = {
    tokenizer.name: tokenizer
    for tokenizer in (
        Tokenizer("words", _words, _words_graph),
        Tokenizer("ids", _ids, _ids_graph),
    )
}
