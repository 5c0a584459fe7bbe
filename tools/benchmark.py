"""Measures one part of the project and prints the result as one line of JSON.

python tools/benchmark.py --case=input
python tools/benchmark.py --case=input --dataset_dir=data/beauty
"""

import importlib.metadata
import json
import os
import platform
import sys

from absl import app, flags

from sar_tf.startup import import_tensorflow

CASES = ("input",)


def main(argv):
    from tools import benchmark_input

    if len(argv) > 1:
        sys.exit(f"benchmark.py: unexpected argument {argv[1]!r}; see --help")
    measure = {"input": benchmark_input.measure}[flags.FLAGS.case]
    result = measure(flags.FLAGS.dataset_dir, flags.FLAGS.seconds)
    print(json.dumps({"case": flags.FLAGS.case, **result, **describe_machine()}))


def describe_machine() -> dict:
    """What a measurement depends on besides the code."""
    packages = ("sar-tf", "tensorflow", "keras", "numpy")
    return {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


if __name__ == "__main__":
    import_tensorflow()  # Before anything else imports it, with all its chatter.
    flags.DEFINE_enum("case", None, CASES, "what to measure")
    flags.DEFINE_string("dataset_dir", None, "a dataset; default: a random one")
    flags.DEFINE_float("seconds", 20.0, "how long to measure, after warming up")
    flags.mark_flag_as_required("case")
    app.run(main)
