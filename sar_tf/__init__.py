"""Models of search and recommendation in TensorFlow and Keras 3.

    data = sar_tf.open_dataset("data/beauty", batch_size=1024)
    model = sar_tf.models.UniSAR(data.spec, data.tables, hidden_dim=64)

Names are imported when they are first used: `import sar_tf` itself is quick.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module that has it.
_ORIGINS = {
    "BatchPipeline": "sar_tf.data.pipeline",
    "DatasetError": "sar_tf.data.dataset_info",
    "RunConfig": "sar_tf.training.config",
    "SequenceDataset": "sar_tf.data.dataset",
    "evaluate_run": "sar_tf.training.run",
    "export": "sar_tf.serving.export",
    "load_run": "sar_tf.training.run",
    "open_dataset": "sar_tf.data.pipeline",
    "run": "sar_tf.training.run",
}
_PACKAGES = ("data", "layers", "metrics", "models", "serving", "training")

__all__ = ["__version__", *_ORIGINS, *_PACKAGES]


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
