"""What the training losses read of a target's row, and what of a dataset they need."""

import numpy as np
import tensorflow as tf

from sar_tf.data.batch_settings import BatchSettings
from sar_tf.data.replacements import (
    Replacements,
    draw_replacements,
    index_replacements,
)
from sar_tf.data.similar_items import SimilarItems, draw_similar, index_similar
from sar_tf.data.training_pairs import read_training_pairs
from sar_tf.data.words import cumulative_shares, item_captions, word_counts


class BatchLabels(BatchSettings):
    """The part of a `BatchPipeline` that makes labels; tables are made once."""

    def _needs_some(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self.made_inputs)

    def _label(self, task: str, rows: dict, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the training losses read of each of a task's rows."""
        labels: dict[str, tf.Tensor] = {"is_last": rows["is_last"]}
        if task != "search":
            if self._needs_replacements:
                labels |= draw_replacements(
                    self._replacements, rows, self.query_words, seed
                )
            return labels
        labels["target_user"], labels["target_query"] = rows["user"], rows["query"]
        if "item_words" in self.made_inputs:
            captions = self._captions
            if captions is None:
                labels["item_words"] = tf.gather(self.query_words, rows["query"])
            else:
                labels["item_words"] = tf.gather(captions, rows["candidates"][:, 0])
        if "similar_items" in self.made_inputs:
            labels["similar_items"] = draw_similar(
                self._similar_items, rows["clicked_items"], seed
            )
        return labels

    @property
    def _captions(self) -> tf.Tensor | None:
        """Words of every item's caption `(num_items + 1, W)`; None without captions."""
        if "caption" not in self.dataset.info.features.get("item", {}):
            return None
        width = self._limit("max_query_words")
        return self._constant(
            ("captions", width), lambda: item_captions(self.dataset, width)
        )

    @property
    def _word_shares(self) -> tf.Tensor:
        return self._constant(
            "word_shares",
            lambda: cumulative_shares(word_counts(self.dataset, self._training_pairs)),
        )

    @property
    def _similar_items(self) -> SimilarItems:
        return self._constant(
            "similar_items",
            lambda: index_similar(self.dataset, self._training_pairs),
        )

    @property
    def _needs_replacements(self) -> bool:
        return self._needs_some("other_") or self._needs_some("random_")

    @property
    def _replacements(self) -> Replacements:
        info = self.dataset.info
        return self._constant(
            "replacements",
            lambda: index_replacements(
                self.training_edges, info.num_queries, info.num_items
            ),
        )

    @property
    def _training_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The query and the positive of every training target of search."""
        return self._cached("training_pairs", lambda: read_training_pairs(self.dataset))
