"""The commands of experiments/run.py: train, evaluate, export."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from experiments import flags
from experiments.simulated import make_where_missing
from experiments.table import metrics_table
from pipelines.common.job import UserError
from pipelines.common.progress import progress
from sar_tf.data.dataset_info import DatasetError
from sar_tf.files import write_text
from sar_tf.inputs import TASKS
from sar_tf.serving.export import export
from sar_tf.training.build import ModelError
from sar_tf.training.callbacks import TrainingError
from sar_tf.training.checkpoint import CheckpointError
from sar_tf.training.config import ConfigError, RunConfig
from sar_tf.training.files import OutOfMemoryError, exhaustion_named
from sar_tf.training.finished import evaluate_run, load_run
from sar_tf.training.full import evaluate_full
from sar_tf.training.run import run
from sar_tf.training.run_directory import RunDirectory, RunDirectoryError
from sar_tf.training.strategy import StrategyError

# Their texts tell the user what to do.
USER_ERRORS = (
    CheckpointError,
    ConfigError,
    DatasetError,
    flags.FlagError,
    ModelError,
    OSError,
    OutOfMemoryError,
    RunDirectoryError,
    StrategyError,
    TrainingError,
    UserError,
)


@contextlib.contextmanager
def exits_in_one_line(program: str) -> Iterator[None]:
    """Turns an error of `USER_ERRORS` into one line and the exit status 1.

    Args:
        program: What the line begins with.
    """
    try:
        yield
    except USER_ERRORS as error:
        sys.exit(f"{program}: " + " ".join(str(error).split("\n")))


def run_command(arguments: Sequence[str]) -> None:
    """Runs a command line.

    Args:
        arguments: The command line, without the program's name.

    Raises:
        One of USER_ERRORS: The command cannot run.
    """
    command = flags.parse(arguments)
    program = command.program
    if program["run_dir"] is None:
        raise flags.FlagError("--run_dir is missing: name a folder for the run")
    folder = RunDirectory(program["run_dir"])
    if program["resume"] and program["mode"] != "train":
        raise flags.FlagError("--resume belongs to --mode=train; leave one of them out")
    if program["evaluate_full_sample"] is not None and not program["evaluate_full"]:
        raise flags.FlagError("--evaluate_full_sample belongs to --evaluate_full")
    if program["evaluate_full"] and program["mode"] == "export":
        raise flags.FlagError("--evaluate_full belongs to --mode=train or evaluate")
    kept = None
    if program["mode"] != "train" or program["resume"]:
        kept = folder.load_config()
        command = flags.parse(arguments, model=kept.model)
    config = command.config(kept)
    if program["mode"] == "train":
        _train(config, folder, program)
    elif program["mode"] == "evaluate":
        metrics = evaluate_run(folder.path, **_fields(config))
        if _is_first_worker(config):
            _print_results(config, metrics, folder)
            _evaluate_full(config, folder, program)
    else:
        _export(config, folder)
        print(f"SavedModel: {folder.saved_model}", flush=True)


def _train(config, folder, program):
    config.check()
    simulated = program["simulated_dataset_dir"]
    is_new = simulated and not program["resume"]
    if is_new and Path(simulated).resolve() == Path(config.dataset_dir).resolve():
        make_where_missing(simulated, config.seed, _is_first_worker(config))
    metrics = run(
        config,
        folder.path,
        callbacks=[KeepFlags(folder)] if _is_first_worker(config) else [],
        resume=program["resume"],
        verbose=program["verbose"],
    )
    if _is_first_worker(config):
        _export(config, folder)
        _print_results(config, metrics, folder)
        _evaluate_full(config, folder, program)


def _export(config, folder):
    # A SavedModel is for one device, whatever devices trained the model.
    changes = {**_fields(config), "strategy": "one_device"}
    model, data = load_run(folder.path, served=True, **changes)
    with exhaustion_named(folder.path):
        export(model, folder.saved_model, data)


def _evaluate_full(config, folder, program):
    if not program["evaluate_full"]:
        return
    metrics = evaluate_full(
        folder.path,
        sample=program["evaluate_full_sample"],
        progress=progress,
        **{**_fields(config), "strategy": "one_device"},
    )
    print(f"\nTest targets against all {metrics['items']:,} items:")
    for task in (name for name in TASKS if name in metrics):
        own = metrics[task]
        rankers = ("sampled", "ranker", "retrieve_then_rank")
        table = {n.replace("_", " "): {task: own[n]} for n in rankers if n in own}
        print(f"\n{metrics_table(table)}")
        for name, share in own.get("retrieval", {}).items():
            print(f"retrieval {name}: {share:.4f}")
    print(f"\nThese are in {folder.full}", flush=True)


class KeepFlags(keras.callbacks.Callback):
    """Writes flags.txt, a flagfile that repeats the run.

    Args:
        folder: The `RunDirectory`.
    """

    def __init__(self, folder: RunDirectory) -> None:
        super().__init__()
        self.folder = folder

    def on_train_begin(self, logs: dict | None = None) -> None:
        config = self.folder.load_config()
        write_text(self.folder.flags, flags.flagfile_text(config))


def _fields(config: RunConfig) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}


def _print_results(config, metrics, folder):
    rankers = {
        config.model: metrics["test"],
        "most popular": metrics["baselines"]["most_popular"],
        "random": metrics["baselines"]["random"],
    }
    print(f"\nTest, after epoch {metrics['epoch']} (the best on validation):")
    print(metrics_table(rankers))
    if config.train_on == "all":
        print("\nThe SavedModel is of the training on all splits; these are not.")
    print(f"\nAll files of the run are in {folder.path}", flush=True)


def _is_first_worker(config: RunConfig) -> bool:
    """Whether this process is the only one, or the chief of several."""
    if config.strategy != "multi_worker":
        return True
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}")
    task = cluster.get("task", {})
    has_chief = "chief" in cluster.get("cluster", {})
    return task.get("type") == ("chief" if has_chief else "worker") and not task.get(
        "index"
    )
