import numpy as np
import pytest
from support import builders

from pipelines.common.disk import save_array, save_arrays, writing
from pipelines.common.rejects import Rejects
from pipelines.common.vocabulary import Vocabulary
from sar_tf.files import WriteError

ROWS = np.arange(100_000)


def write_records(path):
    from pipelines.common.writer import write_shard

    write_shard(
        path, [builders.make_record(1, [builders.rec(1, 5)])] * 5000, num_items=200
    )


def reject(path):
    rejects = Rejects(path)
    for _ in range(3):
        rejects.add("a.csv", 1, "bad time", "x")
    rejects.close()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.npy", lambda path: save_array(path, ROWS)),
        ("rows.npz", lambda path: save_arrays(path, rows=ROWS)),
        ("rows.npz", lambda path: save_arrays(path, rows=ROWS[:3])),
        ("item.txt", lambda path: Vocabulary(ROWS).save(path)),
        ("users.tfrecord", write_records),
        ("rejects.csv", reject),
    ],
)
def test_full_disk_is_one_line_that_names_the_file(name, write, tmp_path):
    path = tmp_path / name
    path.symlink_to("/dev/full")
    with pytest.raises(WriteError) as error:
        write(path)
    message = str(error.value)
    assert message.startswith(f"{path} cannot be written: ")
    assert "No space left on device" in message or "(full disk?)" in message
    assert "free some disk space" in message and "\n" not in message


def test_folder_that_is_not_there(tmp_path):
    path = tmp_path / "gone" / "rows.npy"
    with pytest.raises(WriteError, match=r"gone/rows.npy cannot be written: No such"):
        save_array(path, ROWS)


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), writing("x"):
        raise ZeroDivisionError
