"""What the models of personalized search share: the query, the texts, the history."""

from typing import Any, Literal

from keras import ops

from sar_tf.layers.clicked_items import clicks_in_time, newest_in_time, take_slots
from sar_tf.layers.embeddings import QueryEncoder
from sar_tf.layers.word_prediction import WordPrediction
from sar_tf.models.dot_product import DotProductModel
from sar_tf.models.encoders import ItemEncoder, add_item_encoder
from sar_tf.settings import Few, Size, Weight

History = Literal["rec", "search", "both"]
_NEEDS = {
    "rec": ("rec_items",),
    "search": ("clicked_items",),
    "both": ("rec_items", "rec_positions", "clicked_items", "search_positions"),
}


class SearchModel(DotProductModel):
    """A model of search: `score = <M, e(candidate)>`, M the intent of user and query.

    A subclass implements `intent`. Its query is `q = tanh(W mean(word vectors) + b)`.
    The text loss lets an item predict the words of its text, its caption, or where
    items have none the query that the click belongs to (see `WordPrediction`).

    Args:
        spec, tables, tasks: As `Model`.
        embedding_dim: Width of the embeddings of an item's id and features before the
            item encoder's dense layer.
        hidden_dim: Width D of words, queries and items.
        item_encoder: What an item's vector is made of, its id and features or its id.
        item_bias: Whether a candidate's score has a bias of its own.
        text_weight: Weight of the loss by which items predict the words of their texts.
        word_negatives: Drawn words that a word of a text is compared with.
        original_loss: Whether the loss is the sum of the candidates' cross-entropies
            and the text loss, instead of the mean that all models have.

    Raises:
        ValueError: The dataset's queries have no words.
    """

    tasks = ("search",)
    needs: tuple[str, ...] = ("query_words",)

    def __init__(
        self,
        spec,
        tables=None,
        *,
        embedding_dim: Size = 32,
        hidden_dim: Size = 64,
        item_encoder: ItemEncoder = "features",
        item_bias: bool = False,
        text_weight: Weight = 0.0,
        word_negatives: Few = 5,
        original_loss: bool = False,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)
        if not self.spec.num_words:
            raise ValueError(
                f"{type(self).__name__} finds items by the words of queries, and the "
                "queries of this dataset have none; take a dataset with searches"
            )
        self.encoder_kind = item_encoder
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.original_loss = original_loss
        self.query_encoder = QueryEncoder(self.spec.num_words, hidden_dim, hidden_dim)
        add_item_encoder(self, item_encoder, embedding_dim, hidden_dim)
        if item_bias:
            self.add_item_bias()
        self.text_weight = 1.0 if original_loss else text_weight
        if self.text_weight:
            self.needs += ("item_words", "sampled_words")
            self.loss_weights["text_loss"] = self.text_weight
            self.word_prediction = WordPrediction(
                self.spec.num_words, word_negatives, name="word_prediction"
            )

    def intent(
        self, task: str, encoded: Any, target: dict[str, Any], training: bool
    ) -> Any:
        """The vector M `(B, D)` of each target; arguments as those of `read`."""
        raise NotImplementedError(f"{type(self).__name__} has no method intent")

    def vector(self, task, encoded, target, training):
        return self.with_one(self.intent(task, encoded, target, training))

    def main_loss(self, logits):
        values = super().main_loss(logits)
        if self.original_loss:
            values = values * ops.cast(ops.shape(logits)[1], values.dtype)
        return values

    def losses(self, task, rows, inputs):
        if not self.text_weight:
            return {}
        items = rows["candidates"][:, 0, : self.hidden_dim]
        return {"text_loss": self.predict_words(items, inputs["item_words"], inputs)}

    def predict_words(self, vectors: Any, words: Any, inputs: dict[str, Any]) -> tuple:
        """The losses of vectors that predict texts, and their weights: each `(B,)`.

        Args:
            vectors: `(B, D)`, of items or users.
            words: int `(B, T)`, the words of their texts.
            inputs: As those of `losses`.
        """
        values, has_text = self.word_prediction(
            vectors,
            words,
            inputs["sampled_words"],
            embed=self.query_encoder.word_embedding,
        )
        is_target = inputs.get("is_target", ops.ones_like(has_text))
        return values, ops.logical_and(has_text, is_target)


class HistorySearchModel(SearchModel):
    """A model of search that reads the items of a user's history.

    Items clicked in earlier searches are one sequence, by time and then by the order of
    the clicks, of which the newest are kept, as many as the dataset has slots.

    Args:
        spec, tables, tasks: As `Model`.
        history: What the items are, those clicked in searches ("search"), clicked
            recommendations ("rec") or both of them by time.
    """

    def __init__(self, spec, tables=None, *, history: History = "search", **kwargs):
        super().__init__(spec, tables, **kwargs)
        self.history = history
        self.needs += _NEEDS[history]
        longest = {
            "rec": self.spec.max_rec_history,
            "search": self.spec.max_search_history,
        }
        self.num_items = longest.get(history, max(longest.values()))

    def read_items(self, history: dict[str, Any]) -> tuple[Any, Any]:
        """The items of each history, and the slots that they come from.

        Args:
            history: The histories' arrays.

        Returns:
            Items `(H, N)`, oldest first, and int `(H, N)`: with history="search" the
            slots of the flattened "clicked_items".
        """
        if self.history == "rec":
            return history["rec_items"], None
        items, times = clicks_in_time(
            history["clicked_items"], history.get("search_positions")
        )
        if self.history == "both":
            width = history["clicked_items"].shape[2]
            items = ops.concatenate([history["rec_items"], items], axis=1)
            times = ops.concatenate([history["rec_positions"] * width, times], axis=1)
        slots = newest_in_time(items, times, self.num_items)
        return take_slots(items, slots), slots

    def encode_history(self, history, training):
        """The items' vectors `(H, N, D)` and their mask `(H, N)`."""
        items, _ = self.read_items(history)
        return {"items": self.encode_items(items), "mask": items > 0}
