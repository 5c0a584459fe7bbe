"""The character table of the tokenizer "words": one file, the same for every Python.

`python -m sar_tf.data.unicode_table` makes the file from Python's `unicodedata`. It is
kept with the code, because each Python knows another version of Unicode and a dataset's
words must not depend on it.
"""

import functools
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np

PATH = Path(__file__).with_name("unicode_table.npz")
NUM_CODES = 0x110000

# Classes of characters.
SEPARATOR, LETTER, SINGLE, MARK, SINGLE_MARK, APOSTROPHE = range(6)

# Scripts that do not separate words by spaces: each of their letters is a word.
_SINGLE_SCRIPTS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),  # Han iteration mark and zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),  # Han
    (0xA9E0, 0xA9FF),  # Myanmar extensions
    (0xAA60, 0xAA7F),  # Myanmar extensions
    (0xF900, 0xFAFF),  # Han compatibility
    (0x1AFF0, 0x1B16F),  # Kana supplements
    (0x20000, 0x3FFFF),  # Han
)
_PROLONGED_SOUND = 0x30FC  # Belongs to the Katakana before it.
# Characters without a glyph of their own, beside those of category Cf.
_IGNORABLE = {0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0, 0x180B, 0x180C, 0x180D, 0x180F}
_VARIATION_SELECTORS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
_APOSTROPHES = ("'", "\u2019")


class UnicodeTable(NamedTuple):
    """What the tokenizer knows of each character.

    Characters are given by their code points. A character that is not in `codes` is
    its own replacement.
    """

    version: str  # Of Unicode.
    codes: np.ndarray  # (M,) characters that are replaced, sorted.
    values: np.ndarray  # Their replacements, laid end to end.
    splits: np.ndarray  # (M + 1,) row splits of the replacements.
    classes: np.ndarray  # (NUM_CODES,) class of each character.
    combining: np.ndarray  # (NUM_CODES,) canonical combining class, 0 for most.


@functools.cache
def load() -> UnicodeTable:
    """The table of the file."""
    with np.load(PATH) as arrays:
        return UnicodeTable(
            str(arrays["version"]),
            arrays["codes"],
            arrays["values"],
            arrays["splits"],
            np.repeat(arrays["class_values"], arrays["class_lengths"]),
            np.repeat(arrays["combining_values"], arrays["combining_lengths"]),
        )


def make(every: int = 1) -> UnicodeTable:
    """The table by the `unicodedata` of the running Python.

    Args:
        every: Takes every so many-th character only, for a quick check.
    """
    taken = range(0, NUM_CODES, every)
    codes, replacements = [], []
    for code in taken:
        replacement = _replacement(code)
        if replacement != chr(code):
            codes.append(code)
            replacements.append([ord(character) for character in replacement])
    return UnicodeTable(
        unicodedata.unidata_version,
        np.array(codes, np.int32),
        np.array([code for row in replacements for code in row], np.int32),
        np.cumsum([0, *map(len, replacements)]).astype(np.int32),
        np.array([_class(code) for code in taken], np.uint8),
        np.array([unicodedata.combining(chr(code)) for code in taken], np.uint8),
    )


def save(table: UnicodeTable, path: Path = PATH) -> None:
    """Writes the file."""
    arrays = {name: getattr(table, name) for name in ("codes", "values", "splits")}
    for name, column in (("class", table.classes), ("combining", table.combining)):
        starts = np.flatnonzero(np.diff(column, prepend=-1 - int(column[0])))
        arrays[f"{name}_values"] = column[starts]
        arrays[f"{name}_lengths"] = np.diff(starts, append=NUM_CODES).astype(np.int32)
    np.savez_compressed(path, version=np.array(table.version), **arrays)


def _replacement(code: int) -> str:
    """Compatibility decomposition of the case-folded character."""
    character = chr(code)
    if character in _APOSTROPHES:
        return "'"
    if _is_ignorable(code):
        return ""
    folded = unicodedata.normalize("NFD", character)
    while True:
        once = unicodedata.normalize("NFKD", folded.casefold())
        if once == folded:
            break
        folded = once
    if folded.startswith(" "):  # A spacing accent is no letter.
        return " "
    return "".join(c for c in folded if not _is_ignorable(ord(c)))


def _class(code: int) -> int:
    character = chr(code)
    kind = unicodedata.category(character)[0]
    if character == "'":
        return APOSTROPHE
    is_single = _within(code, _SINGLE_SCRIPTS)
    if kind == "M":
        return SINGLE_MARK if is_single else MARK
    if code == _PROLONGED_SOUND:
        return SINGLE_MARK
    if kind == "L" and is_single:
        return SINGLE
    return LETTER if kind in "LN" else SEPARATOR


def _is_ignorable(code: int) -> bool:
    is_format = unicodedata.category(chr(code)) == "Cf"
    return is_format or code in _IGNORABLE or _within(code, _VARIATION_SELECTORS)


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)


if __name__ == "__main__":
    save(make())
