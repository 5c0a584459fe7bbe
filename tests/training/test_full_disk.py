import pytest
import tensorflow as tf

from sar_tf.files import WriteError
from sar_tf.training.files import full_disk_named


def test_tensorflow_finds_the_disk_full(tmp_path):
    # Every write to this device fails as on a full disk.
    with pytest.raises(WriteError) as raised, full_disk_named(tmp_path):
        tf.io.write_file("/dev/full", "x" * 100_000)
    expected = f"{tmp_path} cannot be written: No space left on device; "
    assert str(raised.value).startswith(expected)


def test_other_exhaustion_is_left_alone(tmp_path):
    with (
        pytest.raises(tf.errors.ResourceExhaustedError, match="OOM"),
        full_disk_named(tmp_path),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
