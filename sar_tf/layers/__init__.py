"""Keras layers of the models."""

from sar_tf.layers.activation_unit import ActivationUnit
from sar_tf.layers.additive_attention import AdditiveAttention
from sar_tf.layers.attention import (
    MaskedAttention,
    TransitionEncoder,
    TransitionFusion,
)
from sar_tf.layers.augru import AUGRU
from sar_tf.layers.batch_norm import BatchNorm
from sar_tf.layers.causal_attention import CausalAttention, CausalBlock
from sar_tf.layers.clicked_items import clicks_in_time, newest_in_time, take_slots
from sar_tf.layers.co_attention import CoAttention
from sar_tf.layers.contrast import QueryItemContrast, TransitionAlignment
from sar_tf.layers.dice import Dice
from sar_tf.layers.dice_network import DiceNetwork
from sar_tf.layers.dropout import Dropout
from sar_tf.layers.embeddings import (
    Embedding,
    QueryEncoder,
    search_behavior,
)
from sar_tf.layers.feature_encoder import FeatureEncoder
from sar_tf.layers.frequency_filter import FrequencyFilter
from sar_tf.layers.history_views import draw_chosen, draw_order
from sar_tf.layers.id_tables import IdTables
from sar_tf.layers.intent_attention import IntentAttention
from sar_tf.layers.interest_contrast import (
    TripletInterestContrast,
    interest_vectors,
    split_interests,
)
from sar_tf.layers.masking import masked_mean, masked_softmax
from sar_tf.layers.mmoe import MixtureOfExperts, PredictionNetwork
from sar_tf.layers.perceptron import Perceptron
from sar_tf.layers.post_norm import BidirectionalBlock, FilterBlock
from sar_tf.layers.pre_norm import PreNormBlock, sinusoids
from sar_tf.layers.projection import project_on_span
from sar_tf.layers.query_attention import QueryAttention
from sar_tf.layers.recency import (
    RecencyEmbedding,
    align_right,
    distance_to_newest,
    end_of_history,
    newest,
)
from sar_tf.layers.sampled_softmax import sampled_softmax_loss
from sar_tf.layers.target_attention import TargetAttention
from sar_tf.layers.user_instrument import UserInstrument
from sar_tf.layers.view_contrast import (
    are_unrelated,
    find_partners,
    partner_contrast,
    unrelated_rows,
    view_contrast,
)
from sar_tf.layers.word_prediction import WordPrediction

__all__ = [
    "AUGRU",
    "ActivationUnit",
    "AdditiveAttention",
    "BatchNorm",
    "BidirectionalBlock",
    "CausalAttention",
    "CausalBlock",
    "CoAttention",
    "Dice",
    "DiceNetwork",
    "Dropout",
    "Embedding",
    "FeatureEncoder",
    "FilterBlock",
    "FrequencyFilter",
    "IdTables",
    "IntentAttention",
    "MaskedAttention",
    "MixtureOfExperts",
    "Perceptron",
    "PreNormBlock",
    "PredictionNetwork",
    "QueryAttention",
    "QueryEncoder",
    "QueryItemContrast",
    "RecencyEmbedding",
    "TargetAttention",
    "TransitionAlignment",
    "TransitionEncoder",
    "TransitionFusion",
    "TripletInterestContrast",
    "UserInstrument",
    "WordPrediction",
    "align_right",
    "are_unrelated",
    "clicks_in_time",
    "distance_to_newest",
    "draw_chosen",
    "draw_order",
    "end_of_history",
    "find_partners",
    "interest_vectors",
    "masked_mean",
    "masked_softmax",
    "newest",
    "newest_in_time",
    "partner_contrast",
    "project_on_span",
    "sampled_softmax_loss",
    "search_behavior",
    "sinusoids",
    "split_interests",
    "take_slots",
    "unrelated_rows",
    "view_contrast",
]
