"""A search with Keras Tuner: each trial is a run folder. Needs keras_tuner."""

import csv
import itertools
import json
import statistics

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.oracles import BayesianOptimizationOracle, RandomSearchOracle

from experiments import flags
from experiments.search import Search
from experiments.sweeper import SweepRun, train_run
from sar_tf.files import whole_file, write_text
from sar_tf.training.build import ModelError
from sar_tf.training.callbacks import TrainingError
from sar_tf.training.config import ConfigError
from sar_tf.training.files import OutOfMemoryError
from sar_tf.training.run_directory import RunDirectory

_OBJECTIVE = "val_NDCG@5"
# What the values of one trial may be the reason of; the search goes on after it.
_OF_THE_TRIAL = (
    ConfigError,
    flags.FlagError,
    ModelError,
    OutOfMemoryError,
    TrainingError,
)


class _Kept:
    """An oracle whose files are whole at any moment, and which reports its trials."""

    search: Search

    def save(self):
        write_text(self._get_oracle_fname(), json.dumps(self.get_state()))

    def _save_trial(self, trial):
        folder = self._get_trial_dir(trial.trial_id)
        write_text(f"{folder}/trial.json", json.dumps(trial.get_state()))

    def reload(self):
        super().reload()
        # A trial that oracle.json does not know is drawn again.
        self.trials = {name: self.trials[name] for name in self.start_order}
        self._retry_queue = [
            name
            for name in reversed(self.start_order)
            if self.trials[name].status == TrialStatus.RUNNING
        ]

    @keras_tuner.synchronized
    def end_trial(self, trial):
        super().end_trial(trial)
        _report(self.search, self)


class _Random(_Kept, RandomSearchOracle):
    pass


class _Bayesian(_Kept, BayesianOptimizationOracle):
    def populate_space(self, trial_id):
        found = super().populate_space(trial_id)
        if found["values"] is not None and self._duplicate(found["values"]):
            return self._random_populate_space()
        return found


class _Grid(_Kept, keras_tuner.Oracle):
    """All combinations in order; Keras Tuner's own cannot go on after a kill."""

    def populate_space(self, trial_id):
        names = [hp.name for hp in self.hyperparameters.space]
        lists = [hp.values for hp in self.hyperparameters.space]
        for values in itertools.product(*lists):
            found = dict(zip(names, values, strict=True))
            if not self._duplicate(found):
                return {"status": TrialStatus.RUNNING, "values": found}
        return {"status": TrialStatus.STOPPED, "values": None}


_ORACLES = {"random": _Random, "bayesian": _Bayesian, "grid": _Grid}


class _Tuner(BaseTuner):
    def __init__(self, search, verbose, **kwargs):
        self.search_flags, self.verbose = search, verbose
        super().__init__(**kwargs)

    def run_trial(self, trial):
        texts = _texts(trial)
        name = f"trial_{trial.trial_id}"
        print(f"\n{name}: {texts}", flush=True)
        try:
            config = self.search_flags.config(texts)
            folder = RunDirectory(self.search_flags.folder / name)
            train_run(SweepRun(name, config, folder), self.verbose)
        except _OF_THE_TRIAL as error:
            print(f"{name} failed: {error}", flush=True)
            raise FailedTrialError(str(error)) from error
        except Exception as error:
            raise FatalError(str(error)) from error
        metrics = json.loads(folder.metrics().read_text(encoding="utf-8"))
        found = {t: own["NDCG@5"] for t, own in metrics["validation"].items()}
        if self.search_flags.objective != "mean":
            if self.search_flags.objective not in found:
                raise FatalError(
                    f"--objective: the model ranks {', '.join(found)} only"
                )
            return {_OBJECTIVE: found[self.search_flags.objective]}
        return {_OBJECTIVE: statistics.fmean(found.values())}


def run_search(search: Search) -> bool:
    """Runs the trials that are not finished; resumes the one that was under way.

    Returns:
        Whether a trial is finished.
    """
    search.keep()
    program = flags.parse_flags(search.common)
    oracle = _ORACLES[search.tuner](
        objective=keras_tuner.Objective(_OBJECTIVE, "max"),
        max_trials=search.max_trials,
        hyperparameters=_hyperparameters(search),
        seed=program.config().seed + 1,  # Keras Tuner takes 0 for none.
        max_consecutive_failed_trials=10**9,
    )
    oracle.search = search
    oracle.verbose = 0
    tuner = _Tuner(
        search,
        program.program["verbose"],
        oracle=oracle,
        directory=str(search.folder),
        project_name="keras_tuner",
    )
    tuner.save()  # So that a search that is killed in its first trial is found again.
    try:
        tuner.search()
    except FatalError as error:
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise
    return _report(search, oracle)


def _hyperparameters(search):
    found = keras_tuner.HyperParameters()
    for name, values in search.space.items():
        if not values.is_range:
            found.Choice(name, list(values.texts))
            continue
        low, high = map(float, values.texts)
        scale = "log" if values.is_log else "linear"
        if values.is_whole:
            found.Int(name, int(low), int(high), sampling=scale)
        else:
            found.Float(name, low, high, sampling=scale)
    return found


def _texts(trial):
    """The texts of the flags of a trial, with six digits of a number of a range."""
    return {
        name: value if isinstance(value, str) else f"{value:.6g}"
        for name, value in trial.hyperparameters.values.items()
    }


def _report(search, oracle):
    """Writes trials.csv and best.flags, and prints the best trial so far."""
    trials = [oracle.trials[name] for name in oracle.start_order]
    path = search.folder / "trials.csv"
    with (
        whole_file(path) as beside,
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "status", _OBJECTIVE, *search.space])
        for one in trials:
            score = "" if one.score is None else one.score
            row = [_texts(one)[name] for name in search.space]
            writer.writerow([f"trial_{one.trial_id}", one.status, score, *row])
    done = [one for one in trials if one.status == TrialStatus.COMPLETED]
    if not done:
        return False
    best = max(done, key=lambda one: one.score)
    text = flags.flagfile_text(search.config(_texts(best)))
    write_text(search.folder / "best.flags", text)
    print(
        f"{len(done)} trials finished; best so far: trial_{best.trial_id}, "
        f"{_OBJECTIVE} {best.score:.4f}, {_texts(best)}",
        flush=True,
    )
    return True
