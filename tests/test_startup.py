"""What programs do before they import TensorFlow."""

import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource
import numpy as np
from sar_tf.startup import keep_freed_memory
if {keep}:
    keep_freed_memory()
for index in range(30):
    if index == 10:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(8 << 20, np.int8)
    np.ones(48 << 20, np.int8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_arrays_are_used_again_without_the_system():
    faults = {
        keep: int(
            subprocess.run(
                [sys.executable, "-c", PAGE_FAULTS.format(keep=keep)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for keep in (False, True)
    }
    assert faults[True] < 0.1 * faults[False]
