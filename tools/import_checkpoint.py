"""Turns a checkpoint of an official PyTorch project into a run folder.

    python tools/import_checkpoint.py --model=unisar --checkpoint=FILE.pt \\
        --dataset_dir=data/kuaisar --run_dir=runs/official
    python experiments/run.py --mode=evaluate --run_dir=runs/official
    python experiments/run.py --mode=export --run_dir=runs/official

The dataset must be the training data of the checkpoint, with the same dense ids: row i
of an embedding table is dense id i. Sizes come from the weights' shapes.
"""

import argparse
import sys
from pathlib import Path

from sar_tf.startup import import_tensorflow


def main(argv=None):
    from sar_tf import models

    parser = argparse.ArgumentParser(
        prog="tools/import_checkpoint.py", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--model", choices=models.names(), required=True)
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="official .pt file"
    )
    parser.add_argument("--dataset_dir", required=True)
    parser.add_argument("--run_dir", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--num_heads",
        type=int,
        help="number of attention heads; no shape shows it (default: the model's)",
    )
    args = parser.parse_args(argv)
    from sar_tf.data.dataset_info import DatasetError
    from sar_tf.interop.weights import InteropError
    from sar_tf.training.run_directory import RunDirectoryError

    try:
        import_checkpoint(**vars(args))
    except (DatasetError, InteropError, OSError, RunDirectoryError) as error:
        sys.exit(f"{parser.prog}: {error}")


def import_checkpoint(*, model, checkpoint, dataset_dir, run_dir, num_heads=None):
    """Makes the run folder; writes nothing if the weights do not fit.

    Args:
        model: Name of our model.
        checkpoint: File of the official model's `state_dict`.
        dataset_dir: Dataset of the weights.
        run_dir: Folder to make.
        num_heads: Number of attention heads; None for the model's default.

    Raises:
        InteropError: The checkpoint cannot be read, belongs to another model, or does
            not fit the dataset; lists every missing and surplus weight and every
            shape that does not fit.
        DatasetError: The dataset cannot be used.
        RunDirectoryError: The run folder is not empty.
    """
    from sar_tf.data.dataset import SequenceDataset
    from sar_tf.data.pipeline import BatchPipeline
    from sar_tf.interop import projects
    from sar_tf.interop.checkpoint import read_checkpoint
    from sar_tf.interop.weights import InteropError
    from sar_tf.paths import as_path
    from sar_tf.training import build
    from sar_tf.training import checkpoint as checkpoints
    from sar_tf.training.compile import compile_model
    from sar_tf.training.config import RunConfig
    from sar_tf.training.run_directory import RunDirectory

    run = RunDirectory(run_dir)
    run.require_free()
    state = read_checkpoint(checkpoint)
    project = projects.of_weights(state)
    if project.model != model:
        raise InteropError(
            f"--model={model}, but {checkpoint} holds the weights of {project.model}"
        )
    dataset = SequenceDataset.open(as_path(dataset_dir).resolve())
    lengths = project.checkpoint.history_lengths(state)
    pipeline = BatchPipeline(dataset, **lengths)
    features = {
        kind: [name for name, feature in named.items() if feature["kind"] != "words"]
        for kind, named in dataset.info.features.items()
    }
    hyperparameters = project.checkpoint.hyperparameters(state, features)
    if num_heads is not None:
        hyperparameters["num_heads"] = num_heads
    try:
        built = build.build_model(model, pipeline, hyperparameters)
        project.assign(built, state)
    except ValueError as error:
        raise InteropError(f"{checkpoint} and {dataset_dir}: {error}") from error
    # Checkpoints have the optimizer's state; here it is zero.
    compile_model(built, learning_rate=1e-3, l2=0.0)
    config = RunConfig(
        model=model,
        dataset_dir=str(dataset.dataset_dir),
        hyperparameters=hyperparameters,
        **lengths,
    )
    run.start(config.check())
    checkpoints.save(run.best, built, {"epoch": 0, "step": 0})
    print(f"{model}: {built.count_params():,} weights of {checkpoint} in {run.path}")


if __name__ == "__main__":
    import_tensorflow()
    main()
