import subprocess
import sys

import pytest
from support.builders import make_record, rec, search, write_dataset

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from tools.inspect_records import describe_info, describe_user

DAY = 86_400


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    behaviors = [
        rec(DAY, 2),
        search(2 * DAY, 1, [3, 1], [2, 1], source=2),
        search(2 * DAY + 61, 2),
        rec(3 * DAY, 4),
    ]
    targets = [(1, "train", 3), (1, "train", 1), (3, "test", 4)]
    records = [make_record(1, []), make_record(2, behaviors, targets)]
    dataset_dir = tmp_path_factory.mktemp("dataset")
    write_dataset(dataset_dir, records, 200, [[2, 1], []])
    return dataset_dir


def test_user(dataset_dir):
    text = describe_user(SequenceDataset.open(dataset_dir), "user-0002")
    assert text.splitlines() == [
        "user user-0002 (dense id 2): 4 behaviors, 3 targets",
        "    0  1970-01-02 00:00:00  rec     item-0002",
        '    1  1970-01-03 00:00:00  search  "word-0002 word-0001" from results, '
        "clicked item-0003 item-0001  <- search train target item-0003, history 1"
        "  <- search train target item-0001, history 1",
        '    2  1970-01-03 00:01:01  search  "" from home, clicked nothing',
        "    3  1970-01-04 00:00:00  rec     item-0004"
        "  <- rec test target item-0004, history 3",
    ]


def test_user_without_behaviors(dataset_dir):
    text = describe_user(SequenceDataset.open(dataset_dir), "user-0001")
    assert text == "user user-0001 (dense id 1): 0 behaviors, 0 targets"


def test_unknown_user(dataset_dir):
    with pytest.raises(DatasetError, match="has no user 'nobody'"):
        describe_user(SequenceDataset.open(dataset_dir), "nobody")


def test_info(dataset_dir):
    lines = describe_info(SequenceDataset.open(dataset_dir).info).splitlines()
    assert "users              2" in lines
    assert "rec targets        0 train, 0 validation, 1 test" in lines
    assert "item features      caption (words, 2)" in lines


def test_command_line_error_is_one_line(repository, tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            "tools/inspect_records.py",
            f"--dataset_dir={tmp_path / 'nowhere'}",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("inspect_records.py: ") and "nowhere: no such folder" in line
