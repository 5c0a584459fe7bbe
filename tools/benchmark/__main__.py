"""Measures one part of the project and prints the result as one line of JSON.

    python -m tools.benchmark --case=input
    python -m tools.benchmark --case=input --dataset_dir=data/beauty --model=sesrec
    python -m tools.benchmark --case=train --model=unisar
    python -m tools.benchmark --case=train --items=5000000 \\
        --embedding_optimizer=lazy_adam
    python -m tools.benchmark --case=train --backend=jax
    python -m tools.benchmark --case=evaluate --model=package.module:Class
    python -m tools.benchmark --case=models --seconds=10
    python -m tools.benchmark --case=serve
    python -m tools.benchmark --case=fit --dataset_dir=data/beauty

models prints a table of train and evaluate of all models. input reads a dataset, and
fit trains on one. serve exports a model and sends it one
user's request at a time. The others take prepared random batches
of the shapes of amazon_beauty: 1,018 and 1,019 targets a task, 4 negatives, queries of
up to 12 words. Batches hold what the model needs and nothing else.
"""

import argparse
import dataclasses
import json
import os
import sys

from sar_tf.startup import import_tensorflow, keep_freed_memory, use_small_kernels
from tools.arguments import positive
from tools.benchmark.machine import describe_machine

CASES = ("input", "train", "evaluate", "models", "serve", "fit")
PROGRAM = "tools.benchmark"


def main(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.backend == "jax" and args.case not in ("train", "evaluate", "models"):
        sys.exit(f"{PROGRAM}: --case={args.case} runs on TensorFlow only")
    if args.backend == "jax" and args.embedding_optimizer == "lazy_adam":
        sys.exit(f"{PROGRAM}: --embedding_optimizer=lazy_adam needs TensorFlow")
    os.environ["KERAS_BACKEND"] = args.backend
    keep_freed_memory()
    if args.case == "serve":
        use_small_kernels()
    if args.backend == "tensorflow":
        import_tensorflow()  # Before anything else imports it, with all its chatter.
    if args.case == "models":
        _print_models(args)
        return
    from sar_tf import models

    try:
        model = models.get(args.model)
    except ValueError as error:
        sys.exit(f"{PROGRAM}: --model: {error}")
    measure = {"input": _measure_input, "fit": _measure_fit, "serve": _measure_serve}
    result = measure.get(args.case, _measure_model)(args, model)
    print(json.dumps({"case": args.case, **result, **describe_machine()}))


def _print_models(args):
    from sar_tf import models
    from tools.benchmark import all_models

    shared = ("seconds", "backend", "history_groups", "items", "embedding_optimizer")
    flags = [f"--{name}={getattr(args, name)}" for name in shared]
    try:
        for row in all_models.rows(models.names(), flags):
            print(row, flush=True)
    except RuntimeError as error:
        sys.exit(f"{PROGRAM}: {error}")


def _measure_input(args, model):
    from sar_tf.needs import check_needs
    from tools.benchmark import input as input_pipeline

    if args.needs is None:
        needs = _needs(model)
    else:
        try:
            needs = check_needs([name for name in args.needs.split(",") if name])
        except ValueError as error:
            sys.exit(f"{PROGRAM}: --needs: {error}")
    return input_pipeline.measure(
        args.dataset_dir, args.seconds, args.users, model.tasks, needs
    )


def _measure_fit(args, model):
    from tools.benchmark import fit

    return fit.measure(
        args.dataset_dir,
        args.users,
        args.model,
        steps=args.steps,
        batch_size=args.batch_size,
        num_groups=args.history_groups,
    )


def _measure_serve(args, model):
    from sar_tf.startup import use_threads
    from tools.benchmark import serve

    use_threads(args.threads)
    return serve.measure(args.model, num_items=args.items, seconds=args.seconds)


def _measure_model(args, model):
    from tools.benchmark import model as steps
    from tools.benchmark.random_batches import BEAUTY, RandomBatches

    is_static = args.backend == "jax"  # XLA wants static shapes: one group.
    spec = dataclasses.replace(BEAUTY, num_items=args.items)
    batches = RandomBatches(
        model.tasks,
        num_groups=1 if is_static else args.history_groups,
        spec=spec,
        needs=_needs(model),
    )
    if args.case == "evaluate":
        return steps.measure_evaluation(
            args.model, batches, sizes=steps.EVALUATION_SIZES, seconds=args.seconds
        )
    return steps.measure_training(
        args.model,
        batches,
        # Equal sizes on JAX, which would compile for each.
        sizes=steps.TRAINING_SIZES[: 1 if is_static else None],
        seconds=args.seconds,
        embedding_optimizer=args.embedding_optimizer,
    )


def _needs(model):
    """The inputs that a model of its default hyperparameters needs."""
    from tools.benchmark.random_batches import BEAUTY, RandomBatches

    few = {"num_users": 1, "num_items": 1, "num_words": 1, "num_queries": 1}
    spec = dataclasses.replace(BEAUTY, **few)
    return model(spec, RandomBatches(spec=spec).tables).needs


def make_parser():
    """The parser of all flags."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--case", choices=CASES, required=True, help="what to measure")
    add("--seconds", type=float, default=20.0, help="how long, after warming up (20)")
    add("--dataset_dir", help="for input and fit: a dataset; default: a random one")
    add("--users", type=positive, default=5000, help="of the random dataset (5000)")
    add(
        "--model",
        default="unisar",
        help="name of a model or package.module:Class, with its defaults (unisar)",
    )
    add(
        "--needs",
        help="for input: names of inputs, separated by commas (default: the model's)",
    )
    add("--backend", choices=("tensorflow", "jax"), default="tensorflow")
    add("--items", type=positive, default=12_101, help="rows of the item table (12101)")
    add(
        "--history_groups",
        type=positive,
        default=3,
        help="for train, evaluate and fit: groups of like history length in a batch "
        "(3); on JAX 1, at full width",
    )
    add(
        "--threads",
        type=int,
        default=1,
        help="for serve: threads of an operation (1); 0: TensorFlow's own number",
    )
    add("--steps", type=positive, default=40, help="for fit: steps to time (40)")
    add("--batch_size", type=positive, default=1024, help="for fit (1024)")
    add(
        "--embedding_optimizer",
        choices=("adam", "lazy_adam"),
        default="adam",
        help="for train: whether a step moves all rows of a table or those it reads",
    )
    return parser


if __name__ == "__main__":
    main()
