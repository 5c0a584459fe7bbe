"""Steps of a Beam pipeline on pairs, such as (part, rows)."""

from collections.abc import Callable
from typing import Any

import apache_beam as beam


def map_pairs(label: str, function: Callable, **inputs: Any) -> beam.PTransform:
    """A step that calls `function(first, second, **inputs)` for each pair.

    `beam.MapTuple` is this only for functions whose other arguments have defaults.

    Args:
        label: Name of the step.
        function: Gives one result.
        inputs: Side inputs, and constants.
    """
    return label >> beam.Map(lambda pair, **own: function(*pair, **own), **inputs)


def flat_map_pairs(label: str, function: Callable, **inputs: Any) -> beam.PTransform:
    """As `map_pairs`, for a function that gives any number of results."""
    return label >> beam.FlatMap(lambda pair, **own: function(*pair, **own), **inputs)
