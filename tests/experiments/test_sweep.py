"""experiments/sweep.py: flag sets by seeds, skipped, resumed, failed and shared."""

import os
import typing

import pytest
from run_folders import SMALL_MODEL, read_metrics, read_ranks

from experiments import flags
from experiments import sweep as script
from experiments.flagfile import FlagError
from experiments.sweeper import parse, run_sweep, train_run
from sar_tf import models
from sar_tf.files import try_lock
from sar_tf.metrics.ranks import metrics_by_task
from sar_tf.models.sesrec import ABLATIONS
from sar_tf.models.unisar_transitions import Without
from sar_tf.training.config import ConfigError
from sar_tf.training.run_directory import RunDirectory

TWO = ("--variant=a:", "--variant=b: --l2=0.5 --epochs=3", "--seeds=1,2")


@pytest.fixture
def arguments(tmp_path):
    return (f"--sweep_dir={tmp_path / 'sweep'}", "--dataset_dir=nowhere", *TWO)


def finish(one, verbose):
    """Leaves what a finished run leaves."""
    one.folder.start(one.config)
    one.folder.write_metrics({})


def test_runs_are_flag_sets_by_seeds(arguments, tmp_path):
    runs = parse(["--epochs=5", *arguments]).runs
    found = [(x.name, x.config.seed, x.config.l2, x.config.epochs) for x in runs]
    assert found == [
        ("a", 1, 1e-5, 5),
        ("b", 1, 0.5, 3),
        ("a", 2, 1e-5, 5),
        ("b", 2, 0.5, 3),
    ]
    assert runs[3].folder.path == tmp_path / "sweep" / "b" / "seed_2"


def test_a_flag_set_of_another_model_has_its_flagfile(arguments, tmp_path):
    path = tmp_path / "own.flags"
    path.write_text("--model=stamp\n--seed=7\n--epochs=9\n--stamp.hidden_dim=8\n")
    own = f"--variant=c: --flagfile={path} --epochs=4"
    runs = parse([*arguments, "--l2=0.5", own]).runs
    found = [x.config for x in runs if x.name == "c"]
    assert [(x.model, x.seed, x.epochs, x.l2) for x in found] == [
        ("stamp", 1, 4, 0.5),
        ("stamp", 2, 4, 0.5),
    ]
    assert found[0].hyperparameters["hidden_dim"] == 8
    path.write_text("--epochs=9\n--run_dir=x\n")
    with pytest.raises(FlagError, match="variant=c: --run_dir cannot be in it"):
        parse([*arguments, own])


def test_what_is_finished_is_skipped(arguments, capsys):
    done = []

    def train(one, verbose):
        done.append(one.title)
        finish(one, verbose)

    assert run_sweep(parse(arguments), train) == []
    assert done == ["a, seed 1", "b, seed 1", "a, seed 2", "b, seed 2"]
    assert run_sweep(parse(arguments), train) == [] and len(done) == 4
    assert capsys.readouterr().out.count("finished before") == 4


def test_a_finished_run_with_other_settings_is_a_failure(arguments):
    run_sweep(parse(arguments), finish)
    failures = run_sweep(parse([*arguments, "--learning_rate=0.5"]), finish)
    assert len(failures) == 4
    assert "ConfigError: learning_rate is not what the run was started" in failures[0]


def test_a_sweep_goes_on_after_a_failure_and_reports_it(arguments, monkeypatch, capsys):
    def train(one, verbose):
        if one.name == "a" and one.config.seed == 1:
            raise RuntimeError("out of\nmemory")
        finish(one, verbose)

    monkeypatch.setattr("experiments.sweeper.train_run", train)
    with pytest.raises(SystemExit) as raised:
        script.main(arguments)
    assert raised.value.code == (
        "sweep.py: 1 failed:\na, seed 1: RuntimeError: out of memory"
    )
    found = capsys.readouterr()
    assert "3 of 4 runs" in found.out and "Traceback" in found.err
    monkeypatch.setattr("experiments.sweeper.train_run", finish)
    script.main(arguments)
    assert "4 of 4 runs" in capsys.readouterr().out


def test_a_run_of_another_process_is_waited_for(arguments, tmp_path, monkeypatch):
    place = tmp_path / "sweep" / "a"
    place.mkdir(parents=True)
    descriptor = os.open(place / ".seed_1.lock", os.O_RDWR | os.O_CREAT)
    assert try_lock(descriptor)
    done = []

    def train(one, verbose):
        done.append(one.title)
        finish(one, verbose)

    # While this process waits, the other one is killed: its run is taken over.
    monkeypatch.setattr("time.sleep", lambda seconds: os.close(descriptor))
    assert run_sweep(parse(arguments), train) == []
    assert done == ["b, seed 1", "a, seed 2", "b, seed 2", "a, seed 1"]


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--run_dir=x"], "--run_dir is no flag of a sweep"),
        (["--seeds=1,x"], "--seeds=1,x: write numbers"),
        (["--variant=a/b:"], "--variant=a/b:: write NAME: FLAGS"),
        (["--variant=a: --l2=1"], "--variant=a: there are two of the name"),
        (["--variant=c: --seed=1"], "--variant=c: --seed cannot be in it"),
        (["--variant=c: --fusoin=paper"], "--fusoin: no such flag; do you mean --fus"),
    ],
)
def test_wrong_flags_are_found_before_the_first_run(arguments, wrong, message):
    with pytest.raises(FlagError) as raised:
        parse([*arguments, *wrong])
    assert message in str(raised.value)


