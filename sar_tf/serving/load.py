"""Loads a SavedModel for a dataset."""

import json
import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from sar_tf.serving.export import DATASET_FILE


def load_saved_model(path: str | os.PathLike, dataset_dir: str | os.PathLike) -> Any:
    """Loads a SavedModel, to score the dense ids of a dataset.

    Dense ids are places in sorted lists: a dataset that was made again from other logs
    may have the same sizes and shifted ids.

    Args:
        path: The folder that `export` wrote.
        dataset_dir: The dataset whose dense ids it will be given.

    Returns:
        What `tf.saved_model.load` returns: `signatures["rank_rec"]`, ….

    Raises:
        DatasetError: The SavedModel is of another dataset, or does not tell.
        OSError: There is no SavedModel.
    """
    dataset = SequenceDataset.open(dataset_dir)
    file = Path(path) / DATASET_FILE
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        fingerprint, tables = known["fingerprint"], dict(known["tables"])
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{file} does not tell of which dataset the SavedModel is ({error!r}); "
            "export it again"
        ) from error
    if fingerprint != dataset.fingerprint:
        own = dataset.table_checksums()
        others = [
            name for name, checksum in tables.items() if own.get(name) != checksum
        ]
        raise DatasetError(
            f"{path} is of another dataset than {dataset_dir}: other "
            f"{', '.join(others) or 'vocabularies or tables'}; use the dataset that "
            "it was trained on, or train again"
        )
    return tf.saved_model.load(path)
