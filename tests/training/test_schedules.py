import keras
import numpy as np
import pytest

from sar_tf.training.schedules import WarmupDecay


def rates(steps, **arguments):
    schedule = WarmupDecay(1.0, **arguments)
    return [float(schedule(step)) for step in steps]


def test_warm_up_rises_in_a_straight_line():
    expected = [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(range(5), total_steps=10, warmup_steps=4) == pytest.approx(expected)


def test_cosine_by_hand():
    found = rates([0, 4, 6, 8, 20], total_steps=8, lowest=0.2)
    expected = [1.0, 0.6, 0.2 + 0.4 * (1 + np.cos(0.75 * np.pi)), 0.2, 0.2]
    assert found == pytest.approx(expected)


def test_linear_by_hand():
    found = rates([0, 2, 5, 8], total_steps=8, warmup_steps=2, shape="linear")
    assert found == pytest.approx([0.5, 1.0, 0.5, 0.0])


def test_round_trip():
    schedule = WarmupDecay(0.5, 10, 2, 0.1, "linear")
    copy = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(schedule)
    )
    assert copy.get_config() == schedule.get_config()


@pytest.mark.parametrize("arguments", [{"warmup_steps": 5}, {"shape": "square"}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=r"warmup_steps=5|square"):
        WarmupDecay(1.0, 5, **arguments)
