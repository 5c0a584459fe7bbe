import random

import numpy as np
import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed ([beam])")

import apache_beam as beam

from pipelines.common.beam_files import Save, load_rows
from pipelines.common.beam_ids import RankIds, VocabularyFiles
from pipelines.common.vocabulary import Vocabulary


@pytest.mark.parametrize("num_ranges", [1, 2, 7, 50])
@pytest.mark.parametrize("num_ids", [0, 1, 90])
def test_dense_ids_are_those_of_a_vocabulary(num_ids, num_ranges, tmp_path):
    raw_ids = [f"{index * 37}é" for index in range(num_ids)]
    random.Random(1).shuffle(raw_ids)
    parts = [
        (part, np.array(sorted(raw_ids[part::4]), object))
        for part in range(4)
        if raw_ids[part::4]
    ]
    with beam.Pipeline() as pipeline:
        ranked = pipeline | beam.Create(parts) | RankIds(tmp_path, "users", num_ranges)
        _ = ranked | beam.Map(lambda pair: (0, pair)) | Save(tmp_path, "ranked")

    expected = Vocabulary.build(raw_ids)
    found = dict(load_rows(tmp_path, "ranked"))
    assert found.keys() == {part for part, _ in parts}
    for part, ids in parts:
        np.testing.assert_array_equal(found[part], expected.encode(ids))
    files = VocabularyFiles(tmp_path, "users")
    assert len(files) == num_ids
    files.save(tmp_path / "found.txt")
    expected.save(tmp_path / "expected.txt")
    found, text = ((tmp_path / f"{n}.txt").read_text() for n in ("found", "expected"))
    assert found == text


def test_a_step_that_runs_twice_leaves_one_file(tmp_path):
    for _ in range(2):
        with beam.Pipeline() as pipeline:
            rows = pipeline | beam.Create([(3, "a"), (3, "b"), (5, "c")])
            _ = rows | Save(tmp_path, "rows")
    assert sorted(load_rows(tmp_path, "rows")) == ["a", "b", "c"]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["rows-00003.rows", "rows-00005.rows"]
