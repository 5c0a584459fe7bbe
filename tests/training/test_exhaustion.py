import pytest
import tensorflow as tf

from sar_tf.files import WriteError
from sar_tf.training.files import OutOfMemoryError, exhaustion_named


def test_tensorflow_finds_the_disk_full(tmp_path):
    # Every write to this device fails as on a full disk.
    with pytest.raises(WriteError) as raised, exhaustion_named(tmp_path):
        tf.io.write_file("/dev/full", "x" * 100_000)
    expected = f"{tmp_path} cannot be written: No space left on device; "
    assert str(raised.value).startswith(expected)


def test_a_tensor_that_fits_no_memory(tmp_path):
    with pytest.raises(OutOfMemoryError) as raised, exhaustion_named(tmp_path):
        tf.random.uniform([1 << 46])
    text = str(raised.value)
    assert text.startswith("not enough memory (")
    assert "lower batch_size" in text
    assert "\n" not in text
