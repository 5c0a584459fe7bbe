"""What one run does: train, evaluate, export."""

import dataclasses
from pathlib import Path

import keras

from experiments import flags
from experiments.table import metrics_table
from pipelines import simulate
from pipelines.common import job
from sar_tf import models
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.serving.export import export
from sar_tf.training import checkpoint, loop, strategy
from sar_tf.training.baselines import evaluate_baselines
from sar_tf.training.build import ModelError, build_model
from sar_tf.training.callbacks import TrainingError
from sar_tf.training.compile import compile_model
from sar_tf.training.files import full_disk_named
from sar_tf.training.run_directory import RunDirectory, RunDirectoryError

FLAGS = flags.FLAGS
USER_ERRORS = (
    checkpoint.CheckpointError,
    DatasetError,
    flags.FlagError,
    job.UserError,
    ModelError,
    OSError,
    RunDirectoryError,
    strategy.StrategyError,
    TrainingError,
)
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# What --resume may change: where and how, not what is computed.
_CHANGEABLE = (
    "checkpoint_minutes",
    "dataset_dir",
    "epochs",
    "steps_per_execution",
    "strategy",
    "tpu",
)


def run(arguments):
    """Does what --mode says."""
    if arguments:
        raise flags.FlagError(f"{arguments[0]!r} is no flag; flags begin with --")
    flags.check()
    chosen = strategy.make_strategy(FLAGS.strategy, FLAGS.tpu)
    keras.mixed_precision.set_dtype_policy(_POLICIES[FLAGS.precision])
    run_dir = _checked_run_dir()
    with strategy.Workers(chosen).chief_first():
        dataset = _open_dataset()
    keras.utils.set_random_seed(FLAGS.seed)
    pipeline = _pipeline(dataset, FLAGS.batch_size, chosen)
    with chosen.scope():
        model = _build(pipeline)
    print(
        f"{FLAGS.model}: {model.count_params():,} weights; {dataset.info.name}: "
        f"{dataset.info.num_users:,} users, {dataset.info.num_items:,} items, "
        f"{pipeline.steps_per_epoch('train'):,} steps an epoch",
        flush=True,
    )
    with full_disk_named(run_dir.path):
        _run_mode(model, pipeline, run_dir)


def _build(pipeline):
    model = build_model(FLAGS.model, pipeline, flags.hyperparameters())
    compile_model(
        model,
        FLAGS.learning_rate,
        FLAGS.l2,
        embedding_optimizer=FLAGS.embedding_optimizer,
        clip_norm=FLAGS.clip_norm,
        jit_compile=FLAGS.jit_compile,
        steps_per_execution=FLAGS.steps_per_execution,
    )
    return model


def _run_mode(model, pipeline, run_dir):
    chosen, dataset = model.distribute_strategy, pipeline.dataset
    is_chief = strategy.Workers(chosen).is_chief
    evaluation = _pipeline(dataset, FLAGS.evaluation_batch_size, chosen)
    if FLAGS.mode == "train":
        if is_chief:
            run_dir.start(flags.flagfile_text())
        _train(model, pipeline, evaluation, run_dir)
    epoch = checkpoint.load(run_dir.best, model)["epoch"]
    metrics = None
    if FLAGS.mode in ("train", "evaluate"):
        metrics = {
            split: loop.evaluate(model, evaluation, split, verbose=_verbose())
            for split in ("validation", "test")
        }
    if not is_chief:
        return
    if FLAGS.mode in ("train", "export"):
        _export(model, pipeline, run_dir)
        print(f"exported epoch {epoch} to {run_dir.saved_model}")
    if metrics:
        results = _write_metrics(metrics, dataset, run_dir, epoch)
        print(f"\nTest, after epoch {epoch} (the best on validation):")
        print(metrics_table(results), flush=True)