def test_settings_that_contradict_each_other_name_the_variant(arguments):
    with pytest.raises(ConfigError, match="variant c: warmup_steps needs"):
        parse([*arguments, "--variant=c: --warmup_steps=3"])


@pytest.mark.parametrize(
    "name, flag, values",
    [
        ("unisar_table5", "without", typing.get_args(Without)),
        ("sesrec_table3", "ablation", ABLATIONS),
        ("sesrec_table4", "split", ("mean", "median", "1/8", "1/16")),
    ],
)
def test_the_papers_ablations(repository, name, flag, values):
    model = name.partition("_")[0]
    experiments = repository / "experiments"
    sweep = parse(
        [
            f"--flagfile={experiments / 'configs' / f'{model}_kuaisar.flags'}",
            f"--flagfile={experiments / 'sweeps' / f'{name}.flags'}",
            "--dataset_dir=nowhere",
            "--sweep_dir=sweep",
            "--seeds=1",
        ]
    )
    found = [one.config.hyperparameters for one in sweep.runs]
    assert {one[flag] for one in found} == set(values)
    # All else is as in the other rows, but for "w/o Joint Training": a task a model.
    rest = [{**one, flag: None} for one in found if one["tasks"] is None]
    assert len(rest) == len(values) and all(one == rest[0] for one in rest)
    tasks = [one["tasks"] for one in found if one["tasks"] is not None]
    assert tasks == ([("rec",), ("search",)] if model == "unisar" else [])


@pytest.mark.parametrize(
    "name, setting, number",
    [
        ("unisar_figure7_alpha", "query_item_weight", 5),
        ("unisar_figure7_beta", "transition_weight", 5),
        ("unisar_figure8_gamma", "search_loss_weight", 3),
        ("sesrec_figure5_alpha", "query_item_weight", 4),
        ("sesrec_figure5_beta", "contrast_weight", 4),
        ("sesrec_variants", "co_attention", 2),
    ],
)
def test_sweeps_of_one_setting(repository, name, setting, number):
    experiments = repository / "experiments"
    model = name.partition("_")[0]
    base = experiments / "configs" / f"{model}_kuaisar.flags"
    own = experiments / "sweeps" / f"{name}.flags"
    places = ["--dataset_dir=nowhere", "--sweep_dir=sweep", "--seeds=1"]
    sweep = parse([f"--flagfile={base}", f"--flagfile={own}", *places])
    found = [one.config.hyperparameters for one in sweep.runs]
    assert len({one[setting] for one in found}) == number == len(found)
    assert all({**one, setting: 0} == {**found[0], setting: 0} for one in found)


def test_the_sweep_of_all_models(repository, monkeypatch):
    monkeypatch.chdir(repository)  # Its flagfiles are named from there.
    sweep = "--flagfile=experiments/sweeps/amazon_models.flags"
    runs = parse([sweep, "--dataset_dir=nowhere", "--sweep_dir=sweep"]).runs
    assert {one.config.model for one in runs} == set(models.names())


def test_an_interrupted_run_is_resumed(arguments, monkeypatch):
    resumed = []

    def run(config, folder, callbacks, resume, verbose):
        resumed.append(resume)

    monkeypatch.setattr("experiments.sweeper.run", run)
    first = parse(arguments).runs[0]
    train_run(first, "none")
    first.folder.start(first.config)
    train_run(first, "none")
    assert resumed == [False, True]


def test_a_run_of_a_sweep_is_whole(small_flags, tmp_path):
    common = [flag for flag in small_flags if not flag.startswith("--seed=")]
    here = [*common, *SMALL_MODEL, f"--sweep_dir={tmp_path}", "--seeds=7"]
    script.main([*here, "--epochs=1", "--variant=x: --l2=0.1"])
    folder = tmp_path / "x" / "seed_7"
    assert metrics_by_task(read_ranks(folder)) == read_metrics(folder)["test"]
    repeated = flags.parse([f"--flagfile={folder / 'flags.txt'}"]).config()
    assert repeated == RunDirectory(folder).load_config()
    assert (repeated.l2, repeated.seed) == (0.1, 7)
