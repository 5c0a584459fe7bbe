"""One file a model, and a registry of them by name."""

from sar_tf.models.base import DataSpec, Model, get, names
from sar_tf.models.sesrec import SESRec
from sar_tf.models.unisar import UniSAR

__all__ = ["DataSpec", "Model", "SESRec", "UniSAR", "get", "names"]
