"""The runs of a study: found, read and grouped into methods over seeds."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory

# Settings that change where and how long a run computes, not its method.
NOT_OF_THE_METHOD = {
    "checkpoint_minutes",
    "dataset_dir",
    "evaluation_batch_size",
    "history_groups",
    "jit_compile",
    "seed",
    "steps_per_execution",
    "strategy",
    "tpu",
}


class StudyError(ValueError):
    """Runs that cannot be put into one table; says which and what to do."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: Its folder.
        config: Its settings.
        ranks: "user", "task" and "rank" of every target of the split.
    """

    path: Path
    config: RunConfig
    ranks: dict[str, np.ndarray]

    def of_task(self, task: str) -> np.ndarray:
        """The ranks of a task's targets, in the records' order."""
        return self.ranks["rank"][self.ranks["task"] == task]

    def users_of(self, task: str) -> np.ndarray:
        """The users of a task's targets, in the records' order."""
        return self.ranks["user"][self.ranks["task"] == task]

    @property
    def tasks(self) -> list[str]:
        """The tasks that the run ranks."""
        return sorted({str(task) for task in np.unique(self.ranks["task"])})


@dataclasses.dataclass(frozen=True)
class Method:
    """Runs that differ in nothing but their seed.

    Attributes:
        name: What a table calls it.
        runs: {seed: run}
    """

    name: str
    runs: dict[int, Run]


def collect(arguments: Sequence[str], split: str) -> list[Method]:
    """Reads runs and groups them into methods.

    Args:
        arguments: Folders, each of a run or of runs at any depth. NAME=FOLDER names
            the method of all runs in a folder. A run in NAME/seed_N, as a sweep has
            it, is of the method NAME. The others are named by what their settings
            have of their own.
        split: "validation" or "test".

    Raises:
        StudyError: A folder has no finished run, or two runs of a method have the same
            seed.
        ConfigError: A run's config.json is damaged.
    """
    named: dict[str, list[Run]] = {}
    unnamed: list[Run] = []
    for argument in arguments:
        name, is_named, folder = argument.rpartition("=")
        is_named = is_named and not Path(argument).is_dir()
        runs = [
            _read(path, split) for path in _runs_in(folder if is_named else argument)
        ]
        for run in runs:
            if is_named:
                named.setdefault(name, []).append(run)
            elif run.path.resolve().name == f"seed_{run.config.seed}":
                named.setdefault(run.path.resolve().parent.name, []).append(run)
            else:
                unnamed.append(run)
    for name, runs in _by_settings(unnamed).items():
        named.setdefault(name, []).extend(runs)
    return [Method(name, _by_seed(name, runs)) for name, runs in named.items()]


def dataset_dirs(methods: Sequence[Method]) -> list[str]:
    """The folders of the datasets that the methods' runs were trained on."""
    return list(
        dict.fromkeys(
            str(run.config.dataset_dir)
            for method in methods
            for run in method.runs.values()
        )
    )


def varying_settings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The settings and hyperparameters that are not the same in all runs.

    Args:
        runs: The runs.

    Returns:
        {name: its value in each run, "" where a run's model has no such one}.
    """
    settings = [_settings(run) for run in runs]
    names = dict.fromkeys(name for own in settings for name in own)
    texts = {
        name: [_text(own[name]) if name in own else "" for own in settings]
        for name in names
    }
    return {name: own for name, own in texts.items() if len(set(own)) > 1}


def _runs_in(folder: str) -> list[Path]:
    found = {path.parent for path in Path(folder).rglob("metrics.json")}
    # What lies in a run's folder, such as the copies of its second stage, is its part.
    paths = sorted(path for path in found if not found.intersection(path.parents))
    if not paths:
        raise StudyError(f"{folder} holds no finished run (no metrics.json); name one")
    return paths


def _read(path: Path, split: str) -> Run:
    file = path / "ranks" / f"{split}.npz"
    if not file.is_file():
        raise StudyError(
            f"{file} is missing; python experiments/run.py --mode=evaluate "
            f"--run_dir={path} makes it"
        )
    with np.load(file) as ranks:
        return Run(path, RunDirectory(path).load_config(), dict(ranks))


def _by_settings(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by model and by those settings that are not the same in all its runs."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        parts = [run.config.model]
        same_model = [other for other in runs if other.config.model == parts[0]]
        for name, value in _settings(run).items():
            if any(_settings(other).get(name) != value for other in same_model):
                parts.append(f"{name}={_text(value)}")
        found.setdefault(" ".join(parts), []).append(run)
    return found


def _settings(run: Run) -> dict:
    values = json.loads(run.config.to_json())
    own = values.pop("hyperparameters")
    known = {name: values[name] for name in RunConfig.settings()}
    for name in NOT_OF_THE_METHOD:
        known.pop(name)
    return {**known, **own}


def _text(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _by_seed(name: str, runs: Sequence[Run]) -> dict[int, Run]:
    found: dict[int, Run] = {}
    for run in runs:
        seed = run.config.seed
        if seed in found and found[seed].path.resolve() != run.path.resolve():
            raise StudyError(
                f"{name}: {found[seed].path} and {run.path} both have seed {seed}; "
                "leave one out, or name them apart: NAME=FOLDER"
            )
        found[seed] = run
    return dict(sorted(found.items()))
