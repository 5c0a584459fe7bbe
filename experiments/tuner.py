"""A search with Keras Tuner: each trial is a run folder. Needs keras_tuner."""

import json
import statistics
import time

import grpc
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError, FatalError

from experiments import flags, roles, trials
from experiments.oracles import OBJECTIVE, make_oracle
from experiments.search import Search
from experiments.sweeper import SweepRun, train_run
from sar_tf.files import write_text
from sar_tf.training.build import ModelError
from sar_tf.training.callbacks import TrainingError
from sar_tf.training.config import ConfigError
from sar_tf.training.files import OutOfMemoryError
from sar_tf.training.run_directory import RunDirectory, RunDirectoryError

# What the values of one trial may be the reason of; the search goes on after it.
_OF_THE_TRIAL = (
    ConfigError,
    flags.FlagError,
    ModelError,
    OutOfMemoryError,
    TrainingError,
)
_WAIT_SECONDS = 10.0


class _Tuner(BaseTuner):
    """Trains a trial's run where it is, or goes on with it."""

    def __init__(self, search, **kwargs):
        self.search_flags = search
        self.verbose = flags.parse_flags(search.common).program["verbose"]
        self._idle = 0
        super().__init__(**kwargs)

    def _get_tuner_fname(self):
        # One name for all: a search may go on with a chief that began without.
        return f"{self.project_dir}/tuner.json"

    def save(self):
        if not self._is_worker():
            self.oracle.save()
            write_text(self._get_tuner_fname(), "{}")

    def pre_create_trial(self):
        # Keras Tuner asks on and on while the oracle waits for other workers.
        if self._idle:
            time.sleep(1)
        self._idle += 1

    def on_trial_begin(self, trial):
        self._idle = 0

    def run_trial(self, trial):
        row = trials.row_of(trial, self.oracle.get_trial)
        try:
            config = self.search_flags.config(row.texts, row.epochs)
            folder = RunDirectory(self.search_flags.folder / row.run)
            _wait_for(folder)
            train_run(SweepRun(self._title(row), config, folder), self.verbose)
        except _OF_THE_TRIAL as error:
            print(f"{row.name} failed: {error}", flush=True)
            raise FailedTrialError(str(error)) from error
        except Exception as error:
            raise FatalError(str(error)) from error
        metrics = json.loads(folder.metrics().read_text(encoding="utf-8"))
        found = {t: own["NDCG@5"] for t, own in metrics["validation"].items()}
        found["mean"] = statistics.fmean(found.values())
        score = found.pop(self.search_flags.objective)
        named = {f"val_{task}_NDCG@5": value for task, value in found.items()}
        named[OBJECTIVE] = score
        trials.log_trial(self.search_flags, row, named, metrics["epoch"])
        return {OBJECTIVE: score}

    def _title(self, row):
        most = self.search_flags.max_trials
        rung = f", to epoch {row.epochs} in {row.run}" if row.epochs else ""
        settings = " ".join(f"--{name}={text}" for name, text in row.texts.items())
        return f"{row.name}{f' of {most}' if most else ''}{rung}: {settings}"


def _wait_for(folder):
    """Waits for a worker that still trains a trial given to it by a killed chief."""
    while True:
        try:
            with folder.locked():
                return
        except RunDirectoryError as error:
            print(error, flush=True)
            time.sleep(_WAIT_SECONDS)


def run_search(search: Search) -> bool:
    """Runs the trials that are not finished; goes on with those under way.

    A chief gives trials to its workers, and writes the files of the search; a worker
    runs trials until the chief has none.

    Returns:
        Whether a trial is finished; of a worker, True.

    Raises:
        FlagError: The folder holds another search, or one that is under way.
        ConnectionError: The chief does not answer.
        One of USER_ERRORS: A trial ends the search.
    """
    role = roles.role()
    if role == "worker":
        return _work(search)
    if role == "chief":
        roles.require_free_port()
    with roles.only_search(search.folder):
        search.keep()
        trials.log_space(search, OBJECTIVE)
        oracle = _oracle(search)
        tuner = _tuner(search, oracle)
        tuner.save()  # A search that is killed in its first trial is found again.
        if role == "chief":
            print(f"chief: waiting for workers at {roles.chief_address()}", flush=True)
        _report(search, oracle)  # What a search that goes on has already.
        _run(tuner)
        is_found = any(row.status == "COMPLETED" for row in _rows(oracle))
        if is_found:
            trials.draw(search, _rows(oracle), OBJECTIVE)
        return is_found


def _work(search):
    print(f"worker: asking the chief at {roles.chief_address()}", flush=True)
    tuner = _tuner(search, _oracle(search))
    try:
        tuner.oracle.get_space()  # Waits for the chief, which keeps the flags first.
        search.check_kept()
        _run(tuner)
    except grpc.RpcError as error:
        raise ConnectionError(
            f"the chief at {roles.chief_address()} does not answer ({error.code()}); "
            "start it again with the same command, then this worker with its name"
        ) from error
    return True


def _oracle(search):
    return make_oracle(search, lambda oracle: _report(search, oracle))


def _tuner(search, oracle):
    folder = str(search.folder)
    return _Tuner(search, oracle=oracle, directory=folder, project_name="keras_tuner")


def _run(tuner):
    try:
        tuner.search()
    except FatalError as error:
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise


def _rows(oracle):
    return [
        trials.row_of(oracle.trials[name], oracle.get_trial)
        for name in oracle.start_order
    ]


def _report(search, oracle):
    return trials.report(search, _rows(oracle), OBJECTIVE)
