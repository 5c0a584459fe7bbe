"""The encoders of items and of users that single-task models share."""

from typing import Literal

from sar_tf.layers.embeddings import QueryEncoder
from sar_tf.layers.feature_encoder import FeatureEncoder
from sar_tf.models.base import Model

ItemEncoder = Literal["features", "id"]


def add_item_encoder(
    model: Model, kind: ItemEncoder, embedding_dim: int, units: int
) -> None:
    """Gives a model an encoder of items, for which item 0 is the zero vector.

    Captions are encoded by the model's `query_encoder`; a model that has none, as it
    reads no queries, gets one for the captions alone.

    Args:
        model: The model, after its `super().__init__` and its query encoder.
        kind: "features" encodes an item's id, features and caption by a dense layer,
            "id" looks up a vector of its own for each item.
        embedding_dim: Width of the embeddings of the id, of each feature and of words,
            where there is a dense layer.
        units: Width D of the result.
    """
    spec = model.spec
    if kind == "id":
        model.item_encoder = FeatureEncoder(
            spec.num_items, {}, units, units=None, mask_zero=True, name="item_encoder"
        )
        return
    if spec.caption_length and model.query_encoder is None:
        model.query_encoder = QueryEncoder(
            spec.num_words, embedding_dim, units, name="caption_encoder"
        )
    model.item_encoder = FeatureEncoder(
        spec.num_items,
        spec.item_features,
        embedding_dim,
        units,
        caption_length=spec.caption_length,
        mask_zero=True,
        name="item_encoder",
    )


def add_query_encoder(
    model: Model,
    embedding_dim: int,
    units: int,
    who: str | None = None,
    remedy: str = "take a dataset with searches",
) -> None:
    """Gives a model that cannot do without them an encoder of queries by their words.

    Args:
        model: The model, after its `super().__init__`.
        embedding_dim: Width of the embeddings of words.
        units: Width D of the result.
        who: The model and what it does with the words, for the error.
        remedy: What to do about it.

    Raises:
        ValueError: The dataset's queries have no words.
    """
    if not model.spec.num_words:
        raise ValueError(
            f"{who or f'{type(model).__name__} reads'} the words of queries, and the "
            f"queries of this dataset have none; {remedy}"
        )
    model.query_encoder = QueryEncoder(
        model.spec.num_words, embedding_dim, units, name="query_encoder"
    )


def add_user_encoder(
    model: Model, kind: ItemEncoder, embedding_dim: int, units: int
) -> None:
    """Gives a model an encoder of users, for which user 0 is the zero vector.

    Args:
        model: The model, after its `super().__init__`.
        kind: "features" encodes a user's id and features by a dense layer, "id" looks
            up a vector of its own for each user.
        embedding_dim: Width of the embeddings of the id and of each feature, where
            there is a dense layer.
        units: Width D of the result.
    """
    is_table = kind == "id"
    model.user_encoder = FeatureEncoder(
        model.spec.num_users,
        {} if is_table else model.spec.user_features,
        units if is_table else embedding_dim,
        units=None if is_table else units,
        mask_zero=True,
        name="user_encoder",
    )
