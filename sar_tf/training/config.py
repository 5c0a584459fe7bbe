"""`RunConfig`: everything that a run is told, with types, ranges and meanings."""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sar_tf
from sar_tf.settings import Setting, argument_texts, make_setting
from sar_tf.training.settings import (
    DataSettings,
    DeviceSettings,
    RunSettings,
    TrainingSettings,
)

GROUPS = {
    "run": RunSettings,
    "data": DataSettings,
    "training": TrainingSettings,
    "devices": DeviceSettings,
}
# Settings that run folders made before them do not name, with what these runs had.
_ADDED = {"max_item_queries": 3, "max_neighbors": 25, "session_minutes": 30}
_VERSION = "sar_tf_version"
_CHECKSUM = "sha256"


class ConfigError(ValueError):
    """Settings that cannot be used; says which, why and what to do, in one line."""


@dataclasses.dataclass(frozen=True)
class RunConfig(DeviceSettings, TrainingSettings, DataSettings, RunSettings):
    """The settings of a run. Each field's meaning, unit and limits: `settings()`.

    A value of another type or out of its range raises ConfigError at once; `check`
    finds settings that contradict each other.

    Example:

    >>> config = RunConfig(dataset_dir="data/beauty", hyperparameters={"dropout": 0.2})
    >>> RunConfig.from_json(config.to_json()) == config
    True
    """

    hyperparameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, setting in self.settings().items():
            value = _checked(setting, getattr(self, name))
            object.__setattr__(self, name, value)
        object.__setattr__(self, "hyperparameters", dict(self.hyperparameters))

    @classmethod
    def settings(cls, group: str | None = None) -> dict[str, Setting]:
        """The settings by name, in order: all but the model's hyperparameters.

        Args:
            group: One of `GROUPS`; None takes all.
        """
        found = {}
        for owner in GROUPS.values() if group is None else [GROUPS[group]]:
            hints = typing.get_type_hints(owner, include_extras=True)
            texts = argument_texts(owner.__doc__)
            for field in dataclasses.fields(owner):
                name = field.name
                found[name] = make_setting(
                    name, hints[name], field.default, texts[name]
                )
        return found

    def require_dataset_dir(self) -> str:
        """The dataset's folder; a ConfigError where none is named."""
        if self.dataset_dir is None:
            raise ConfigError("dataset_dir is missing: name a dataset's folder")
        return self.dataset_dir

    def check(self) -> "RunConfig":
        """Checks the settings against each other and against the model.

        Returns:
            The same settings, with every hyperparameter of the model written out.

        Raises:
            ConfigError: No such model or hyperparameter, a value that the model does
                not take, or settings that contradict each other.
        """
        self.require_dataset_dir()
        self._check_compiled()
        if self.warmup_steps and self.schedule == "plateau":
            raise ConfigError("warmup_steps needs schedule=cosine or schedule=linear")
        if self.min_learning_rate > self.learning_rate:
            raise ConfigError(
                f"min_learning_rate={self.min_learning_rate} is above "
                f"learning_rate={self.learning_rate}; lower it"
            )
        if self.tpu and self.strategy != "tpu":
            raise ConfigError(f"tpu={self.tpu} needs strategy=tpu")
        return dataclasses.replace(self, hyperparameters=self._all_hyperparameters())

    def _check_compiled(self) -> None:
        reason = "jit_compile=true" if self.jit_compile else "strategy=tpu"
        if not self.jit_compile and self.strategy != "tpu":
            return
        if self.history_groups > 1:
            raise ConfigError(f"{reason} needs static shapes: history_groups=1")
        if self.embedding_optimizer != "adam":
            raise ConfigError(f"{reason} needs embedding_optimizer=adam")

    def _all_hyperparameters(self) -> dict[str, Any]:
        known = hyperparameter_settings(self.model)
        for name in self.hyperparameters:
            if name not in known:
                raise ConfigError(f"{self.model} has no hyperparameter {name!r}")
        return {
            name: _checked(setting, self.hyperparameters.get(name, setting.default))
            for name, setting in known.items()
        }

    def to_json(self) -> str:
        """The text of a config.json, with the version of sar_tf and a checksum."""
        values = {_VERSION: sar_tf.__version__, **dataclasses.asdict(self)}
        values[_CHECKSUM] = _checksum(values)
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, path: Any = "config.json") -> "RunConfig":
        """Reads what `to_json` made.

        Args:
            text: The JSON.
            path: File that it is from, for errors.

        Raises:
            ConfigError: The text is damaged, or made by a version with other settings.
        """
        values = {**_ADDED, **_whole_values(text, path)}
        version = values.pop(_VERSION)
        names = {field.name for field in dataclasses.fields(cls)}
        origin = (
            f"sar_tf {version} wrote it, this is {sar_tf.__version__}; use that "
            "version, or train again in another run_dir"
        )
        for name in values:
            if name not in names:
                raise ConfigError(f"{path} has an unknown setting {name!r}: {origin}")
        for name in sorted(names):
            if name not in values:
                raise ConfigError(f"{path} has no setting {name!r}: {origin}")
        if not isinstance(values["hyperparameters"], dict):
            raise ConfigError(_damage(path, "hyperparameters is no object"))
        hyperparameters = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values["hyperparameters"].items()
        }
        try:
            return cls(**{**values, "hyperparameters": hyperparameters})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def load(cls, path: Any) -> "RunConfig":
        """Reads a config.json.

        Raises:
            ConfigError: As `from_json`.
            OSError: The file cannot be read.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(_damage(path, error)) from error
        return cls.from_json(text, path)

    def changed(self, other: "RunConfig") -> list[str]:
        """The names of settings and hyperparameters that another config has otherwise.

        Example:

        >>> RunConfig(l2=0.0).changed(RunConfig(l2=0.1, hyperparameters={"split": 1}))
        ['l2', 'split']
        """
        names = [name for name in self.settings() if not _same(self, other, name)]
        mine, others = self.hyperparameters, other.hyperparameters
        return names + [
            name
            for name in sorted(mine.keys() | others.keys())
            if name not in mine or name not in others or mine[name] != others[name]
        ]


def _whole_values(text: str, path: Any) -> dict[str, Any]:
    """The content of a config.json, without its checksum.

    Raises:
        ConfigError: It is no JSON object, or not what was written.
    """
    try:
        values = json.loads(text)
        version, checksum = values[_VERSION], values.pop(_CHECKSUM, None)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(_damage(path, repr(error))) from error
    # Older versions wrote no checksum.
    is_current = version == sar_tf.__version__
    if checksum != (_checksum(values) if checksum or is_current else None):
        raise ConfigError(_damage(path, "its checksum does not match"))
    return values


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _damage(path: Any, what: object) -> str:
    return (
        f"{path} is damaged ({what}); put a copy of it back, or train again in "
        "another run_dir"
    )


def hyperparameter_settings(model: str) -> dict[str, Setting]:
    """The hyperparameters of a model by name.

    Raises:
        ConfigError: There is no such model.
    """
    from sar_tf import models

    try:
        return models.get(model).hyperparameters()
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _checked(setting: Setting, value: Any) -> Any:
    try:
        return setting.check(value)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _same(config: RunConfig, other: RunConfig, name: str) -> bool:
    return getattr(config, name) == getattr(other, name)
