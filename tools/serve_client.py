"""Asks a served model for the scores of a user's candidates, or for the best items.

    python -m tools.serve_client --saved_model=runs/quickstart/saved_model/1 \\
        --task=rec --request=user.json
    python -m tools.serve_client --url=http://localhost:8501/v1/models/unisar \\
        --task=search --request=user.json

The request is a JSON object in raw ids. It has "candidates", or else the best "k" items
of the catalogue are asked for, without "excluded_items":

    {"user": "17",
     "events": [{"type": "rec", "time": 1686000000, "item": "1004"},
                {"type": "search", "time": 1686000060, "query": "70 9",
                 "source": "HISTORY", "clicked_items": ["1009"]}],
     "query": "9",
     "candidates": ["1001", "1002"]}

Its "time" is when the user asks, which some models read: that of the newest event where
it is left out.

It prints one item a line with its score, the highest first.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from sar_tf.startup import import_tensorflow, use_small_kernels, use_threads

PROGRAM = "tools.serve_client"
_SECONDS = 60  # Longest wait for a server.
# What a request and an event may have; a value is of the type of what stands for none.
_REQUEST: dict[str, Any] = {
    "user": "",
    "events": [],
    "query": "",
    "time": 0,
    "candidates": [],
    "k": 10,
    "excluded_items": [],
}
_EVENT: dict[str, Any] = {
    "type": "",
    "time": 0,
    "item": "",
    "query": "",
    "source": "",
    "clicked_items": [],
}
_TYPES = {str: "a text", int: "an integer", list: "a list"}


class RequestError(ValueError):
    """A request that cannot be sent or answered; says why, in one line."""


def main(argv: list[str] | None = None) -> None:
    """Runs a command line; an error is one line and the exit status 1."""
    args = _make_parser().parse_args(argv)
    try:
        request = read_request(args.request)
        served = open_url(args.url) if args.url else open_saved_model(args.saved_model)
        for item, score in ask(served, args.task, request):
            print(f"{score:.6f}  {item}")
    except (RequestError, OSError) as error:
        sys.exit(f"{PROGRAM}: {error}")


class Served:
    """A model that answers.

    Args:
        input_names: {signature: names of its inputs}.
        call: From a signature's name and {input: nested lists} to {output: lists}.
    """

    def __init__(
        self,
        input_names: Mapping[str, Collection[str]],
        call: Callable[[str, dict[str, Any]], dict[str, Any]],
    ) -> None:
        self.input_names = input_names
        self.call = call


def open_saved_model(path: str | Path) -> Served:
    """Loads a SavedModel into this process.

    Raises:
        OSError: There is none.
    """
    use_small_kernels()
    import_tensorflow()
    use_threads(1)
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    specs = {n: f.structured_input_signature[1] for n, f in loaded.signatures.items()}

    def call(name, inputs):
        tensors = {n: tf.constant(x, specs[name][n].dtype) for n, x in inputs.items()}
        try:
            outputs = loaded.signatures[name](**tensors)
        except tf.errors.OpError as error:
            lines = error.message.splitlines()
            # The graph's own reason stands among TensorFlow's lines.
            reasons = [line for line in lines if line.startswith("assertion failed")]
            raise RequestError(f"{name}: {(reasons or lines)[0]}") from error
        # Strings are bytes.
        return {
            n: [[getattr(v, "decode", lambda v=v: v)() for v in row] for row in x]
            for n, x in ((n, x.numpy().tolist()) for n, x in outputs.items())
        }

    return Served(specs, call)


def open_url(url: str) -> Served:
    """A model of TensorFlow Serving's REST API.

    Args:
        url: Such as http://localhost:8501/v1/models/unisar.

    Raises:
        RequestError: The server does not answer or does not know the model.
    """
    url = url.rstrip("/")
    found = _fetch(f"{url}/metadata")
    try:
        signatures = found["metadata"]["signature_def"]["signature_def"]
        names = {name: entry["inputs"].keys() for name, entry in signatures.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise RequestError(f"{url}/metadata tells no signatures ({error!r})") from error

    def call(name, inputs):
        body = {"signature_name": name, "inputs": inputs}
        outputs = _fetch(f"{url}:predict", body)["outputs"]
        # The value itself where there is one output.
        return outputs if isinstance(outputs, dict) else {"scores": outputs}

    return Served(names, call)


def _fetch(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(url, data, timeout=_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace").strip()
        raise RequestError(f"{url}: {error.code} {' '.join(text.split())}") from error
    except (OSError, ValueError) as error:
        raise RequestError(f"{url}: {error}") from error


def read_request(path: str | Path) -> dict[str, Any]:
    """Reads and checks a request.

    Raises:
        RequestError: The file is no such JSON.
        OSError: It cannot be read.
    """
    try:
        request = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(f"{path} is no JSON ({error})") from error
    _check(str(path), request, _REQUEST)
    for place, event in enumerate(request.get("events", [])):
        _check(f"{path}: event {place}", event, _EVENT)
    return request


def _check(where, values, empty):
    """Raises RequestError where values have other names or types than `empty`."""
    if not isinstance(values, dict):
        raise RequestError(f"{where} must be an object of {sorted(empty)}")
    for name, value in values.items():
        if name not in empty:
            raise RequestError(f"{where} has {name!r}; it may have {sorted(empty)}")
        expected = _TYPES[type(empty[name])]
        is_right = _TYPES.get(type(value)) == expected
        if is_right and isinstance(value, list) and name != "events":
            expected = "a list of texts"
            is_right = all(isinstance(element, str) for element in value)
        if not is_right:
            raise RequestError(f"{where}: {name} must be {expected}, not {value!r:.80}")


def ask(
    served: Served, task: str, request: Mapping[str, Any]
) -> list[tuple[str, float]]:
    """The items and their scores, the highest first.

    Args:
        served: The model.
        task: "rec" or "search".
        request: What `read_request` reads.

    Raises:
        RequestError: The model has no such signature, or refuses the request.
    """
    is_ranking = "candidates" in request
    name = f"{'rank' if is_ranking else 'retrieve'}_{task}"
    if name not in served.input_names:
        has = ", ".join(sorted(served.input_names))
        raise RequestError(f"the model has no signature {name}; it has {has}")
    arrays = make_arrays(request)
    inputs = {input_name: arrays[input_name] for input_name in served.input_names[name]}
    try:
        outputs = served.call(name, inputs)
    except RequestError:
        raise
    except (TypeError, ValueError) as error:
        raise RequestError(f"{name}: {str(error).splitlines()[0]}") from error
    items = request["candidates"] if is_ranking else outputs["items"][0]
    pairs = zip(items, outputs["scores"][0], strict=True)
    found = [(item, score) for item, score in pairs if item]
    return sorted(found, key=lambda pair: -pair[1])


def make_arrays(request: Mapping[str, Any]) -> dict[str, Any]:
    """All inputs that a signature may ask for, as nested lists of one user."""
    # An array without events has no type in JSON: an event of no type stands in.
    events = [{**_EVENT, **event} for event in request.get("events") or [_EVENT]]
    latest = max(event["time"] for event in events)
    request = {**_REQUEST, "time": latest, **request}
    clicked = [event["clicked_items"] for event in events]
    width = max(1, *map(len, clicked))
    return {
        "user": [request["user"]],
        "query": [request["query"]],
        "time": [request["time"]],
        "candidates": [request["candidates"]],
        "k": request["k"],
        "excluded_items": [request["excluded_items"] or [""]],
        "history_types": [[event["type"] for event in events]],
        "history_times": [[event["time"] for event in events]],
        "history_items": [[event["item"] for event in events]],
        "history_queries": [[event["query"] for event in events]],
        "history_sources": [[event["source"] for event in events]],
        "history_clicked_items": [
            [[*items, *[""] * (width - len(items))] for items in clicked]
        ],
    }


def _make_parser():
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--saved_model", help="folder of a SavedModel, to load here")
    where.add_argument("--url", help="URL of a model of TensorFlow Serving's REST API")
    parser.add_argument("--task", choices=("rec", "search"), required=True)
    parser.add_argument("--request", required=True, help="JSON file of the request")
    return parser


if __name__ == "__main__":
    main()
