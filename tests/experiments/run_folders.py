"""Small runs: what tests look for in their folders, and in how they end."""

import csv
import json

import h5py
import numpy as np
import pytest

# One task and few operations: what takes the time of a short run is tracing them.
SMALL_MODEL = (
    "--model=sesrec",
    "--ablation=base",
    "--sesrec.num_heads=1",
    "--prediction_units=8",
    "--learning_rate=0.01",
)


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def read_ranks(folder, split="test"):
    with np.load(folder / "ranks" / f"{split}.npz") as ranks:
        return dict(ranks)


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def assert_same_checkpoints(folder, other):
    """The same weights, optimizer, random generators and state, bit by bit."""
    names = []

    def add_array(name, entry):
        if isinstance(entry, h5py.Dataset):
            names.append(name)

    path = "checkpoints/last.weights.h5"
    with h5py.File(folder / path) as file, h5py.File(other / path) as other_file:
        file.visititems(add_array)
        assert len(names) > 20
        for name in names:
            np.testing.assert_array_equal(file[name][()], other_file[name][()], name)
        assert file.attrs["training_state"] == other_file.attrs["training_state"]


def error_of(run, *arguments):
    """The one line that a run ends with: error_of(run, *flags)."""
    with pytest.raises(SystemExit) as raised:
        run(*arguments)
    message = str(raised.value.code)
    assert message.startswith("run.py: ") and "\n" not in message
    return message
