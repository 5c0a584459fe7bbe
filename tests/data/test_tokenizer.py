"""The tokenizers: words by hand, and Python against TensorFlow's graph."""

import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from sar_tf.data import unicode_table
from sar_tf.data.tokenizer import TOKENIZERS, get_tokenizer

NUM_TEXTS = 10_000

# First and last character of what random texts are made of.
_BLOCKS = (
    *((0x20, 0x7E), (0x00, 0x1F), (0x7F, 0xFF), (0x100, 0x24F), (0x300, 0x36F)),
    *((0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F)),
    *((0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F)),
    *((0x1100, 0x11FF), (0x1780, 0x17FF), (0x1E00, 0x1FFF), (0x2000, 0x206F)),
    *((0x2100, 0x214F), (0x3000, 0x30FF), (0x4E00, 0x4EFF), (0xAC00, 0xACFF)),
    *((0xFB00, 0xFDFF), (0xFE00, 0xFEFF), (0xFF00, 0xFFEF), (0x1F300, 0x1F6FF)),
    *((0x1D400, 0x1D7FF), (0x20000, 0x200FF), (0xE0100, 0xE01EF), (0x0, 0x10FFFF)),
    *((0x30, 0x39), (0x61, 0x7A), (0x27, 0x27), (0x2C, 0x2C)),
)


def _random_texts() -> list[bytes]:
    """UTF-8 texts of all scripts, then bytes that are often no UTF-8."""
    generator = np.random.default_rng(7)
    texts = [b"", b" ", "\u0301".encode(), b"'", b"0", b"\xff"]
    while len(texts) < NUM_TEXTS * 4 // 5:
        blocks = generator.choice(len(_BLOCKS), size=generator.integers(1, 4))
        characters = []
        for _ in range(generator.integers(1, 16)):
            first, last = _BLOCKS[generator.choice(blocks)]
            code = int(generator.integers(first, last + 1))
            if not 0xD800 <= code <= 0xDFFF:
                characters.append(chr(code))
        texts.append("".join(characters).encode())
    while len(texts) < NUM_TEXTS:
        text = bytearray(texts[generator.integers(len(texts))])
        for _ in range(3):
            place = int(generator.integers(len(text) + 1))
            text[place:place] = generator.bytes(1)
        del text[: int(generator.integers(2))]
        texts.append(bytes(text))
    return texts


@pytest.mark.parametrize("name", TOKENIZERS)
def test_python_and_graph_agree_on_any_text(name):
    tokenizer = get_tokenizer(name)
    texts = _random_texts()
    graph = tf.function(
        tokenizer.graph, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    found = graph(tf.constant(texts)).to_list()
    assert len(found) == NUM_TEXTS
    num_words = 0
    for text, words in zip(texts, found, strict=True):
        expected = tokenizer.words(text.decode("utf-8", "replace"))
        assert [word.decode() for word in words] == expected, text
        num_words += len(words)
    assert num_words > NUM_TEXTS
    assert graph(tf.constant([], tf.string)).to_list() == []


@pytest.mark.parametrize(
    "text, words",
    [
        ("", []),
        ("Red SHOES, size 42", ["red", "shoes", "size", "42"]),
        ("women's 'quoted' l\u2019eau", ["women's", "quoted", "l'eau"]),
        ("Straße", ["strasse"]),
        ("ΣΟΦΟΣ σοφος", ["σοφοσ", "σοφοσ"]),
        ("\uff46\uff55\uff4c\uff4c ﬁt ①", ["full", "fit", "1"]),
        ("snake_case semi-colon", ["snake", "case", "semi", "colon"]),
        ("红色 shoes42鞋", ["红", "色", "shoes42", "鞋"]),
        ("コーヒーを", ["コー", "ヒー", "を"]),
        ("한국어 책", [unicodedata.normalize("NFD", w) for w in ("한국어", "책")]),
        ("กำไร", ["ก\u0e4d", "า", "ไ", "ร"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zerowidth"]),
        ("👟 run 👟", ["run"]),
        ("a\x00b\tc\ud800d", ["a", "b", "c", "d"]),
    ],
)
def test_words(text, words):
    assert get_tokenizer("words").words(text) == words


def test_all_ways_to_write_a_word_are_one():
    # Letter with two accents: composed, half composed, and marks in either order.
    ways = ["\u1ec7", "\u00ea\u0323", "e\u0302\u0323", "e\u0323\u0302", "\u1eb8\u0302"]
    words = get_tokenizer("words").words
    assert {tuple(words(f"vi{way}t")) for way in ways} == {("vie\u0323\u0302t",)}
    assert words("Café") == words("cafe\u0301") == ["cafe\u0301"]
    assert words("が") == words("か\u3099") == ["か\u3099"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("[20, 0, 003]", ["20", "3"]),
        ("20 3", ["20", "3"]),
        ("0 000", []),
        ("00ab;W:7|x\v\ty", ["00ab", "W:7", "x", "y"]),
        ('{"a": (b)}', ["a", ":", "b"]),
    ],
)
def test_ids(text, words):
    assert get_tokenizer("ids").words(text) == words


def test_unknown_name():
    with pytest.raises(ValueError, match="no tokenizer 'bpe'; there are words, ids"):
        get_tokenizer("bpe")


def test_replacements_are_those_of_unicode():
    """Where the running Python knows the file's version of Unicode or a later one."""
    table = unicode_table.load()
    if tuple(map(int, unicodedata.unidata_version.split("."))) < tuple(
        map(int, table.version.split("."))
    ):
        pytest.skip(f"this Python knows Unicode {unicodedata.unidata_version} only")
    words = get_tokenizer("words").words
    for text in ("Ǆ", "ΐ", "ŉ", "ﷺ", "㎏", "각", "ﾊﾟ", "İ", "ẞ", "K"):
        folded = unicodedata.normalize("NFKD", text).casefold()
        expected = unicodedata.normalize("NFKD", folded)
        assert "".join(words(text)) == expected.replace(" ", "")
    if unicodedata.unidata_version == table.version:
        every = 29  # All characters take seconds.
        made = unicode_table.make(every)
        taken = np.arange(0, unicode_table.NUM_CODES, every)
        np.testing.assert_array_equal(made.classes, table.classes[taken])
        np.testing.assert_array_equal(made.combining, table.combining[taken])
        rows = np.flatnonzero(table.codes % every == 0)
        np.testing.assert_array_equal(made.codes, table.codes[rows])
        np.testing.assert_array_equal(
            made.values,
            np.concatenate(
                [table.values[table.splits[r] : table.splits[r + 1]] for r in rows]
            ),
        )
