import csv

import pytest

from pipelines.common.job import UserError
from pipelines.common.rejects import Rejects


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_no_file_without_a_rejected_row(tmp_path):
    rejects = Rejects(tmp_path / "rejects.csv")
    rejects.add_rows("a.csv", [], "bad time", [])
    rejects.check("a.csv", 10, 0.0)
    rejects.close()

    assert not (tmp_path / "rejects.csv").exists()


def test_rows_are_listed_with_their_text_cut(tmp_path):
    rejects = Rejects(tmp_path / "rejects.csv")
    rejects.add("a.csv", 7, "bad time", 'x,"y"\n')
    rejects.add_rows("b.csv", [2, 3], "no item", ["z" * 500, "\ud800"])
    rejects.add("b.csv", 4, "no item", "a\rb")
    rejects.close()

    assert rows_of(tmp_path / "rejects.csv") == [
        ["source", "line", "reason", "text"],
        ["a.csv", "7", "bad time", 'x,"y"\n'],
        ["b.csv", "2", "no item", "z" * 200],
        ["b.csv", "3", "no item", "\\ud800"],
        ["b.csv", "4", "no item", "a\rb"],
    ]
    assert rejects.counts == {"a.csv": {"bad time": 1}, "b.csv": {"no item": 3}}


def test_each_file_is_held_to_the_limit_by_itself(tmp_path):
    rejects = Rejects(tmp_path / "rejects.csv")
    rejects.add_rows("a.csv", [1, 2], "bad time", ["x", "y"])
    rejects.add("a.csv", 3, "no item", "z")

    rejects.check("a.csv", 300, 0.01)  # Exactly the limit.
    rejects.check("b.csv", 0, 0.01)
    rejects.check("b.csv", 1, 0.01)
    with pytest.raises(UserError) as error:
        rejects.check("a.csv", 299, 0.01)
    message = str(error.value)
    assert "a.csv: 3 of 299 rows are malformed (bad time: 2, no item: 1)" in message
    assert "--max_bad_fraction=0.01" in message
    assert str(tmp_path / "rejects.csv") in message


def test_no_limit_allows_a_file_of_malformed_rows_alone(tmp_path):
    rejects = Rejects(tmp_path / "rejects.csv")
    rejects.add_rows("a.csv", [1, 2], "bad time", ["x", "y"])
    with pytest.raises(
        UserError, match=r"2 of 2 .*\(bad time: 2\).*no well-formed row"
    ):
        rejects.check("a.csv", 2, 1.0)


def test_list_is_kept_beside_the_output_of_a_failed_job(tmp_path):
    staging, output_dir = tmp_path / ".partial-out", tmp_path / "out"
    staging.mkdir()
    rejects = Rejects.of_output(staging, output_dir)
    rejects.add("a.csv", 1, "bad time", "x")

    with pytest.raises(UserError, match=r"out\.rejects\.csv"):
        rejects.check("a.csv", 1, 0.5)

    kept = tmp_path / "out.rejects.csv"
    assert rows_of(kept)[1:] == [["a.csv", "1", "bad time", "x"]]
    Rejects.of_output(staging, output_dir)
    assert not kept.exists()  # It was of the earlier try.
