"""Embeddings of users and items by their id and features."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import layers, ops

from sar_tf.layers.embeddings import Embedding
from sar_tf.layers.look_up import look_up
from sar_tf.layers.masking import masked_mean
from sar_tf.layers.products import of_rows


@keras.saving.register_keras_serializable("sar_tf")
class FeatureEncoder(layers.Layer):
    """Encodes users or items by their id and features.

    `e = activation(W concat(e_id, e_feature1, …, extra) + b)`.

    The layer holds the features of all ids in tables, as non-trainable weights.
    A model therefore scores from ids alone.

    Args:
        num_ids: highest id.
        features: `{feature name: highest feature id}`, in order. A multi-valued
            feature has `[highest id, most values]`; its embedding is the mean over an
            id's values, 0 without any.
        embedding_dim: width of the id's and of each feature's embedding.
        units: width D of the result; None returns the concatenation.
        activation: activation of the dense layer.
        caption_length: number of words in an id's caption, 0 for none. With
            captions, `call` needs `encode_caption`.
        mask_zero: whether id 0 gives the zero vector.
        feature_dims: width of each feature's embedding, in order; None is
            `embedding_dim` for all.

    Call arguments:
        ids: int `(...)`.
        encode_caption: callable from caption words `(..., L)` to `(..., K)`. Its
            result is second in the concatenation, after the id's embedding.

    Returns:
        `(..., D)`.

    Attributes:
        has_tables: whether `set_tables` or a file has filled the tables. Until
            then all features are 0.
    """

    def __init__(
        self,
        num_ids: int,
        features: Mapping[str, int | Sequence[int]],
        embedding_dim: int,
        units: int | None,
        activation: str | None = "tanh",
        caption_length: int = 0,
        mask_zero: bool = False,
        feature_dims: Sequence[int] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.num_ids = num_ids
        self.features = {
            name: size if isinstance(size, int) else list(size)
            for name, size in features.items()
        }
        self.embedding_dim = embedding_dim
        self.units = units
        self.activation = activation
        self.caption_length = caption_length
        self.mask_zero = mask_zero
        self.feature_dims = tuple(feature_dims or [embedding_dim] * len(self.features))
        self.id_embedding = self._embedding("id", num_ids, embedding_dim)
        self.feature_embeddings = [
            self._embedding(name, size if isinstance(size, int) else size[0], width)
            for (name, size), width in zip(
                self.features.items(), self.feature_dims, strict=True
            )
        ]
        self.dense = None
        if units is not None:
            self.dense = layers.Dense(
                units,
                activation,
                kernel_initializer="glorot_normal",
                name="dense",
                dtype=self.dtype_policy,
            )

    def _embedding(self, name, num, width):
        return Embedding(
            num + 1,
            width,
            embeddings_initializer="glorot_normal",
            name=f"{name}_embedding",
            dtype=self.dtype_policy,
        )

    def build(self, ids_shape):
        self.id_embedding.build(ids_shape)
        self.tables = {}
        for name, embedding in zip(self.features, self.feature_embeddings, strict=True):
            embedding.build(ids_shape)
            size = self.features[name]
            widths = () if isinstance(size, int) else (size[1],)
            self.tables[name] = self._table(name, (self.num_ids + 1, *widths))
        if self.caption_length:
            shape = (self.num_ids + 1, self.caption_length)
            self.tables["caption"] = self._table("caption", shape)
        self.has_tables = not self.tables

    def _table(self, name, shape):
        return self.add_weight(
            name=f"{name}_table",
            shape=shape,
            initializer="zeros",
            dtype="int32",
            trainable=False,
        )

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.has_tables = True

    def set_tables(self, tables):
        """Sets the feature look-up tables: `{name: (num_ids + 1, …)}`."""
        missing = sorted(set(self.tables) - set(tables))
        if missing:
            raise ValueError(f"{self.name}: no table for the features {missing}")
        for name, table in self.tables.items():
            if tuple(tables[name].shape) != tuple(table.shape):
                raise ValueError(
                    f"{self.name}: the table of {name!r} has shape "
                    f"{tuple(tables[name].shape)}, not {tuple(table.shape)}"
                )
            table.assign(tables[name])
        self.has_tables = True

    def call(self, ids: Any, encode_caption: Callable | None = None) -> Any:
        parts = [self.id_embedding(ids)]
        if self.caption_length:
            if encode_caption is None:
                raise ValueError(
                    f"{self.name} needs encode_caption: items have captions"
                )
            words = look_up(self.tables["caption"], ids)
            parts.append(encode_caption(words))
        for name, embedding in zip(self.features, self.feature_embeddings, strict=True):
            values = look_up(self.tables[name], ids)
            vectors = embedding(values)
            if not isinstance(self.features[name], int):
                vectors = masked_mean(vectors, values > 0, axis=-2)
            parts.append(vectors)
        encoded = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
        if self.dense:
            encoded = of_rows(self.dense, encoded)
        if self.mask_zero:
            known = ops.expand_dims(ops.cast(ids > 0, encoded.dtype), -1)
            encoded = encoded * known
        return encoded

    def compute_output_shape(self, ids_shape):
        width = self.units or self.embedding_dim + sum(self.feature_dims)
        return (*ids_shape, width)

    def get_config(self):
        return {
            **super().get_config(),
            "num_ids": self.num_ids,
            "features": self.features,
            "embedding_dim": self.embedding_dim,
            "units": self.units,
            "activation": self.activation,
            "caption_length": self.caption_length,
            "mask_zero": self.mask_zero,
            "feature_dims": self.feature_dims,
        }
