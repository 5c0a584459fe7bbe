"""Measures one part of the project and prints the result as one line of JSON.

python tools/benchmark.py --case=input
python tools/benchmark.py --case=input --dataset_dir=data/beauty
python tools/benchmark.py --case=train --model=unisar
python tools/benchmark.py --case=train --items=5000000 --embedding_optimizer=lazy_adam
python tools/benchmark.py --case=train --backend=jax
python tools/benchmark.py --case=evaluate --model=sesrec
python tools/benchmark.py --case=serve
python tools/benchmark.py --case=fit --dataset_dir=data/beauty

input reads a dataset, and fit trains on one. The others take prepared random batches
of the shapes of amazon_beauty, with the official settings: batches of 1,018 and 1,019
targets a task, 4 negatives, queries of up to 12 words.
"""

import dataclasses
import importlib.metadata
import json
import os
import platform
import sys

from absl import app, flags

from sar_tf.startup import import_tensorflow

CASES = ("input", "train", "evaluate", "serve", "fit")
FLAGS = flags.FLAGS


def main(argv):
    if len(argv) > 1:
        sys.exit(f"benchmark.py: unexpected argument {argv[1]!r}; see --help")
    if FLAGS.backend == "jax" and FLAGS.case not in ("train", "evaluate"):
        sys.exit(f"benchmark.py: --case={FLAGS.case} runs on TensorFlow only")
    if FLAGS.backend == "jax" and FLAGS.embedding_optimizer == "lazy_adam":
        sys.exit("benchmark.py: --embedding_optimizer=lazy_adam needs TensorFlow")
    os.environ["KERAS_BACKEND"] = FLAGS.backend
    if FLAGS.backend == "tensorflow":
        import_tensorflow()  # Before anything else imports it, with all its chatter.
    measure = {"input": _measure_input, "fit": _measure_fit}
    result = measure.get(FLAGS.case, _measure_model)()
    print(json.dumps({"case": FLAGS.case, **result, **describe_machine()}))


def _measure_input():
    from tools import benchmark_input

    return benchmark_input.measure(FLAGS.dataset_dir, FLAGS.seconds, FLAGS.users)


def _measure_fit():
    from tools import benchmark_fit

    return benchmark_fit.measure(
        FLAGS.dataset_dir,
        FLAGS.users,
        FLAGS.model,
        steps=FLAGS.steps,
        batch_size=FLAGS.batch_size,
        num_groups=FLAGS.history_groups,
    )


def _measure_model():
    from sar_tf import models
    from tools import benchmark_model
    from tools.random_batches import BEAUTY, RandomBatches

    try:
        tasks = models.get(FLAGS.model).tasks
    except ValueError as error:
        sys.exit(f"benchmark.py: --model: {error}")
    # What a signature takes, and static shapes, which XLA wants, need one group.
    is_static = FLAGS.case == "serve" or FLAGS.backend == "jax"
    batches = RandomBatches(
        tasks,
        num_groups=1 if is_static else FLAGS.history_groups,
        spec=dataclasses.replace(BEAUTY, num_items=FLAGS.items),
    )
    if FLAGS.case == "serve":
        from tools import benchmark_serve

        return benchmark_serve.measure(FLAGS.model, batches, seconds=FLAGS.seconds)
    if FLAGS.case == "evaluate":
        return benchmark_model.measure_evaluation(
            FLAGS.model,
            batches,
            sizes=benchmark_model.EVALUATION_SIZES,
            seconds=FLAGS.seconds,
        )
    return benchmark_model.measure_training(
        FLAGS.model,
        batches,
        # Equal sizes on JAX, which would compile for each.
        sizes=benchmark_model.TRAINING_SIZES[: 1 if is_static else None],
        seconds=FLAGS.seconds,
        embedding_optimizer=FLAGS.embedding_optimizer,
    )


def describe_machine() -> dict:
    """What a measurement depends on besides the code."""
    packages = ("sar-tf", "tensorflow", "jax", "keras", "numpy")
    return {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def define_flags():
    """Defines all flags; to be called once, before they are parsed."""
    flags.DEFINE_enum("case", None, CASES, "what to measure")
    flags.DEFINE_float("seconds", 20.0, "how long to measure, after warming up")
    flags.DEFINE_string(
        "dataset_dir", None, "for input and fit: a dataset; default: a random one"
    )
    flags.DEFINE_integer("users", 5000, "of the random dataset", lower_bound=1)
    flags.DEFINE_string("model", "unisar", "which model, with its defaults")
    flags.DEFINE_enum("backend", "tensorflow", ("tensorflow", "jax"), "of Keras")
    flags.DEFINE_integer("items", 12_101, "rows of the item table", lower_bound=1)
    flags.DEFINE_integer(
        "history_groups",
        6,
        "for train, evaluate and fit: groups of like history length in a batch; on JAX "
        "and in serve 1, at full width",
        lower_bound=1,
    )
    flags.DEFINE_integer("steps", 40, "for fit: steps to time", lower_bound=1)
    flags.DEFINE_integer("batch_size", 1024, "for fit", lower_bound=1)
    flags.DEFINE_enum(
        "embedding_optimizer",
        "adam",
        ("adam", "lazy_adam"),
        "for train; see experiments/flags.py",
    )
    flags.mark_flag_as_required("case")


if __name__ == "__main__":
    define_flags()
    app.run(main)
