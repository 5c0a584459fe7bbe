import numpy as np
import tensorflow as tf
from support.batches import SPEC
from support.tiny_model import given

from sar_tf.serving import constants


def traced(model):
    contexts, large = constants.with_constants(model)

    @tf.function
    def score():
        with contexts():
            return model.item_encoder(np.arange(3))

    return score, large


def test_small_weights_are_constants():
    """A graph keeps them, whatever the model's weights become."""
    model = given()
    table = model.item_encoder.id_embedding.embeddings
    table.assign(np.arange(SPEC.num_items + 1.0)[:, None])
    score, large = traced(model)
    assert score()[:, 0].numpy().tolist() == [0, 1, 2]
    assert not large and not score.get_concrete_function().variables
    table.assign(np.zeros((SPEC.num_items + 1, 1)))
    assert score()[:, 0].numpy().tolist() == [0, 1, 2]


def test_large_weights_stay_variables(monkeypatch):
    monkeypatch.setattr(constants, "_LARGEST", SPEC.num_items)
    model = given()
    table = model.item_encoder.id_embedding.embeddings
    table.assign(np.ones((SPEC.num_items + 1, 1)))
    score, large = traced(model)
    assert [variable.path for variable in large] == [table.path]
    assert score()[:, 0].numpy().tolist() == [1, 1, 1]
    table.assign(np.zeros((SPEC.num_items + 1, 1)))
    assert score()[:, 0].numpy().tolist() == [0, 0, 0]


def test_look_ups_count_no_ids_from_the_end():
    """Keras' `take` compares each id with 0; `Model.score` leaves none below."""
    score, _ = traced(given())
    graph = score.get_concrete_function().graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "GatherV2" in kinds and "Less" not in kinds
