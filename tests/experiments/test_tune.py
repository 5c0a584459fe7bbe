"""experiments/tune.py: its flags, the spaces, and what a process of a search is."""

import socket

import pytest

from experiments import roles
from experiments.flagfile import FlagError
from experiments.search import Values, parse
from sar_tf import models

BASE = ("--dataset_dir=nowhere", "--tune_dir=x")
RANDOM = (*BASE, "--max_trials=2")
HYPERBAND = (*BASE, "--tuner=hyperband", "--epochs=9")


@pytest.mark.parametrize(
    "wrong, message",
    [
        ([*RANDOM, "--space=l2=-1"], "--space=l2: .*at least 0"),
        ([*RANDOM, "--space=l3=1"], "no such setting to search"),
        ([*RANDOM, "--space=l2=1e-4..1e-6,log"], "LOW must be below HIGH"),
        ([*BASE, "--tuner=grid", "--space=l2=1e-6..1e-4"], "needs values, not a range"),
        (RANDOM, "--space is missing"),
        ([*BASE, "--space=l2=0,1"], "--max_trials is missing"),
        ([*RANDOM, "--tuner=best"], "write one of random"),
        ([*RANDOM, "--space=l2=0", "--factor=2"], "belongs to --tuner=hyperband"),
        ([*HYPERBAND, "--space=l2=0", "--max_trials=2"], "--epochs and --factor tell"),
        ([*HYPERBAND, "--space=epochs=1,2"], "--space=epochs: .*hyperband decides"),
        ([*HYPERBAND, "--space=l2=0", "--factor=1"], "--factor=1: .* 2 or more"),
        ([*HYPERBAND, "--space=l2=0", "--schedule=cosine"], "needs plateau"),
        (
            [*RANDOM, "--model=qem", "--space=l2=0", "--objective=rec"],
            "--objective=rec: qem ranks for search only",
        ),
    ],
)
def test_wrong_flags_are_found_before_the_first_trial(wrong, message):
    with pytest.raises(FlagError, match=message):
        parse(wrong)


def test_the_papers_space(repository):
    """Section 5.1.4 of UniSAR; a later flag narrows it."""
    path = repository / "experiments" / "spaces" / "unisar.flags"
    space = parse([f"--flagfile={path}", *RANDOM, "--space=l2=0.5"]).space
    numbers = {name: list(map(float, each.texts)) for name, each in space.items()}
    tenths = [number / 10 for number in range(1, 11)]
    weights = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
    assert numbers == {
        "query_item_temperature": tenths,
        "transition_temperature": tenths,
        "query_item_weight": weights,
        "transition_weight": weights,
        "search_loss_weight": [0.01, 1.0],
        "learning_rate": [1e-3, 1e-4, 1e-5],
        "l2": [0.5],
    }


@pytest.mark.parametrize("model", models.names())
def test_every_model_has_a_space(model):
    name = next(
        name
        for name, setting in models.get(model).hyperparameters().items()
        if setting.kind is float and not setting.is_tuple
    )
    found = parse([*RANDOM, f"--model={model}", f"--space={model}.{name}=0.1,0.2"])
    assert found.space[f"{model}.{name}"] == Values(("0.1", "0.2"))
    config = found.config({f"{model}.{name}": "0.2"})
    assert config.hyperparameters[name] == 0.2


def test_what_a_process_of_a_search_is():
    here = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "9"}
    assert roles.role({}) == "alone"
    assert roles.role({**here, "KERASTUNER_TUNER_ID": "chief"}) == "chief"
    assert roles.role({**here, "KERASTUNER_TUNER_ID": "tuner0"}) == "worker"
    with pytest.raises(FlagError, match="KERASTUNER_TUNER_ID is not set"):
        roles.role(here)
    with pytest.raises(FlagError, match="PORT=x: write a whole number"):
        roles.role({**here, "KERASTUNER_TUNER_ID": "a", "KERASTUNER_ORACLE_PORT": "x"})


def test_a_chief_whose_port_is_taken(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
        with pytest.raises(FlagError, match=f"127.0.0.1:{port} .* name an address"):
            roles.require_free_port()


def test_two_searches_in_one_folder(tmp_path):
    with (
        roles.only_search(tmp_path / "t"),
        pytest.raises(FlagError, match="another search works in this folder"),
        roles.only_search(tmp_path / "t"),
    ):
        pass
