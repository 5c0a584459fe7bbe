"""Writes a model as a SavedModel that ranks candidates from dense ids."""

import keras
import tensorflow as tf

from sar_tf.files import whole_folder


def export(model, path):
    """Writes a SavedModel with one signature a task: rank_rec, rank_search.

    A signature takes what `input_signature` lists, by name, and returns "scores"
    (B, C): the probability of a click on each candidate. The SavedModel needs only
    TensorFlow to load. It appears when complete; one that is there already is replaced.

    Args:
        model: A built `sar_tf.models.Model`.
        path: The folder, by TensorFlow Serving's rule named by a version number.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for task in model.tasks:
        archive.add_endpoint(
            f"rank_{task}",
            _ranker(model, task),
            input_signature=[input_signature(task, model.data_spec)],
        )
    with whole_folder(path, replace=True) as beside:
        archive.write_out(beside, verbose=False)


def input_signature(task, spec):
    """Names, shapes and types of a signature's inputs.

    All are int32, but search_mask, which is bool. B rows, C candidates, history slots
    N, words W and clicked items K as the model was trained with; empty slots are 0.

        user (B,), candidates (B, C)
        query (B,), query_words (B, W)      search only
        rec_items, rec_positions (B, N)
        search_queries, search_sources, search_mask, search_positions (B, N)
        search_words (B, N, W), clicked_items (B, N, K)

    Args:
        task: "rec" or "search".
        spec: The model's `DataSpec`.

    Returns:
        {name: tf.TensorSpec}
    """
    shapes = {"user": (), "candidates": (None,)}
    if task == "search":
        shapes |= {"query": (), "query_words": (spec.max_query_words,)}
    shapes |= _history_shapes(spec)
    return {
        name: tf.TensorSpec(
            (None, *shape), tf.bool if name == "search_mask" else tf.int32, name
        )
        for name, shape in shapes.items()
    }


def _history_shapes(spec):
    recs, searches = spec.max_rec_history, spec.max_search_history
    return {
        "rec_items": (recs,),
        "rec_positions": (recs,),
        "search_queries": (searches,),
        "search_words": (searches, spec.max_query_words),
        "clicked_items": (searches, spec.max_clicked_items),
        "search_sources": (searches,),
        "search_mask": (searches,),
        "search_positions": (searches,),
    }


def _ranker(model, task):
    history_names = set(_history_shapes(model.data_spec))

    def rank(features):
        history = {name: features[name] for name in history_names}
        inputs = {n: v for n, v in features.items() if n not in history_names}
        inputs["row"] = tf.range(tf.shape(features["user"])[0])
        inputs["history"] = (history,)
        return {"scores": model.score(task, inputs)}

    return rank
