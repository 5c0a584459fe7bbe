"""SESRec against the NumPy model of the paper's equations."""

import functools

import numpy as np
import pytest
from support.batches import SPEC, feature_tables, random_histories
from support.layer_weights import dense, encoder, numpy
from support.numpy_sesrec import SCENARIOS, NumpySESRec
from support.sesrec_case import losses_of, rec_batch, scores_of, small_model

from sar_tf.layers.interest_contrast import SPLITS

# (recommendations, searches) of each history; SPEC holds at most (4, 3). They are
# full, short, of an odd length (whose median is one of the weights), without one
# behavior or without both, and of a single behavior. The last two rows are padding.
SIZES = [(4, 3), (3, 3), (3, 1), (2, 2), (1, 2), (1, 1)]
SIZES += [(0, 3), (4, 0), (0, 1), (1, 0), (0, 0)]
NUM_PADDED = 2
SLOTS = {"rec": SPEC.max_rec_history, "search": SPEC.max_search_history}


@functools.cache
def shared_case(co_attention):
    """A model, its histories and their batch; building takes seconds."""
    model = small_model(co_attention=co_attention)
    # Weights that differ so much that all four thresholds lie between some.
    for kernel in (model.co_attention.rec_kernel, model.co_attention.search_kernel):
        kernel.assign(3 * numpy(kernel))
    sizes = [*SIZES, *[(0, 0)] * NUM_PADDED]
    histories = random_histories(SPEC, sizes, seed=4)
    inputs = rec_batch(SPEC, histories)
    inputs["rec"]["is_target"][-NUM_PADDED:] = False
    return model, _with_ids(histories, inputs["history"]), inputs


def _with_ids(histories, arrays):
    """Histories as the NumPy model takes them: with query ids and sources."""
    result = []
    for row, history in enumerate(histories):
        searches = [content for kind, *content in history if kind == "search"]
        slots = zip(
            arrays["search_queries"][row], arrays["search_sources"][row], strict=True
        )
        searches = [
            (query, *content, source)
            for content, (query, source) in zip(searches, slots, strict=False)
        ]
        items = [content[0] for kind, *content in history if kind == "rec"]
        result.append({"rec": items, "search": searches})
    return result


@pytest.fixture(params=["reference", "paper"])
def case(request):
    """The shared case, whose weights and options return to what they were."""
    model, histories, inputs = shared_case(request.param)
    weights = model.get_weights()
    split = model.split
    yield model, histories, inputs
    model.set_weights(weights)
    model.split = split


def reference(model):
    """The NumPy model with a model's weights and options."""
    tables = feature_tables(SPEC)
    del tables["item"]["caption"]
    options = {
        "num_heads": 2,
        "split": model.split,
        "triplet_margin": model.interest_contrast.margin,
        "co_attention": model.co_attention.variant,
    }
    return NumpySESRec(_state(model), tables, SLOTS, options)


def _state(model):
    co_attention, query = model.co_attention, model.query_encoder
    state = {
        "query.id": query.query_embedding.embeddings,
        "query.word": query.word_embedding.embeddings,
        "source": model.source_embedding.embeddings,
        "co_attention.affinity": co_attention.affinity_kernel,
        "co_attention.rec": co_attention.rec_kernel,
        "co_attention.search": co_attention.search_kernel,
        "alignment.kernel": model.query_item_contrast.kernel,
        "alignment.temperature": model.query_item_contrast.temperature,
    }
    for kind, entity in (("item", model.item_encoder), ("user", model.user_encoder)):
        state[f"{kind}.id"] = entity.id_embedding.embeddings
        for name, layer in zip(entity.features, entity.feature_embeddings, strict=True):
            state[f"{kind}.{name}"] = layer.embeddings
    for scenario in SCENARIOS:
        position = model.position_embedding[scenario].embeddings
        state[f"{scenario}.position"] = position
        state[f"{scenario}.target"] = model.target_attention[scenario].kernel
    state = {name: numpy(variable) for name, variable in state.items()}
    state |= dense(model.item_encoder.dense, "item.dense")
    state |= dense(query.dense, "query.dense")
    for i, layer in enumerate([*model.prediction.hidden, model.prediction.logit]):
        state |= dense(layer, f"prediction.{i}")
    for scenario in SCENARIOS:
        for i, layer in enumerate(model.encoders[scenario]):
            weights = encoder(layer)
            state |= {f"{scenario}.layers.{i}.{n}": x for n, x in weights.items()}
    return state


def assert_same(model, histories, inputs):
    """Both sides of the split, scores and every loss."""
    expected = reference(model)
    masks = model.encode_history(inputs["history"], training=False)["masks"]
    for scenario in SCENARIOS:
        _, *sides = map(numpy, masks[scenario])
        for row, history in enumerate(histories):
            _, _, *slots = expected.interests(history)[scenario]
            found = [np.flatnonzero(side[row]).tolist() for side in sides]
            assert found == slots, (scenario, row)
    scores = expected.scores(histories, inputs["rec"])
    np.testing.assert_allclose(scores_of(model, inputs), scores, rtol=0, atol=1e-5)
    losses = expected.losses(histories, inputs["rec"])
    assert losses_of(model, inputs) == pytest.approx(losses, rel=0, abs=1e-4)


@pytest.mark.parametrize("split", SPLITS)
def test_random_weights(case, split):
    """The median of an odd number of slots is a tie: one weight equals it."""
    model, histories, inputs = case
    model.split = split
    assert_same(model, histories, inputs)


@pytest.mark.parametrize("split", ["mean", "median"])
def test_equal_co_attention_weights(case, split):
    """All slots tie at the threshold: both sides get all."""
    model, histories, inputs = case
    model.split = split
    kernel = model.co_attention.affinity_kernel
    kernel.assign(np.zeros(kernel.shape))
    assert_same(model, histories, inputs)


def test_small_inputs_of_the_norms(case):
    """Behaviors so small that the epsilon of the layer norm counts."""
    model, histories, inputs = case
    small = [model.item_encoder.dense, model.query_encoder.dense]
    small += [model.source_embedding, *model.position_embedding.values()]
    for layers in model.encoders.values():
        small += [layer.attention.output_dense for layer in layers]
    for layer in small:
        layer.set_weights([1e-3 * x for x in layer.get_weights()])
    assert_same(model, histories, inputs)
