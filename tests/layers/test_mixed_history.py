import numpy as np
from support.layer_weights import numpy

from sar_tf.layers.mixed_history import mix, sessions_by_number, times_of_tokens


def test_the_newest_behaviors_are_session_0():
    """Recommendations at 0, 2 and 3, searches at 1 and 4; one slot is empty."""
    positions = mix(*(np.array([x], "int32") for x in ([0, 2, 3, 5], [1, 4])))
    mask = mix(np.array([[True] * 3 + [False]]), np.array([[True] * 2]))
    session = numpy(sessions_by_number(positions, mask, 2))
    assert session[numpy(mask)].tolist() == [2, 1, 0, 1, 0]


def test_a_searchs_clicks_follow_its_query():
    """A recommendation, a search, a recommendation: 0, 3 with 4 and 5, 6."""
    rec, search = np.array([[0, 2]], "int32"), np.array([[1]], "int32")
    times = numpy(times_of_tokens(rec, search, 2))
    assert times.tolist() == [[0, 6, 3, 4, 5]]
