"""What a search tells of its trials: trials.csv, best.flags, HParams and a picture."""

import csv
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from experiments import flags
from experiments.search import Search, setting_of
from sar_tf.files import whole_file, write_text
from tools.figures import coordinates, style

_COMPLETED = "COMPLETED"


@dataclasses.dataclass(frozen=True)
class Row:
    """A trial.

    Attributes:
        name: "trial_N".
        run: Name of the run's folder; a rung of Hyperband goes on in that of the rung
            before.
        status: Keras Tuner's word.
        score: The objective; None without one.
        texts: The texts of the settings in the space.
        epochs: The epochs of a rung of Hyperband, counted from the first one; else
            None.
    """

    name: str
    run: str
    status: str
    score: float | None
    texts: Mapping[str, str]
    epochs: int | None


def row_of(trial: Any, find: Callable[[str], Any]) -> Row:
    """The row of a trial of Keras Tuner.

    Args:
        trial: The trial.
        find: Gives the trial of an id.
    """
    values = trial.hyperparameters.values
    first = trial
    while before := first.hyperparameters.values.get("tuner/trial_id"):
        first = find(before)
    return Row(
        name=f"trial_{trial.trial_id}",
        run=f"trial_{first.trial_id}",
        status=trial.status,
        score=trial.score,
        texts={
            # Six digits of a number of a range.
            name: value if isinstance(value, str) else f"{value:.6g}"
            for name, value in values.items()
            if not name.startswith("tuner/")
        },
        epochs=values.get("tuner/epochs"),
    )


def report(search: Search, rows: Sequence[Row], objective: str) -> bool:
    """Writes trials.csv and best.flags, and prints the best trial so far.

    Args:
        search: The search.
        rows: All trials, in the order of their start.
        objective: Its name.

    Returns:
        Whether a trial is finished.
    """
    _write_csv(search, rows, objective)
    done = [row for row in rows if row.status == _COMPLETED]
    if not done:
        return False
    best = _best(done)
    text = flags.flagfile_text(search.config(best.texts, best.epochs))
    write_text(search.folder / "best.flags", text)
    failed = sum(row.status == "FAILED" for row in rows)
    print(
        f"{len(done)} trials finished{f', {failed} failed' if failed else ''}; best so "
        f"far: {best.name}, {objective} {best.score:.4f}, {_settings(best)}",
        flush=True,
    )
    return True


def _best(done):
    return max(done, key=lambda row: row.score)


def _settings(row):
    return " ".join(f"--{name}={text}" for name, text in row.texts.items())


def _write_csv(search, rows, objective):
    with (
        whole_file(search.folder / "trials.csv") as beside,
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        epochs = ["epochs"] if search.tuner == "hyperband" else []
        writer.writerow(["trial", "run", "status", objective, *epochs, *search.space])
        for row in rows:
            # Workers send their metrics as float32.
            score = "" if row.score is None else f"{row.score:.6f}"
            texts = [row.texts[name] for name in search.space]
            own = [row.epochs] if epochs else []
            writer.writerow([row.name, row.run, row.status, score, *own, *texts])


def draw(search: Search, rows: Sequence[Row], objective: str) -> None:
    """Draws the finished trials as parallel coordinates, with their numbers beside.

    Args:
        search: The search.
        rows: As `report`.
        objective: Its name.
    """
    done = [row for row in rows if row.status == _COMPLETED]
    axes = [
        coordinates.number_axis(name, values.texts, values.is_log)
        if values.is_range
        else coordinates.list_axis(name, values.texts)
        for name, values in search.space.items()
    ]
    lines = [
        coordinates.Line(row.name, [row.texts[name] for name in search.space], score)
        for row in done
        if (score := row.score) is not None
    ]
    figure = style.new_figure(len(axes) + 1, width=1.6, height=4.0)
    coordinates.draw(figure, axes, lines, objective)
    table = coordinates.csv_rows(axes, lines, objective)
    style.save(figure, table, str(search.folder), "parallel_coordinates")


def log_space(search: Search, objective: str) -> None:
    """Tells TensorBoard's HParams which settings and which metric a search has."""
    names = [
        hparams.HParam(name, _domain(search, name, values))
        for name, values in search.space.items()
    ]
    with _writer(search, "space"):
        hparams.hparams_config(names, [hparams.Metric(objective)])


def log_trial(
    search: Search, row: Row, metrics: Mapping[str, float], epoch: int
) -> None:
    """Tells TensorBoard's HParams a trial's settings and metrics.

    Args:
        search: The search.
        row: The trial.
        metrics: Its metrics by name, the objective among them.
        epoch: The epoch that they are of.
    """
    with _writer(search, row.name):
        values = {name: _value(search, name, text) for name, text in row.texts.items()}
        hparams.hparams(values, trial_id=row.name)
        for name, value in metrics.items():
            tf.summary.scalar(name, value, step=epoch)


def _writer(search, name):
    folder = search.folder / "hparams" / name
    return tf.summary.create_file_writer(str(folder)).as_default()


def _domain(search, name, values):
    ends_or_all = [_value(search, name, text) for text in values.texts]
    if not values.is_range:
        return hparams.Discrete(ends_or_all)
    kind = hparams.IntInterval if values.is_whole else hparams.RealInterval
    return kind(*ends_or_all)


def _value(search, name, text):
    """A number or a truth value where all values of the setting are, else the text."""
    values = search.space[name]
    if values.is_range:
        return int(text) if values.is_whole else float(text)
    setting = setting_of(name, search.model)
    return text if setting.is_optional or setting.is_tuple else setting.parse(text)