def _export(model, pipeline, run_dir):
    if model.distribute_strategy.num_replicas_in_sync > 1:
        # A SavedModel is for one device; weights of replicas do not belong in it.
        model = _build(dataclasses.replace(pipeline, num_replicas=1, num_workers=1))
        checkpoint.load(run_dir.best, model)
    export(model, run_dir.saved_model)


def _checked_run_dir():
    if FLAGS.run_dir is None:
        raise flags.FlagError("--run_dir is missing: name a folder for the run")
    run_dir = RunDirectory(FLAGS.run_dir)
    if FLAGS.mode == "train" and not FLAGS.resume:
        run_dir.require_free()
        return run_dir
    run_dir.require_run()
    if FLAGS.resume:
        kept = run_dir.flags.read_text(encoding="utf-8")
        changed = flags.differing_flags(kept, changeable=_CHANGEABLE)
        if changed:
            raise flags.FlagError(
                f"--{changed[0]} is not what the run was started with (see "
                f"{run_dir.flags}); resume without it, or start another --run_dir"
            )
    return run_dir


def _open_dataset():
    """Opens --dataset_dir; makes it first where --simulate_users says so."""
    if FLAGS.dataset_dir is None:
        raise flags.FlagError("--dataset_dir is missing: name a dataset's folder")
    dataset_dir = Path(FLAGS.dataset_dir).resolve()
    FLAGS.dataset_dir = str(dataset_dir)
    if FLAGS.simulate_users and not dataset_dir.exists():
        _simulate(dataset_dir)
    return SequenceDataset.open(dataset_dir)


def _simulate(dataset_dir):
    simulate.build_dataset(
        dataset_dir,
        num_users=FLAGS.simulate_users,
        num_items=FLAGS.simulate_items,
        search_share=FLAGS.simulate_search_share,
        seed=FLAGS.seed,
    )


def _pipeline(dataset, batch_size, chosen):
    return BatchPipeline(
        dataset,
        batch_size=batch_size,
        num_replicas=chosen.num_replicas_in_sync,
        num_workers=strategy.num_workers(chosen),
        tasks=models.get(FLAGS.model).tasks,
        max_rec_history=FLAGS.max_rec_history,
        max_search_history=FLAGS.max_search_history,
        max_query_words=_at_most(FLAGS.max_query_words, dataset.info.max_query_words),
        max_clicked_items=_at_most(
            FLAGS.max_clicked_items, dataset.info.max_clicked_items
        ),
        num_negatives=FLAGS.num_negatives,
        num_sampled=FLAGS.num_sampled,
        num_groups=FLAGS.history_groups,
        seed=FLAGS.seed,
    )


def _at_most(limit, there_are):
    return max(1, there_are if limit is None else min(limit, there_are))


def _verbose():
    return FLAGS.verbose if FLAGS.verbose == "auto" else int(FLAGS.verbose)


def _train(model, pipeline, evaluation, run_dir):
    loop.fit(
        model,
        pipeline,
        run_dir,
        epochs=FLAGS.epochs,
        evaluation=evaluation,
        plateau_factor=FLAGS.plateau_factor,
        plateau_patience=FLAGS.plateau_patience,
        min_learning_rate=FLAGS.min_learning_rate,
        early_stopping_patience=FLAGS.early_stopping_patience,
        checkpoint_minutes=FLAGS.checkpoint_minutes,
        resume=FLAGS.resume,
        verbose=_verbose(),
    )


def _write_metrics(metrics, dataset, run_dir, epoch):
    """Writes metrics.json; returns {ranker: its test metrics}."""
    test = _pipeline(
        dataset, FLAGS.evaluation_batch_size, strategy.make_strategy("one_device")
    ).evaluate("test")
    baselines = evaluate_baselines(test, dataset.popularity(), FLAGS.seed)
    run_dir.write_metrics({**metrics, "epoch": epoch, "baselines": baselines})
    return {
        FLAGS.model: metrics["test"],
        "most popular": baselines["most_popular"],
        "random": baselines["random"],
    }
