"""Requests that TensorFlow Serving sends to a new model before it serves users.

The first call of a signature optimizes its graph, which takes seconds. TensorFlow
Serving reads the requests from `assets.extra/tf_serving_warmup_requests`: records of
`PredictionLog`, a message of tensorflow_serving/apis/prediction_log.proto. Its parts
are written here by their field numbers, so that export needs no package for them.
"""

import os
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_CANDIDATES, _ITEMS = 100, 10
# Field numbers: PredictionLog.predict_log, PredictLog.request; of PredictRequest and
# of its ModelSpec; of an entry of a map.
_PREDICT_LOG, _REQUEST = 6, 1
_MODEL_SPEC, _INPUTS, _SIGNATURE_NAME = 1, 2, 3
_KEY, _VALUE = 1, 2


def write_warmup(
    path: str | os.PathLike, signatures: Mapping[str, Mapping[str, tf.TensorSpec]]
) -> None:
    """Writes one request of each signature: one user of whom nothing is known.

    Args:
        path: The file.
        signatures: {name: {input: its specification}}.
    """
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for name, inputs in signatures.items():
            arrays = {n: _blank(n, spec) for n, spec in inputs.items()}
            writer.write(_prediction_log(name, arrays))


def _blank(name: str, spec: tf.TensorSpec) -> np.ndarray:
    shape = [1 if size is None else size for size in spec.shape]
    if name == "candidates":
        shape[-1] = _CANDIDATES
    if spec.dtype == tf.string:
        return np.full(shape, "", object)
    return np.full(shape, _ITEMS if name == "k" else 0, spec.dtype.as_numpy_dtype)


def _prediction_log(signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    entries = [
        _message(
            (_KEY, name.encode()),
            (_VALUE, tf.make_tensor_proto(array).SerializeToString()),
        )
        for name, array in sorted(inputs.items())
    ]
    request = _message(
        (_MODEL_SPEC, _message((_SIGNATURE_NAME, signature.encode()))),
        *((_INPUTS, entry) for entry in entries),
    )
    return _message((_PREDICT_LOG, _message((_REQUEST, request))))


def _message(*fields: tuple[int, bytes]) -> bytes:
    """A message of Protocol Buffers whose fields are texts or messages."""
    return b"".join(_field(number, content) for number, content in fields)


def _field(number: int, content: bytes) -> bytes:
    with_length = 2  # The wire type.
    return bytes(_varint([number << 3 | with_length, len(content)])) + content


def _varint(numbers: Iterable[int]) -> Iterable[int]:
    for number in numbers:
        while number > 127:
            yield number & 127 | 128
            number >>= 7
        yield number
