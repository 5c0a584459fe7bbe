import numpy as np
import pytest

from pipelines.common.job import UserError
from pipelines.kuaisar.reader import Rows, open_table

COLUMNS = ("id", "words", "time", "category")


def read(tmp_path, *lines, end="\r\n"):
    path = tmp_path / "table.csv"
    path.write_bytes(end.join(("id,words,time,category", *lines)).encode())
    (piece,) = open_table(path, COLUMNS)
    return Rows(piece, COLUMNS)


def reasons(rows):
    return [(bad.line, bad.reason) for bad in rows.bad_rows()]


def test_values_in_every_notation(tmp_path):
    rows = read(
        tmp_path,
        '1,"[1, 02,0, 3]",5.9,7',
        "",
        "2.0,[],6,empty",
        '"3","[ 4 ]",7, ',
        "4,[4],8,0",
    )
    assert rows.integers("id").tolist() == [1, 2, 3, 4]
    codes, texts = rows.word_lists("words", cut=2)
    assert [texts[code] for code in codes] == ["1 2", "", "4", "4"]
    assert rows.times("time").tolist() == [5, 6, 7, 8]
    assert rows.features("category").tolist() == [7, 0, 0, 0]
    assert rows.good.all()
    assert rows.line.tolist() == [0, 2, 3, 4]
    assert (rows.num_lines, rows.num_rows) == (5, 4)


def test_a_line_with_a_bad_quote_does_not_swallow_others(tmp_path):
    rows = read(
        tmp_path, '1,"[1],5,6', "2,[1],5,6", '3,[1]"5",5,6', '4,"[1]"x,5,6', "5,[1],5,6"
    )
    assert reasons(rows) == [(line, "unclosed quote") for line in (0, 2, 3)]
    assert rows.integers("id").tolist() == [2, 5]


@pytest.mark.parametrize("line", ["1,[],5", "1,[],5,6,7", "1,[1, 2],5,6", "1"])
def test_wrong_number_of_fields(line, tmp_path):
    rows = read(tmp_path, line)
    assert reasons(rows) == [(0, "wrong number of fields")]
    assert len(rows.integers("id")) == 0
    assert len(rows.times("time")) == 0


@pytest.mark.parametrize(
    "value",
    ["", "x", "-1", "1.5", "nan", "inf", "1e30", "1e5", "9" * 19, "0x1", "True"],
)
def test_bad_numbers(value, tmp_path):
    rows = read(tmp_path, f"{value},[],1,1", "2,[],1,1")
    assert rows.integers("id")[1] == 2
    assert reasons(rows) == [(0, "bad number in id")]
    assert rows.good.tolist() == [False, True]


@pytest.mark.parametrize(
    "value", ["[1", "1]", "", "[a]", "[-1]", "[1.5]", "[1,]", "[1 2]", "[[1]]", "(1,)"]
)
def test_bad_lists(value, tmp_path):
    rows = read(tmp_path, f'1,"{value}",1,1')
    rows.word_lists("words", cut=50)
    assert reasons(rows) == [(0, "bad list in words")]


def test_each_row_is_rejected_once(tmp_path):
    rows = read(tmp_path, "x,[,-5,y", "1,[],-5,1", "2,[],soon,1", "3,[],1,y")
    rows.integers("id")
    rows.word_lists("words", cut=50)
    rows.times("time")
    rows.features("category")
    assert reasons(rows) == [
        (0, "bad number in id"),
        (1, "negative time in time"),
        (2, "bad number in time"),
        (3, "bad number in category"),
    ]
    assert rows.bad_rows()[2].text == "2,[],soon,1"


def test_columns_that_nobody_reads_may_have_equal_names(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbfx,id,,x,time,\r\n1,2,3,4,5,6\r\n")
    (piece,) = open_table(path, ("time", "id"))
    rows = Rows(piece, ("time", "id"))
    assert (rows.integers("id").tolist(), rows.times("time").tolist()) == ([2], [5])


def test_missing_and_repeated_columns_are_one_error(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b,b\n1,2,3\n")
    with pytest.raises(
        UserError,
        match=r"has no columns 'x', 'y' and repeats the column 'b'; .* a,b,b$",
    ):
        open_table(path, ("x", "a", "b", "y"))


def test_byte_order_mark_in_front_of_a_value(tmp_path):
    rows = read(tmp_path, "\ufeff1,[],5,6", "x", "\ufeff2,[],5,6", "3,[],5,6")
    assert rows.integers("id").tolist() == [3]
    assert reasons(rows) == [
        (0, "byte order mark"),
        (1, "wrong number of fields"),
        (2, "byte order mark"),
    ]
    assert rows.num_rows == 4


def test_pieces_hold_each_line_once(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("id,x\n" + "".join(f"{i},{'y' * (i % 7)}\n" for i in range(100)))
    for size in (1, 10, 64, 10_000):
        monkeypatch.setattr("pipelines.common.lines.PIECE_BYTES", size)
        pieces = open_table(path, ("id",))
        ids = [Rows(piece, ("id",)).integers("id") for piece in pieces]
        assert np.concatenate(ids).tolist() == list(range(100))


@pytest.mark.parametrize("other", ["2.0", "x", "", "9" * 25])
def test_ids_are_never_rounded(other, tmp_path):
    ids = [2**53 + 1, 2**53 + 3, 10**18 - 1]
    rows = read(tmp_path, f"{other},[],1,1", *(f"{raw},[],1,1" for raw in ids))
    assert rows.integers("id")[1:].tolist() == ids
