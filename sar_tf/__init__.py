"""Models of search and recommendation in TensorFlow and Keras 3.

    data = sar_tf.open_dataset("data/beauty", batch_size=1024)
    model = sar_tf.models.UniSAR(data.spec, data.tables, hidden_dim=64)

Names are imported when they are first used: `import sar_tf` itself is quick.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sar_tf.data.pipeline import BatchPipeline

__version__ = "0.2.0"

# Public name -> module that has it.
_ORIGINS = {
    "BatchPipeline": "sar_tf.data.pipeline",
    "DatasetError": "sar_tf.data.dataset_info",
    "RunConfig": "sar_tf.training.config",
    "SequenceDataset": "sar_tf.data.dataset",
    "describe_batch": "sar_tf.spec",
    "evaluate_full": "sar_tf.training.full",
    "evaluate_run": "sar_tf.training.finished",
    "export": "sar_tf.serving.export",
    "load_run": "sar_tf.training.finished",
    "load_saved_model": "sar_tf.serving.load",
    "run": "sar_tf.training.run",
    "write_dataset": "pipelines.logs",
}
_PACKAGES = ("data", "layers", "metrics", "models", "serving", "training")

__all__ = ["__version__", "load_model", "open_dataset", *_ORIGINS, *_PACKAGES]


def open_dataset(dataset_dir: str | os.PathLike, **settings: Any) -> "BatchPipeline":
    """Opens a dataset folder.

    Args:
        dataset_dir: The folder that a job of pipelines/ made.
        settings: Of `BatchPipeline`: batch_size, max_rec_history, …

    Returns:
        A `BatchPipeline`: its batches, sizes (`spec`) and feature tables (`tables`).

    Raises:
        DatasetError: The folder is unfinished, damaged or of another version.
    """
    from sar_tf.data.dataset import SequenceDataset
    from sar_tf.data.pipeline import BatchPipeline

    return BatchPipeline(SequenceDataset.open(dataset_dir), **settings)


def load_model(path: str | os.PathLike) -> Any:
    """Loads a model that `model.save` wrote.

    `keras.models.load_model` does the same once `sar_tf.models` is imported.

    Args:
        path: The .keras file.
    """
    import keras

    import sar_tf.models  # noqa: F401  Makes the models known to Keras.

    return keras.models.load_model(path)


def __getattr__(name: str) -> Any:
    if name in _ORIGINS:
        value = getattr(importlib.import_module(_ORIGINS[name]), name)
    elif name in _PACKAGES:
        value = importlib.import_module(f"sar_tf.{name}")
    else:
        raise AttributeError(f"module 'sar_tf' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
