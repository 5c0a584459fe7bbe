"""The command line of a search: its space, its objective, a trial's settings."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments import flags
from experiments.flagfile import Flag, FlagError, split_study
from sar_tf.files import write_text
from sar_tf.training.config import ConfigError, RunConfig, hyperparameter_settings
from sar_tf.training.finished import with_absolute_paths

TUNERS = ("random", "bayesian", "grid")
OBJECTIVES = ("mean", "rec", "search")
_OWN = ("tuner", "space", "objective", "max_trials", "tune_dir")
_FIXED = ("model", "dataset_dir", "train_on", "strategy", "tpu", "seed")


@dataclasses.dataclass(frozen=True)
class Values:
    """What one setting may be: texts of a flag, or a range.

    Attributes:
        texts: The values; of a range its two ends.
        is_range: Whether every number between both ends may be drawn.
        is_log: Whether a range is drawn on a logarithmic scale.
        is_whole: Whether a range has whole numbers only.
    """

    texts: tuple[str, ...]
    is_range: bool = False
    is_log: bool = False
    is_whole: bool = False


@dataclasses.dataclass(frozen=True)
class Search:
    """A parsed command line.

    Attributes:
        folder: The folder of all trials.
        tuner, objective: One of `TUNERS`, of `OBJECTIVES`.
        max_trials: Number of trials; None is all of a grid.
        space: {setting: `Values`}
        common: The flags that all trials share.
    """

    folder: Path
    tuner: str
    objective: str
    max_trials: int | None
    space: Mapping[str, Values]
    common: Sequence[Flag]

    @property
    def first(self) -> dict[str, str]:
        """The first value of each setting in the space."""
        return {name: values.texts[0] for name, values in self.space.items()}

    def config(self, texts: Mapping[str, str]) -> RunConfig:
        """The settings of a trial, of the texts of the settings in the space.

        Raises:
            FlagError, ConfigError: A value that its setting does not take, or values
                that contradict each other.
        """
        own = [Flag(f"--{name}={text}") for name, text in texts.items()]
        command = flags.parse_flags([*self.common, *own])
        return with_absolute_paths(command.config()).check()

    def keep(self) -> None:
        """Writes search.json, or checks that the folder's search is this one.

        Raises:
            FlagError: The folder holds a search with other flags.
        """
        settings = {
            "tuner": self.tuner,
            "objective": self.objective,
            "space": {n: dataclasses.asdict(v) for n, v in self.space.items()},
            "config": json.loads(self.config(self.first).to_json()),
        }
        text = json.dumps(settings, indent=2) + "\n"
        path = self.folder / "search.json"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        elif path.read_text(encoding="utf-8") != text:
            raise FlagError(
                f"--tune_dir={self.folder} holds a search with other flags (see "
                f"{path}); repeat its flags, or name another folder"
            )


def parse(arguments: Sequence[str]) -> Search:
    """Reads a command line, and checks every value of the space.

    Raises:
        FlagError, ConfigError: A wrong flag, or a value that a setting does not take.
    """
    given, common = split_study(arguments, _OWN, "a search")
    own = {flag.name: flag.value or "" for flag in given}
    if not own.get("tune_dir"):
        raise FlagError("--tune_dir is missing: name a folder for the trials")
    command = flags.parse_flags(common)
    if command.config().train_on != "train":
        raise FlagError("--train_on=all belongs to run.py; leave it out of a search")
    if "KERASTUNER_ORACLE_IP" in os.environ:
        raise FlagError(
            "KERASTUNER_ORACLE_IP is set: a search is one process; unset it"
        )
    tuner = _choice("tuner", own.get("tuner", "random"), TUNERS)
    space = {}
    for flag in given:
        if flag.name == "space":
            name, values = _read(flag, command.model)
            space[name] = values
    if not space:
        raise FlagError(
            "--space is missing: write --space=NAME=A,B,C or NAME=LOW..HIGH"
        )
    search = Search(
        Path(own["tune_dir"]),
        tuner,
        _choice("objective", own.get("objective", "mean"), OBJECTIVES),
        _max_trials(own.get("max_trials"), tuner),
        space,
        common,
    )
    _check(search)
    return search


def _choice(name, value, choices):
    if value not in choices:
        raise FlagError(f"--{name}={value}: write one of {', '.join(choices)}")
    return value


def _max_trials(text, tuner):
    if text is None and tuner == "grid":
        return None
    if text is None:
        raise FlagError(f"--max_trials is missing: --tuner={tuner} has no end without")
    if not text.isdecimal() or int(text) < 1:
        raise FlagError(f"--max_trials={text}: write a whole number above 0")
    return int(text)


def _read(flag, model):
    """The name and the `Values` of `--space=name=a,b,c` or `--space=name=low..high`."""
    name, _, text = (flag.value or "").partition("=")
    where = f"{flag.origin}--space={name}"
    run, own = RunConfig.settings(), hyperparameter_settings(model)
    setting = run.get(name) or own.get(name.removeprefix(f"{model}."))
    if setting is None or name in _FIXED:
        raise FlagError(f"{where}: {model} has no such setting to search")
    low, dots, rest = text.partition("..")
    if not dots:
        separator = "|" if setting.is_tuple else ","
        texts = tuple(part.strip() for part in text.split(separator) if part.strip())
        if not texts:
            raise FlagError(f"{where}: write its values, separated by {separator}")
        return name, Values(tuple(dict.fromkeys(texts)))
    high, comma, scale = rest.partition(",")
    if setting.kind not in (int, float) or setting.is_tuple:
        raise FlagError(f"{where}: a range is of numbers; write the values instead")
    if comma and scale != "log":
        raise FlagError(f"{where}={text}: write LOW..HIGH or LOW..HIGH,log")
    try:
        ends = float(low), float(high)
    except ValueError as error:
        raise FlagError(f"{where}={text}: {error}") from error
    if ends[0] >= ends[1] or (scale == "log" and ends[0] <= 0):
        raise FlagError(f"{where}={text}: LOW must be below HIGH, and above 0 with log")
    return name, Values((low, high), True, scale == "log", setting.kind is int)


def _check(search):
    for name, values in search.space.items():
        if values.is_range and search.tuner == "grid":
            raise FlagError(f"--space={name}: --tuner=grid needs values, not a range")
        for text in values.texts:
            try:
                search.config({**search.first, name: text})
            except (ConfigError, FlagError) as error:
                raise FlagError(f"--space={name}: {error}") from error
