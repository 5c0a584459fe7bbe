import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sar_tf.layers import replicas
from sar_tf.training import strategy

LEARNING_RATE = 1e-3  # As in replicated_steps.py.


@pytest.fixture(scope="module")
def steps(simulated_dataset, tmp_path_factory):
    """Runs replicated_steps.py: what one device gives and what replicas give."""
    folder = tmp_path_factory.mktemp("steps")

    @functools.cache
    def run(model, num_replicas):
        output = folder / f"{model}.npz"
        script = Path(__file__).with_name("replicated_steps.py")
        arguments = [simulated_dataset, model, str(num_replicas), output]
        process = subprocess.run(
            [sys.executable, script, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        results = {"one_device": {}, "mirrored": {}}
        with np.load(output) as arrays:
            for key, value in arrays.items():
                strategy_name, _, name = key.partition("/")
                results[strategy_name][name] = value
        return results["one_device"], results["mirrored"]

    return run


@pytest.mark.parametrize(("model", "num_replicas"), [("unisar", 2), ("sesrec", 3)])
def test_replicas_train_as_one_device_with_the_same_batch(steps, model, num_replicas):
    alone, together = steps(model, num_replicas)
    assert alone.keys() == together.keys()
    differences = []
    for name, expected in alone.items():
        if name.startswith("weights/"):
            differences.append(np.abs(together[name] - expected).ravel())
        elif name.startswith(("train/", "test/")):
            assert together[name] == pytest.approx(expected, rel=1e-5), name
        elif name == "ranks/user":
            # All targets, in the order of the records.
            np.testing.assert_array_equal(together[name], expected)
    differences = np.concatenate(differences)
    assert np.quantile(differences, 0.99) < 1e-7
    assert differences.max() < LEARNING_RATE


@pytest.mark.parametrize("negatives", ["reference", "paper"])
@pytest.mark.parametrize(("model", "num_replicas"), [("unisar", 2), ("sesrec", 3)])
def test_in_batch_negatives_are_of_all_replicas(steps, negatives, model, num_replicas):
    alone, together = steps(model, num_replicas)
    for name in ("loss", "kernel", "temperature", "views"):
        expected = alone[f"{negatives}/{name}"]
        assert np.any(expected)
        found = together[f"{negatives}/{name}"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_one_device_is_the_default_strategy():
    chosen = strategy.make_strategy("one_device")
    assert chosen.num_replicas_in_sync == 1
    assert replicas.active().number == 1
    assert strategy.num_workers(chosen) == 1
    assert strategy.Workers(chosen).is_chief


def test_another_strategy_does_not_change_the_replicas_of_the_process():
    before = replicas.active()
    strategy.make_strategy("one_device")
    assert replicas.active() is before


def test_multi_worker_without_a_cluster_is_named(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(strategy.StrategyError, match="needs the variable TF_CONFIG"):
        strategy.make_strategy("multi_worker")


def test_a_tpu_that_is_not_there_is_named():
    with pytest.raises(strategy.StrategyError, match=r"^tpu='nowhere' cannot be"):
        strategy.make_strategy("tpu", "nowhere")


def test_a_worker_alone_agrees_with_itself():
    workers = strategy.Workers(tf.distribute.get_strategy())
    assert workers.any(True) and not workers.any(False)
    with workers.chief_first():
        workers.wait()


def test_a_lost_worker_is_named(monkeypatch):
    error = tf.errors.UnavailableError(
        None, None, "{{node}} Collective ops is aborted by: Socket closed\nMore of it"
    )
    with (
        pytest.raises(tf.errors.UnavailableError),
        strategy.lost_worker_named(strategy.make_strategy("one_device")),
    ):
        raise error
    monkeypatch.setattr(strategy.Workers, "__init__", lambda own, _: None)
    monkeypatch.setattr(strategy.Workers, "are_many", True, raising=False)
    with (
        pytest.raises(
            strategy.LostWorkerError,
            match=r"another worker has ended .* \(Socket closed\); resume the run",
        ),
        strategy.lost_worker_named(None),
    ):
        raise error
    other = tf.errors.InvalidArgumentError(None, None, "ids")
    with (
        pytest.raises(tf.errors.InvalidArgumentError),
        strategy.lost_worker_named(None),
    ):
        raise other


def test_a_worker_tells_that_it_waits(monkeypatch, caplog):
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as there, socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))  # It does not listen.
        there, gone = (f"127.0.0.1:{s.getsockname()[1]}" for s in (there, gone))
        for others, told in (([there], ""), ([there, gone], f"worker 2 ({gone})")):
            config = {
                "cluster": {"worker": ["127.0.0.1:1", *others]},
                "task": {"type": "worker", "index": 0},
            }
            monkeypatch.setenv("TF_CONFIG", json.dumps(config))
            strategy.make_strategy("multi_worker")
            assert bool(told) == bool(caplog.text)
            assert told in caplog.text
