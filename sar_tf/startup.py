"""Imports TensorFlow without its start-up chatter."""

import contextlib
import os
import sys
import tempfile


def import_tensorflow():
    """Imports TensorFlow and looks for devices; a program's first import of it.

    The native libraries write notes on missing CUDA drivers and CPU features straight
    to the process's standard error while they load, before any log level applies. So
    that stream goes to a file meanwhile; should the import fail, it is shown after all.
    Set TF_CPP_MIN_LOG_LEVEL=0 to see everything.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") in ("0", "1"):
        import tensorflow  # noqa: F401

        return
    with _stderr_to_file():
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def _stderr_to_file():
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(terminal, captured.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
