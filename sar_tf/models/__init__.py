"""One file a model, and a registry of them by name."""

from sar_tf.models.base import Model
from sar_tf.models.din import DIN
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.qem import QEM
from sar_tf.models.registry import get, names, register
from sar_tf.models.sasrec import SASRec
from sar_tf.models.sesrec import SESRec
from sar_tf.models.unisar import UniSAR
from sar_tf.spec import DataSpec

__all__ = [
    "DIN",
    "QEM",
    "DataSpec",
    "DotProductModel",
    "Model",
    "SASRec",
    "SESRec",
    "UniSAR",
    "get",
    "names",
    "register",
]
