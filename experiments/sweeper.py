"""The runs of a sweep: read from flags, and trained one after the other."""

import contextlib
import dataclasses
import gc
import os
import re
import shlex
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import keras

from experiments import flags
from experiments.flagfile import (
    NOT_OF_STUDIES,
    Flag,
    FlagError,
    expand,
    split_study,
)
from experiments.runner import USER_ERRORS, KeepFlags
from sar_tf.files import try_lock
from sar_tf.training.config import ConfigError, RunConfig
from sar_tf.training.finished import check_folder, with_absolute_paths
from sar_tf.training.run import run
from sar_tf.training.run_directory import RunDirectory

_OWN = ("sweep_dir", "seeds", "variant")
_NAME = re.compile(r"[\w][\w.+-]*")


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        name: The flag set's name.
        config: The settings, with the run's seed.
        folder: The run's folder.
    """

    name: str
    config: RunConfig
    folder: RunDirectory

    @property
    def title(self) -> str:
        """What messages call the run."""
        return f"{self.name}, seed {self.config.seed}"

    @property
    def is_finished(self) -> bool:
        """Whether the run is trained and evaluated.

        Raises:
            ConfigError: The folder holds a run with other settings.
        """
        if not self.folder.metrics().is_file():
            return False
        check_folder(self.config, self.folder, resume=True)
        # Of a second training only `run` knows whether it is complete.
        return self.config.train_on != "all"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A parsed command line.

    Attributes:
        folder: The sweep's folder.
        runs: Its runs, seed by seed, so that the first seed's table is complete early.
        verbose: As `run` takes it.
    """

    folder: Path
    runs: list[SweepRun]
    verbose: str


def parse(arguments: Sequence[str]) -> Sweep:
    """Reads a command line, and checks the flags of every run before the first starts.

    Raises:
        FlagError, ConfigError: A wrong flag, or settings that contradict each other.
    """
    given, common = split_study(arguments, _OWN, "a sweep")
    values = {flag.name: flag for flag in given}
    if "sweep_dir" not in values:
        raise FlagError("--sweep_dir is missing: name a folder for the runs")
    folder = Path(values["sweep_dir"].value or ".")
    variants = _variants([flag for flag in given if flag.name == "variant"])
    shared = flags.parse_flags(common)
    runs = []
    for seed in _seeds(values.get("seeds"), shared.config().seed):
        for name, own in variants.items():
            command = flags.parse_flags([*common, *own, Flag(f"--seed={seed}")])
            try:
                config = with_absolute_paths(command.config()).check()
            except ConfigError as error:
                raise ConfigError(f"variant {name}: {error}") from error
            place = RunDirectory(folder / name / f"seed_{seed}")
            runs.append(SweepRun(name, config, place))
    return Sweep(folder, runs, shared.program["verbose"])


def _variants(given: Sequence[Flag]) -> dict[str, list[Flag]]:
    """{name: flags}, of `--variant=NAME: FLAGS`."""
    found: dict[str, list[Flag]] = {}
    for flag in given:
        name, _, text = (flag.value or "").partition(":")
        if not _NAME.fullmatch(name):
            raise FlagError(
                f"{flag.origin}--variant={flag.value}: write NAME: FLAGS, with a NAME "
                "of letters, digits and _ . + -, which names the folder"
            )
        if name in found:
            raise FlagError(f"{flag.origin}--variant={name}: there are two of the name")
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise FlagError(f"{flag.origin}--variant={name}: {error}") from error
        _check_own(words, flag, (*_OWN, *NOT_OF_STUDIES, "seed"))
        found[name] = expand(words, flag.origin)
        # A flagfile's seed is that of a single run.
        _check_own([one.text for one in found[name]], flag, (*_OWN, *NOT_OF_STUDIES))
    if not found:
        raise FlagError("--variant is missing: write --variant=NAME: FLAGS")
    return found


def _check_own(texts: Sequence[str], variant: Flag, refused: Collection[str]) -> None:
    for name in (Flag(text).name for text in texts):
        if name in refused:
            given = (variant.value or "").partition(":")[0]
            raise FlagError(
                f"{variant.origin}--variant={given}: --{name} cannot be in it"
            )


def _seeds(flag: Flag | None, seed: int) -> list[int]:
    if flag is None:
        return [seed]
    try:
        seeds = [int(text) for text in (flag.value or "").split(",")]
    except ValueError as error:
        raise FlagError(
            f"{flag.origin}--seeds={flag.value}: write numbers, separated by commas"
        ) from error
    return list(dict.fromkeys(seeds))


def run_sweep(
    sweep: Sweep,
    train: Callable[[SweepRun, str], None] | None = None,
    wait_seconds: float = 30.0,
) -> list[str]:
    """Trains what is not finished, and waits for runs that other processes train.

    A run that another process leaves unfinished is resumed here.

    Args:
        sweep: The sweep.
        train: Trains a run; None is `train_run`. It gets the run and `sweep.verbose`.
        wait_seconds: Time between two looks at the runs of other processes.

    Returns:
        A line for each run that failed here; they are tried again by the next call.
    """
    waiting, failures = list(sweep.runs), []
    number = len(waiting)
    while waiting:
        elsewhere = []
        for one in waiting:
            with _claimed(one.folder.path) as is_ours:
                if not is_ours:
                    elsewhere.append(one)
                    continue
                try:
                    text = _run_one(one, sweep.verbose, train or train_run)
                except Exception as error:  # One failed run does not end the sweep.
                    if not isinstance(error, USER_ERRORS):
                        traceback.print_exc()
                    reason = " ".join(f"{type(error).__name__}: {error}".split())
                    failures.append(f"{one.title}: {reason}")
                    text = f"failed: {reason}"
            print(f"{one.title}: {text}", flush=True)
        if elsewhere:
            names = "; ".join(one.title for one in elsewhere)
            print(f"under way in other processes: {names}", flush=True)
            time.sleep(wait_seconds)
        waiting = elsewhere
    print(f"{number - len(failures)} of {number} runs in {sweep.folder} are finished")
    return failures


def _run_one(one, verbose, train):
    if one.is_finished:
        return "finished before"
    start = time.monotonic()
    train(one, verbose)
    return f"finished in {time.monotonic() - start:.0f} s"


def train_run(one: SweepRun, verbose: str) -> None:
    """Trains a run, or goes on from its last checkpoint.

    Args:
        one: The run.
        verbose: As `run` takes it.
    """
    print(f"\n{one.title}", flush=True)
    try:
        run(
            one.config,
            one.folder.path,
            callbacks=[KeepFlags(one.folder)],
            resume=one.folder.config.is_file(),
            verbose=verbose,
        )
    finally:
        # The graphs of one run are no use to the next.
        keras.backend.clear_session()
        gc.collect()


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Whether the run is this process's; the system ends the claim with the process.

    The lock is beside the run's folder, whose own lock `run` takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)
