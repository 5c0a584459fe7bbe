"""One file a model, and a registry of them by name."""

from sar_tf.models.aem import AEM
from sar_tf.models.base import Model
from sar_tf.models.bert4rec import BERT4Rec
from sar_tf.models.copps import CoPPS
from sar_tf.models.dien import DIEN
from sar_tf.models.din import DIN
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.fmlp_rec import FMLPRec
from sar_tf.models.gru4rec import GRU4Rec
from sar_tf.models.hem import HEM
from sar_tf.models.iv4rec import IV4Rec
from sar_tf.models.iv4rec_plus import IV4RecPlus
from sar_tf.models.jsr import JSR
from sar_tf.models.nrhub import NRHUB
from sar_tf.models.qem import QEM
from sar_tf.models.query_seqrec import QuerySeqRec
from sar_tf.models.registry import get, names, register
from sar_tf.models.sasrec import SASRec
from sar_tf.models.sesrec import SESRec
from sar_tf.models.srjgraph import SRJGraph
from sar_tf.models.stamp import STAMP
from sar_tf.models.tem import TEM
from sar_tf.models.unified_ssr import UnifiedSSR
from sar_tf.models.unisar import UniSAR
from sar_tf.models.user import USER
from sar_tf.models.zam import ZAM
from sar_tf.spec import DataSpec

__all__ = [
    "AEM",
    "DIEN",
    "DIN",
    "HEM",
    "JSR",
    "NRHUB",
    "QEM",
    "STAMP",
    "TEM",
    "USER",
    "ZAM",
    "BERT4Rec",
    "CoPPS",
    "DataSpec",
    "DotProductModel",
    "FMLPRec",
    "GRU4Rec",
    "IV4Rec",
    "IV4RecPlus",
    "Model",
    "QuerySeqRec",
    "SASRec",
    "SESRec",
    "SRJGraph",
    "UniSAR",
    "UnifiedSSR",
    "get",
    "names",
    "register",
]
