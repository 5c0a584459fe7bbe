"""NRHUB's views of a user in NumPy, one history at a time and without padding."""

import numpy as np

from support.layer_weights import numpy


def dense(layer, x):
    return np.tanh(x @ numpy(layer.kernel) + numpy(layer.bias))


def additive_attention(layer, vectors):
    logits = dense(layer.hidden, vectors) @ numpy(layer.logit.kernel)[:, 0]
    weights = np.exp(logits) / np.exp(logits).sum()
    return weights @ vectors


def user_vector(model, history, row, rec=None, rebuild=lambda pooled: pooled):
    """A user's vector from the views that hold something.

    Args:
        model: A model with `UserViews`.
        history: The batch's "history".
        row: The history's row.
        rec: `(H, Nr, D)` in place of the vectors of clicked recommendations.
        rebuild: What becomes of the pooled vector of the recommendations.
    """
    own = {name: x[row] for name, x in history.items() if x.ndim > 1}
    items, clicked = own["rec_items"], own["clicked_items"].reshape(-1)
    rec = numpy(model.encode_items(items)) if rec is None else rec[row]
    views = {
        "rec": rec[items > 0],
        "query": numpy(model.encode_queries(own["search_words"][own["search_mask"]])),
        "clicked": numpy(model.encode_items(clicked[clicked > 0])),
    }
    pooled = {
        view: additive_attention(model.attentions[view], vectors)
        for view, vectors in views.items()
        if len(vectors)
    }
    if "rec" in pooled:
        pooled["rec"] = rebuild(pooled["rec"])
    if not pooled:
        return np.zeros(model.of_view.units)
    z = np.array([dense(model.of_view, vector) for vector in pooled.values()])
    return additive_attention(model.view_attention, z)
