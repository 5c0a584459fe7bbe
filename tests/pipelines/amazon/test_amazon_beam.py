import gzip
import os

import pytest
from handmade_amazon import (
    REVIEWS,
    START,
    append,
    build,
    fails,
    layout_2014,
    layout_2018,
)
from support.records import records_by_user

from sar_tf.data.dataset_info import DatasetInfo

pytest.importorskip("apache_beam", reason="Apache Beam is not installed ([beam])")

from pipelines.amazon.ranges import read_range

DIRECT = ("--engine=beam", "--runner=DirectRunner")
# More users and items than in the other tests, so that there are several ranges.
MANY = [
    *REVIEWS,
    *(
        (f"w{user}", f"j{item:03d}", user + item)
        for user in range(90)
        for item in (7, 9)
    ),
]


@pytest.fixture
def small(monkeypatch):
    """Pieces of a few lines, parts of a few users, ranges of a few raw ids."""
    monkeypatch.setattr("pipelines.amazon.reader.PIECE_BYTES", 300)
    monkeypatch.setattr("pipelines.common.beam_ids.SAMPLE_EVERY", 1)
    monkeypatch.setattr("pipelines.common.beam_counts.RANGE", 10)


@pytest.mark.parametrize("layout", [layout_2014, layout_2018])  # gzip, and plain.
def test_the_direct_runner_gives_the_same_dataset(layout, tmp_path, small, monkeypatch):
    # The size of a gzip file is estimated from its first piece.
    part_bytes = 60 if layout is layout_2014 else 2000
    monkeypatch.setattr("pipelines.amazon.beam.PART_BYTES", part_bytes)
    if layout is layout_2014:  # Bad rows in several pieces, two of them late.
        files = layout(tmp_path, MANY)
        user, item, time = REVIEWS[0]
        again = f'"reviewerID": "{user}", "asin": "{item}", "unixReviewTime": '
        far = f'"reviewerID": "{user}", "asin": "{item}", "unixReviewTime": 700000000'
        append(files[0], [f"{{{again}{START + time}}}", "{", f"{{{far}}}"])
        append(files[1], ["{'asin': 'i1', 'categories': [['A', 'B']]}", "[]"])
    else:
        files = layout(tmp_path)
    local = build(files, tmp_path / "local", seed=5, max_bad_fraction=0.5)
    beam = build(files, tmp_path / "beam", seed=5, max_bad_fraction=0.5, engine=DIRECT)

    one, other = DatasetInfo.load(local), DatasetInfo.load(beam)
    assert len(other.shards) > 4
    assert records_by_user(beam) == records_by_user(local)
    assert other.tables == one.tables
    assert other.targets == one.targets and other.counts == one.counts
    assert other.max_query_words == one.max_query_words
    assert sorted(os.listdir(beam)) == sorted(
        [*(shard["file"] for shard in other.shards)]
        + [name for name in os.listdir(local) if not name.startswith("users-")]
    )
    if layout is layout_2014:
        lists = [(path / "rejects.csv").read_text() for path in (local, beam)]
        assert len(lists[0].splitlines()) == 6
        assert sorted(lists[0].splitlines()) == sorted(lists[1].splitlines())


def test_a_failed_pipeline_is_one_line_and_leaves_nothing(tmp_path, small, monkeypatch):
    files = layout_2018(tmp_path)
    text = files[0].read_bytes()
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(gzip.compress(text, compresslevel=0)[:-2000])
    message = fails((cut, files[1]), tmp_path / "out", engine=DIRECT)
    assert message.endswith("download it again")
    assert "cut.json.gz is cut short or damaged after line" in message

    message = fails((files[1], files[1]), tmp_path / "out", engine=DIRECT)
    assert "meta.json.gz: its rows have no key" in message
    message = fails(files, tmp_path / "out", engine=(*DIRECT, "--runer=Flink"))
    assert "neither the job nor Apache Beam has the flag --runer=Flink" in message

    append(files[1], ["["])
    message = fails(files, tmp_path / "out", engine=DIRECT)
    assert "meta.json.gz: 1 of 6 rows are malformed (not an object: 1)" in message

    def full(path, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.common.beam_records.write_shard", full)
    message = fails(files, tmp_path / "out", engine=DIRECT, max_bad_fraction=0.5)
    assert "users-000" in message and "No space left on device" in message


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
@pytest.mark.parametrize("step", [1, 3, 4, 7, 100])
def test_ranges_have_each_line_once(step, end, tmp_path):
    path = tmp_path / "lines.json"
    text = "\ufeff" + "\n".join(["a", "bb", "", "ccccccccc", "d"]) + end
    path.write_text(text, encoding="utf-8")
    size = path.stat().st_size
    pieces = [read_range(path, at, at + step) for at in range(0, size, step)]
    assert b"".join(piece.text for piece in pieces).decode() == text[1:]
    lines = text[1:].split("\n")
    assert sum(piece.num_lines for piece in pieces) == len(lines) - (lines[-1] == "")
    assert all(piece.text[-1:] in (b"", b"\n") for piece in pieces[:-1] if end)
