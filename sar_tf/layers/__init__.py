"""Keras layers of the models."""

from sar_tf.layers.activation_unit import ActivationUnit
from sar_tf.layers.attention import (
    MaskedAttention,
    TransitionEncoder,
    TransitionFusion,
)
from sar_tf.layers.causal_attention import CausalAttention, CausalBlock
from sar_tf.layers.co_attention import CoAttention
from sar_tf.layers.contrast import QueryItemContrast, TransitionAlignment
from sar_tf.layers.dice import Dice
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.embeddings import (
    Embedding,
    FeatureEncoder,
    QueryEncoder,
    search_behavior,
)
from sar_tf.layers.interest_contrast import (
    TripletInterestContrast,
    interest_vectors,
    split_interests,
)
from sar_tf.layers.masking import masked_mean, masked_softmax
from sar_tf.layers.mmoe import MixtureOfExperts, PredictionNetwork
from sar_tf.layers.recency import RecencyEmbedding, distance_to_newest, newest
from sar_tf.layers.target_attention import TargetAttention

__all__ = [
    "ActivationUnit",
    "CausalAttention",
    "CausalBlock",
    "CoAttention",
    "Dice",
    "Dropout",
    "Embedding",
    "FeatureEncoder",
    "MaskedAttention",
    "MixtureOfExperts",
    "PredictionNetwork",
    "QueryEncoder",
    "QueryItemContrast",
    "RecencyEmbedding",
    "TargetAttention",
    "TransitionAlignment",
    "TransitionEncoder",
    "TransitionFusion",
    "TripletInterestContrast",
    "distance_to_newest",
    "interest_vectors",
    "masked_mean",
    "masked_softmax",
    "newest",
    "search_behavior",
    "split_interests",
]
