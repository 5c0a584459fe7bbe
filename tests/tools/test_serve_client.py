import http.server
import json
import threading

import pytest
import tensorflow as tf
from support.amazon_log import amazon_dataset
from support.layer_weights import randomize
from support.tiny_model import Tiny

import sar_tf
from tools import serve_client
from tools.serve_client import main

NAME = "/v1/models/tiny"


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    data = sar_tf.open_dataset(amazon_dataset(folder), max_rec_history=5)
    sar_tf.export(randomize(Tiny(data.spec, data.tables)), folder / "1", data)
    return folder / "1"


@pytest.fixture(scope="module")
def url(saved_model):
    """A server that answers as TensorFlow Serving's REST API is described."""
    signatures = tf.saved_model.load(saved_model).signatures

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != f"{NAME}/metadata":
                return self.answer(404, {"error": f"Malformed request: {self.path}"})
            defs = {
                name: {"inputs": {key: {} for key in f.structured_input_signature[1]}}
                for name, f in signatures.items()
            }
            metadata = {"signature_def": {"signature_def": defs}}
            return self.answer(200, {"metadata": metadata})

        def do_POST(self):
            assert self.path == f"{NAME}:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            signature = signatures[body["signature_name"]]
            specs = signature.structured_input_signature[1]
            assert body["inputs"].keys() == specs.keys()
            try:
                outputs = signature(
                    **{
                        n: tf.constant(x, specs[n].dtype)
                        for n, x in body["inputs"].items()
                    }
                )
            except tf.errors.InvalidArgumentError as error:
                return self.answer(400, {"error": error.message})
            values = {
                n: [
                    [v.decode() if isinstance(v, bytes) else v for v in row]
                    for row in x
                ]
                for n, x in ((n, x.numpy().tolist()) for n, x in outputs.items())
            }
            one = next(iter(values.values()))
            return self.answer(200, {"outputs": values if len(values) > 1 else one})

        def answer(self, code, content):
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{NAME}"
    server.shutdown()
    thread.join()


REQUEST = {
    "user": "A3",
    "events": [
        {"type": "search", "time": 7, "query": "oil", "clicked_items": ["B00001"]},
        {"type": "rec", "time": 5, "item": "B00002"},
    ],
    "query": "Oil & SKIN",
}


@pytest.fixture
def ask(saved_model, url, tmp_path, capsys, monkeypatch):
    """Lines that the client prints: ask(task, request, where)."""
    # TensorFlow has begun in this process: its threads cannot be set any more.
    monkeypatch.setattr(serve_client, "use_threads", lambda number: None)

    def run(task, request, where):
        file = tmp_path / "request.json"
        file.write_text(json.dumps(request))
        place = f"--url={url}" if where == "url" else f"--saved_model={saved_model}"
        main([place, f"--task={task}", f"--request={file}"])
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize("task", ["rec", "search"])
def test_both_ways_give_the_same(ask, task):
    best = ask(task, {**REQUEST, "k": 4}, "url")
    assert len(best) == 4 and best == sorted(best, reverse=True)
    assert best == ask(task, {**REQUEST, "k": 4}, "folder")
    items = [line.split()[1] for line in best]
    ranked = {**REQUEST, "candidates": [items[2], "unknown", items[0]]}
    lines = ask(task, ranked, "url")
    assert lines == ask(task, ranked, "folder")
    assert {best[0], best[2]} < set(lines) and len(lines) == 3
    others = ask(task, {**REQUEST, "k": 3, "excluded_items": items[:1]}, "url")
    assert others == best[1:]


def test_a_user_without_events(ask):
    assert len(ask("rec", {}, "url")) == 10
    assert ask("rec", {"events": []}, "url") == ask("rec", {}, "folder")


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"users": "A3"}, "has 'users'; it may have"),
        ({"events": [{"typ": "rec"}]}, "event 0 has 'typ'; it may have"),
        ({"events": ["rec"]}, "event 0 must be an object of"),
        ([], "must be an object of"),
        ({"user": 3}, "user must be a text, not 3"),
        ({"k": True}, "k must be an integer, not True"),
        ({"events": None}, "events must be a list, not None"),
        ({"candidates": [1004]}, "candidates must be a list of texts, not [1004]"),
        (
            {"events": [{"clicked_items": "B00001"}]},
            "event 0: clicked_items must be a list, not 'B00001'",
        ),
        ({"events": [{"type": "buy"}]}, "history_types must be rec, search or empty"),
        ({"events": [{"type": "rec", "time": 2**63}]}, "retrieve_rec: "),
    ],
)
def test_bad_requests_are_one_line(ask, request_, problem):
    with pytest.raises(SystemExit) as error:
        ask("rec", request_, "folder")
    message = str(error.value)
    assert message.startswith("tools.serve_client: ") and problem in message
    assert "\n" not in message


def test_a_server_that_refuses(ask, url, tmp_path):
    with pytest.raises(SystemExit, match=r"400 .*history_types must be rec"):
        ask("rec", {"events": [{"type": "buy"}]}, "url")
    file = tmp_path / "empty.json"
    file.write_text("{}")
    for bad in (url.replace("tiny", "other"), "http://127.0.0.1:9/v1/models/x"):
        with pytest.raises(SystemExit, match=f"{bad}/metadata: "):
            main([f"--url={bad}", "--task=rec", f"--request={file}"])


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SystemExit, match="No such file"):
        main(["--url=http://x", "--task=rec", f"--request={tmp_path / 'none'}"])
    (tmp_path / "bad").write_text("{")
    with pytest.raises(SystemExit, match="is no JSON"):
        main(["--url=http://x", "--task=rec", f"--request={tmp_path / 'bad'}"])


def test_a_request_without_a_time_is_of_its_newest_event():
    events = [{"type": "rec", "time": time, "item": "1"} for time in (3, 9, 5)]
    arrays = serve_client.make_arrays({"events": events})
    assert arrays["time"] == [9]
    assert serve_client.make_arrays({"events": events, "time": 12})["time"] == [12]
    assert serve_client.make_arrays({})["time"] == [0]
