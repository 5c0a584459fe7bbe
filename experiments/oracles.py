"""Which values a trial has: Keras Tuner's searches, whose files survive a kill.

Needs keras_tuner.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.oracles import (
    BayesianOptimizationOracle,
    HyperbandOracle,
    RandomSearchOracle,
)

from experiments.search import Search
from sar_tf.files import write_text

OBJECTIVE = "val_NDCG@5"


class _Kept:
    """An oracle whose files are whole at any moment, and which reports its trials.

    Attributes:
        report: Called with the oracle after each trial.
    """

    report: Callable[[Any], object]

    def save(self):
        write_text(self._get_oracle_fname(), json.dumps(self.get_state()))

    def _save_trial(self, trial):
        folder = self._get_trial_dir(trial.trial_id)
        write_text(f"{folder}/trial.json", json.dumps(trial.get_state()))

    def reload(self):
        super().reload()
        # A trial that oracle.json does not know is drawn again.
        self.trials = {name: self.trials[name] for name in self.start_order}
        # Keras Tuner's own list has trials that ended just before the kill.
        self._retry_queue = [
            name
            for name in reversed(self.start_order)
            if self.trials[name].status == TrialStatus.RUNNING
        ]

    @keras_tuner.synchronized
    def end_trial(self, trial):
        if trial.trial_id in self._retry_queue:
            # Of a worker that trained on while its chief was started again.
            self._retry_queue.remove(trial.trial_id)
        super().end_trial(trial)
        self.report(self)


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


class _Hyperband(_Kept, HyperbandOracle):
    pass


def make_oracle(search: Search, report: Callable[[Any], object]) -> Any:
    """The oracle of a search.

    Args:
        search: The search.
        report: Called with the oracle after each trial.
    """
    config = search.config(search.first)
    own: dict[str, Any] = {"max_trials": search.max_trials}
    if search.tuner == "hyperband":
        own = {"max_epochs": config.epochs, "factor": search.factor}
    if search.tuner == "bayesian":
        # Keras Tuner's three for each setting can be more than there are trials.
        most = 3 * len(search.space)
        own["num_initial_points"] = max(1, min(most, search.max_trials // 3))
    kinds = {
        "random": _Random,
        "bayesian": _Bayesian,
        "grid": _Grid,
        "hyperband": _Hyperband,
    }
    oracle = kinds[search.tuner](
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        hyperparameters=_hyperparameters(search),
        seed=config.seed + 1,  # Keras Tuner takes 0 for none.
        max_consecutive_failed_trials=10**9,
        **own,
    )
    oracle.report = report
    oracle.verbose = 0
    return oracle


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
