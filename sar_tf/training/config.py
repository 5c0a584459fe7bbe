"""`RunConfig`: everything that a run is told, with types, ranges and meanings."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import sar_tf
from sar_tf.settings import Range, Setting, Size, make_setting

GROUPS = ("run", "data", "training", "devices")
_VERSION = "sar_tf_version"

_Count = Annotated[int, Range(1)]
_Positive = Annotated[float, Range(0)]


class ConfigError(ValueError):
    """Settings that cannot be used; says which, why and what to do, in one line."""


def _setting(default: Any, group: str, help: str) -> Any:
    """A field of `RunConfig` that is a setting."""
    return dataclasses.field(default=default, metadata={"group": group, "help": help})


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of a run. Each field's meaning, unit and limits: `settings()`.

    A value of another type or out of its range raises ConfigError at once; `check`
    finds settings that contradict each other.

    Example:

    >>> config = RunConfig(dataset_dir="data/beauty", hyperparameters={"dropout": 0.2})
    >>> RunConfig.from_json(config.to_json()) == config
    True
    """

    model: str = _setting(
        "unisar",
        "run",
        "Model to train: a registered name, or package.module:Class.",
    )
    dataset_dir: str | None = _setting(
        None, "run", "Folder of the dataset, which a job of pipelines/ made."
    )
    init_from: str | None = _setting(
        None,
        "run",
        "Run folder whose best weights training starts from, where their place in the "
        "model and their shape are the same.",
    )
    seed: Annotated[int, Range(0, (1 << 32) - 1)] = _setting(
        1, "run", "Seed of every random draw."
    )

    batch_size: _Count = _setting(
        1024,
        "data",
        "Targets of the larger task in a training step, of all replicas together.",
    )
    evaluation_batch_size: _Count = _setting(
        256,
        "data",
        "Targets of the larger task in an evaluation step, of all replicas together.",
    )
    max_rec_history: Size = _setting(
        30, "data", "Maximum number of clicked recommendations in a history."
    )
    max_search_history: Size = _setting(
        30, "data", "Maximum number of searches in a history."
    )
    max_query_words: Size | None = _setting(
        None,
        "data",
        "Maximum number of words of a query and of a caption; none takes all.",
    )
    max_clicked_items: Size | None = _setting(
        None, "data", "Maximum number of clicked items of a search; none takes all."
    )
    num_negatives: Size = _setting(
        4, "data", "Number of negatives drawn for each positive in training."
    )
    num_sampled: _Count = _setting(
        1024,
        "data",
        "Number of items, and of queries, drawn in each step for the query-item loss.",
    )
    history_groups: Annotated[int, Range(1, 64)] = _setting(
        4,
        "data",
        "Number of groups of like length that a batch's histories are encoded in; "
        "several are fastest on CPUs, 1 gives static shapes.",
    )

    epochs: _Count = _setting(100, "training", "Maximum number of epochs.")
    learning_rate: _Positive = _setting(
        1e-3, "training", "Learning rate of Adam; the highest one of a schedule."
    )
    schedule: Literal["plateau", "cosine", "linear"] = _setting(
        "plateau",
        "training",
        "Course of the learning rate. plateau: constant, multiplied by plateau_factor "
        "where validation stops improving; cosine, linear: falls to min_learning_rate "
        "over all epochs.",
    )
    warmup_steps: Annotated[int, Range(0)] = _setting(
        0,
        "training",
        "Number of steps in which the learning rate of cosine and linear first rises.",
    )
    min_learning_rate: _Positive = _setting(
        1e-6, "training", "Lowest learning rate that a schedule goes down to."
    )
    plateau_factor: Annotated[float, Range(0, 1, high_open=True)] = _setting(
        0.1, "training", "Factor of the learning rate at a plateau."
    )
    plateau_patience: _Count = _setting(
        3,
        "training",
        "Number of epochs without a better validation NDCG@5 (mean of the tasks) that "
        "make a plateau.",
    )
    early_stopping_patience: _Count = _setting(
        5,
        "training",
        "Number of epochs without a better validation NDCG@5 that end training.",
    )
    l2: _Positive = _setting(
        1e-5,
        "training",
        "Factor of a weight in its gradient; biases have no such term.",
    )
    embedding_optimizer: Literal["adam", "lazy_adam"] = _setting(
        "adam",
        "training",
        "Optimizer of embedding tables. adam: each step moves every row, by L2 and "
        "momentum; lazy_adam: only the rows that the step looks up.",
    )
    clip_norm: _Positive = _setting(
        0.0,
        "training",
        "Norm that the gradients of all weights together are scaled down to; 0 never "
        "scales.",
    )
    checkpoint_minutes: _Positive = _setting(
        10.0,
        "training",
        "Minutes of training between two checkpoints inside an epoch; 0 saves at each "
        "step. Each epoch ends with a checkpoint anyway.",
    )

    strategy: Literal["one_device", "mirrored", "multi_worker", "tpu"] = _setting(
        "one_device",
        "devices",
        "Devices that share a step. mirrored: all GPUs of this machine; multi_worker: "
        "the machines that the variable TF_CONFIG names; tpu: see tpu.",
    )
    tpu: str = _setting(
        "",
        "devices",
        "Name or address of the TPU; local is the TPU of this machine.",
    )
    precision: Literal["float32", "bfloat16"] = _setting(
        "float32",
        "devices",
        "Type of the numbers. bfloat16: of all but weights, losses and softmax.",
    )
    jit_compile: bool = _setting(
        False, "devices", "Whether XLA compiles the steps; needs history_groups=1."
    )
    steps_per_execution: _Count = _setting(
        1, "devices", "Number of steps that run between two callbacks."
    )

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
            group: One of `GROUPS`; none takes all.
        """
        hints = typing.get_type_hints(cls, include_extras=True)
        return {
            field.name: make_setting(
                field.name, hints[field.name], field.default, field.metadata["help"]
            )
            for field in dataclasses.fields(cls)
            if field.metadata and group in (None, field.metadata["group"])
        }

    def check(self) -> "RunConfig":
        """Checks the settings against each other and against the model.

        Returns:
            The same settings, with every hyperparameter of the model written out.

        Raises:
            ConfigError: No such model or hyperparameter, a value that the model does
                not take, or settings that contradict each other.
        """
        if self.dataset_dir is None:
            raise ConfigError("dataset_dir is missing: name a dataset's folder")
        self._check_compiled()
        if self.warmup_steps and self.schedule == "plateau":
            raise ConfigError("warmup_steps needs schedule=cosine or schedule=linear")
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
        """The text of a config.json, which names the version of sar_tf too."""
        values = {_VERSION: sar_tf.__version__, **dataclasses.asdict(self)}
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
        try:
            values = json.loads(text)
            version = values.pop(_VERSION)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ConfigError(f"{path} is damaged ({error!r})") from error
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
            raise ConfigError(f"{path} is damaged (hyperparameters is no object)")
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
        return cls.from_json(Path(path).read_text(encoding="utf-8"), path)

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


def hyperparameter_settings(model: str) -> dict[str, Setting]:
    """The hyperparameters of a model by name.

    Raises:
        ConfigError: There is no such model.
    """
    from sar_tf import models

    try:
        return _as_settings(models.get(model).hyperparameters())
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _as_settings(found: Mapping[str, Any]) -> dict[str, Setting]:
    import inspect

    return {
        name: value
        if isinstance(value, Setting)
        else make_setting(name, inspect.Parameter.empty, value, "A hyperparameter.")
        for name, value in found.items()
    }


def _checked(setting: Setting, value: Any) -> Any:
    try:
        return setting.check(value)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _same(config: RunConfig, other: RunConfig, name: str) -> bool:
    return getattr(config, name) == getattr(other, name)
