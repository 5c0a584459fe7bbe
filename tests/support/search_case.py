"""Models of search on small batches, and what they read in plain NumPy."""

import numpy as np

from support.batches import SPEC, batch, feature_tables, random_histories
from support.layer_weights import numpy, randomize

# (recommendations, searches) of each history; SPEC holds at most (4, 3).
SIZES = [(4, 3), (2, 1), (0, 3), (1, 2), (4, 0), (0, 0)]
INPUTS = batch(SPEC, random_histories(SPEC, SIZES))
WIDTH = 6


def small_model(cls, spec=SPEC, **options):
    """A model with random weights."""
    options = {"embedding_dim": 4, "hidden_dim": WIDTH, **options}
    return randomize(cls(spec, feature_tables(spec), **options))


def changed(inputs, part, **arrays):
    """The batch with other arrays in one of its parts."""
    return {**inputs, part: {**inputs[part], **arrays}}


def clicked_row(row, inputs=INPUTS):
    """The newest items that a history's searches clicked, oldest first."""
    items = inputs["history"]["clicked_items"][row].reshape(-1)
    return items[items > 0][-SPEC.max_search_history :]


def item_vectors(model, items):
    return numpy(model.encode_items(np.asarray(items, "int32")))


def query_vectors(model, inputs=INPUTS):
    """tanh(W mean(words) + b) of each target's query."""
    encoder, rows = model.query_encoder, []
    for words in inputs["search"]["query_words"]:
        words = words[words > 0]
        mean = numpy(encoder.word_embedding.embeddings)[words].sum(0)
        mean = mean / max(len(words), 1)
        rows.append(mean @ numpy(encoder.dense.kernel) + numpy(encoder.dense.bias))
    return np.tanh(rows)


def numpy_f(model, query, item):
    """f(q, h) of AEM and ZAM, of three queries."""
    layer = model.attention
    asked = query @ numpy(layer.queries.kernel) + numpy(layer.queries.bias)
    return np.tanh(asked).reshape(3, WIDTH) @ item @ numpy(layer.mix)[:, 0]


def logits_of(model, inputs=INPUTS):
    """The candidates' logits, from the scores."""
    scores = numpy(model.score("search", inputs)).astype("float64")
    return np.log(scores / (1 - scores))


def dot_logits(model, intents, inputs=INPUTS):
    """<M, e(candidate)> of each target's vector M and candidates."""
    items = item_vectors(model, inputs["search"]["candidates"])
    return np.einsum("bd,bcd->bc", intents, items)


def softplus(x):
    return np.log1p(np.exp(x))


def word_costs(model, vectors, texts, inputs=INPUTS):
    """The text loss of each vector that predicts a text; None where it has no word."""
    table = numpy(model.query_encoder.word_embedding.embeddings)
    bias = numpy(model.word_prediction.word_bias)
    drawn = inputs["search"]["sampled_words"]
    costs = []
    for vector, text in zip(vectors, texts, strict=True):
        text = text[text > 0]
        if not len(text):
            costs.append(None)
            continue
        own = softplus(-(table[text] @ vector + bias[text])).mean()
        costs.append(own + 5 * softplus(table[drawn] @ vector + bias[drawn]).mean())
    return costs
