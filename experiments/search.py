"""The command line of a search: its space, its objective, a trial's settings."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments import flags
from experiments.flagfile import Flag, FlagError, split_study
from sar_tf import models
from sar_tf.files import write_text
from sar_tf.inputs import TASKS
from sar_tf.settings import Setting
from sar_tf.training.config import ConfigError, RunConfig, hyperparameter_settings
from sar_tf.training.finished import with_absolute_paths

TUNERS = ("random", "bayesian", "grid", "hyperband")
OBJECTIVES = ("mean", *TASKS)
_OWN = ("tuner", "space", "objective", "max_trials", "factor", "tune_dir")
_KEPT = "search.json"
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
        max_trials: Number of trials; None where Hyperband decides it.
        factor: What Hyperband divides the trials of a rung by, and multiplies their
            epochs by.
        space: {setting: `Values`}
        common: The flags that all trials share.
    """

    folder: Path
    tuner: str
    objective: str
    max_trials: int | None
    factor: int
    space: Mapping[str, Values]
    common: Sequence[Flag]

    @property
    def model(self) -> str:
        """The model of all trials."""
        return flags.parse_flags(self.common).model

    @property
    def first(self) -> dict[str, str]:
        """The first value of each setting in the space."""
        return {name: values.texts[0] for name, values in self.space.items()}

    def config(self, texts: Mapping[str, str], epochs: int | None = None) -> RunConfig:
        """The settings of a trial.

        Args:
            texts: The texts of the settings in the space.
            epochs: The epochs of a rung of Hyperband; None takes the flags'.

        Raises:
            FlagError, ConfigError: A value that its setting does not take, or values
                that contradict each other.
        """
        own = [Flag(f"--{name}={text}") for name, text in texts.items()]
        if epochs is not None:
            own.append(Flag(f"--epochs={epochs}"))
        command = flags.parse_flags([*self.common, *own])
        return with_absolute_paths(command.config()).check()

    def keep(self) -> None:
        """Writes search.json, or checks that the folder's search is this one.

        Raises:
            FlagError: The folder holds a search with other flags.
        """
        if (self.folder / _KEPT).exists():
            self.check_kept()
        else:
            write_text(self.folder / _KEPT, self._to_json())

    def check_kept(self) -> None:
        """Checks that the folder's search is this one.

        Raises:
            FlagError: The folder holds a search with other flags.
            OSError: It holds none.
        """
        path = self.folder / _KEPT
        if path.read_text(encoding="utf-8") != self._to_json():
            raise FlagError(
                f"--tune_dir={self.folder} holds a search with other flags (see "
                f"{path}); repeat its flags, or name another folder"
            )

    def _to_json(self):
        settings = {
            "tuner": self.tuner,
            "objective": self.objective,
            "space": {n: dataclasses.asdict(v) for n, v in self.space.items()},
            "config": json.loads(self.config(self.first).to_json()),
        }
        if self.tuner == "hyperband":
            settings["factor"] = self.factor
        return json.dumps(settings, indent=2) + "\n"


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
        _max_trials(own.get("max_trials"), tuner, space),
        _factor(own.get("factor"), tuner),
        space,
        common,
    )
    _check(search)
    return search


def _choice(name, value, choices):
    if value not in choices:
        raise FlagError(f"--{name}={value}: write one of {', '.join(choices)}")
    return value


def _max_trials(text, tuner, space):
    if tuner == "hyperband":
        if text is not None:
            raise FlagError(
                "--max_trials: --epochs and --factor tell how many trials "
                "--tuner=hyperband has; leave it out"
            )
        return None
    if text is None and tuner == "grid":
        return math.prod(len(values.texts) for values in space.values())
    if text is None:
        raise FlagError(f"--max_trials is missing: --tuner={tuner} has no end without")
    return _whole_number("max_trials", text, 1)


def _factor(text, tuner):
    if text is None:
        return 3
    if tuner != "hyperband":
        raise FlagError("--factor belongs to --tuner=hyperband; leave it out")
    return _whole_number("factor", text, 2)


def _whole_number(name, text, lowest):
    if not text.isdecimal() or int(text) < lowest:
        raise FlagError(f"--{name}={text}: write a whole number of {lowest} or more")
    return int(text)


def setting_of(name: str, model: str) -> Setting | None:
    """The setting of a run, or hyperparameter of a model, that a flag names.

    Args:
        name: The flag's name, without dashes.
        model: The model, whose name may be before that of the hyperparameter.
    """
    own = hyperparameter_settings(model).get(name.removeprefix(f"{model}."))
    return RunConfig.settings().get(name) or own


def _read(flag, model):
    """The name and the `Values` of `--space=name=a,b,c` or `--space=name=low..high`."""
    name, _, text = (flag.value or "").partition("=")
    where = f"{flag.origin}--space={name}"
    setting = setting_of(name, model)
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
    config = search.config(search.first)
    tasks = config.hyperparameters.get("tasks") or models.get(config.model).tasks
    if search.objective not in ("mean", *tasks):
        raise FlagError(
            f"--objective={search.objective}: {config.model} ranks for "
            f"{', '.join(tasks)} only"
        )
    if search.tuner == "hyperband":
        for name in ("epochs", "schedule"):
            if name in search.space:
                raise FlagError(f"--space={name}: --tuner=hyperband decides it")
        if config.schedule != "plateau":
            raise FlagError(
                f"--schedule={config.schedule}: --tuner=hyperband needs plateau, the "
                "schedule that does not depend on the number of epochs"
            )
