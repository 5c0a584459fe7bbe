"""What a program does before its first import of TensorFlow."""

import contextlib
import ctypes
import os
import sys
import tempfile

# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


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


def keep_freed_memory():
    """Large arrays that are freed stay with the process, for the next ones.

    By default the C library of Linux gives an array of some megabytes back to the
    system at once. The next one is new memory, which the system clears page by page:
    some 10% of a training step. For programs that train or score; a job that goes
    through a log once would only hold more memory. Other C libraries stay as they are.
    """
    mallopt = (
        getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    )
    if mallopt is None:
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def use_small_kernels():
    """Turns oneDNN off, before the first import of TensorFlow, for single requests.

    oneDNN's products, transpositions and softmax are fast for large arrays, and take
    several microseconds more than TensorFlow's own for those of one user's request. A
    value of TF_ENABLE_ONEDNN_OPTS in the environment is left as it is. Where TensorFlow
    is imported already, nothing is changed: it has read the variable.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def use_threads(number):
    """Sets how many threads share an operation, before TensorFlow's first one.

    A request of one user is over a thousand operations of a few microseconds. To share
    one of them with a second thread takes longer than to compute it: with TensorFlow's
    own number a request costs twice to three times the processor time of one thread.

    Args:
        number: Number of threads; 0 leaves TensorFlow's own, one a core.
    """
    import tensorflow as tf

    if number:
        tf.config.threading.set_intra_op_parallelism_threads(number)
        tf.config.threading.set_inter_op_parallelism_threads(number)


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
