import dataclasses

import numpy as np
import pytest
from support.rows import read_epoch, to_numpy

from sar_tf.data.unknown import FORGOTTEN
from sar_tf.inputs import INPUTS

SHARE = 0.25


@pytest.fixture(scope="module")
def forgetful(pipeline):
    return dataclasses.replace(pipeline, unknown_share=SHARE)


@pytest.fixture(scope="module")
def pairs(pipeline, forgetful, epoch):
    """(part, name, array, the same of the forgetful pipeline) of all batches."""
    return [
        (part, name, array, other[part][name])
        for batch, other in zip(epoch, read_epoch(forgetful), strict=True)
        for part, arrays in batch.items()
        for name, array in arrays.items()
    ]


def test_a_share_of_ids_becomes_0(pairs):
    assert set(FORGOTTEN) < set(INPUTS)
    for wanted in FORGOTTEN:
        lost = total = 0
        for _, name, array, other in pairs:
            if name == wanted:
                np.testing.assert_array_equal(other[other != 0], array[other != 0])
                lost += np.count_nonzero(array) - np.count_nonzero(other)
                total += np.count_nonzero(array)
        deviation = (SHARE * (1 - SHARE) / total) ** 0.5
        assert abs(lost / total - SHARE) < 5 * deviation, wanted


def test_all_else_stays(pairs):
    others = {name for _, name, *_ in pairs} - set(FORGOTTEN)
    assert {"rec_items", "clicked_items", "pair_items", "search_mask"} < others
    for _, name, array, other in pairs:
        if name in others:
            np.testing.assert_array_equal(array, other, name)


def test_each_input_task_and_step_is_drawn_anew(pairs):
    lost = [other == 0 for _, name, _, other in pairs if name == "candidates"]
    big = [mask.tobytes() for mask in lost if mask.size >= 40]
    assert len(big) > 6 and len(set(big)) == len(big)


def test_a_draw_is_repeated_by_the_seed(forgetful):
    first, second = (read_epoch(forgetful)[1]["rec"] for _ in range(2))
    np.testing.assert_array_equal(first["candidates"], second["candidates"])
    again = read_epoch(forgetful, epoch=1)[1]["rec"]["candidates"]
    assert (again == 0).any() and not np.array_equal(again, first["candidates"])


def test_evaluation_forgets_nothing(pipeline, forgetful):
    for batch, other in zip(
        to_numpy(pipeline.validation()), to_numpy(forgetful.validation()), strict=True
    ):
        for task in pipeline.tasks:
            for name, array in batch[task].items():
                np.testing.assert_array_equal(array, other[task][name])


def test_a_share_above_1_is_refused(pipeline):
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="unknown_share must be"):
            dataclasses.replace(pipeline, unknown_share=share)
