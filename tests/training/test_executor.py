import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import STEPS, Candidates, make_model


def test_train_on_batch_is_traced_once():
    model = make_model()
    batches = [Candidates().make_batch(number) for number in range(4)]
    traced = []
    step = model.train_step

    def train_step(data):
        traced.append(data)
        return step(data)

    model.train_step = train_step
    model.train_function = type(model.train_function)(model, model.train_step)
    losses = [
        model.train_on_batch(batch, return_dict=True)["loss"] for batch in batches
    ]
    assert len(traced) == 1
    assert len(set(map(float, losses))) == len(batches)


def test_train_on_batch_computes_what_fit_does():
    by_hand, by_fit = make_model(), make_model()
    batches = Candidates().train_from(0).take(STEPS)
    for batch in batches:
        by_hand.train_on_batch(batch)
    by_fit.fit(batches, verbose=0)
    for weight, expected in zip(
        by_hand.get_weights(), by_fit.get_weights(), strict=True
    ):
        assert weight == pytest.approx(expected, abs=1e-6)


def test_a_loss_of_another_replica_that_is_not_finite_is_seen_at_once(tmp_path):
    """In a process of its own, for its devices: prints the error of the run."""
    script = Path(__file__).with_name("broken_replica.py")
    process = subprocess.run(
        [sys.executable, script, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("step 3 of epoch 1: the loss is ")
    assert "1/rec/candidates is infinite" in process.stdout
