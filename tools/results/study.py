"""All tables of a study, as its flags want them."""

from collections.abc import Sequence
from pathlib import Path

from sar_tf.data.dataset_info import DatasetInfo
from tools.results.collect import Method, StudyError, dataset_dirs
from tools.results.published import published
from tools.results.table import Table, make_table


def make_tables(methods: Sequence[Method], options, metrics: str) -> list[Table]:
    """A table of each dataset and task.

    Args:
        methods: The study's methods.
        options: The values of the flags of `add_flags`.
        metrics: The metrics where the flags name none.

    Raises:
        StudyError, DatasetError: The runs make no table.
    """
    chosen = None
    if options.against is not None:
        named = {method.name: method for method in methods}
        if options.against not in named:
            raise StudyError(
                f"--against={options.against}: no such method; the runs are of "
                + ", ".join(named)
            )
        chosen = named[options.against]
    names = (options.metrics or metrics).split(",")
    tables = []
    for folder in dataset_dirs(methods):
        own = [
            Method(method.name, runs)
            for method in methods
            if (
                runs := {
                    seed: run
                    for seed, run in method.runs.items()
                    if run.config.dataset_dir == folder
                }
            )
        ]
        against = next((m for m in own if chosen and m.name == chosen.name), None)
        if chosen and against is None:
            raise StudyError(f"--against={chosen.name} has no run on {folder}")
        papers = {}
        # A run folder stands alone: its dataset may be gone.
        if options.split == "test" and Path(folder).is_dir():
            papers = published(DatasetInfo.load(folder))
        tasks = sorted({t for m in own for r in m.runs.values() for t in r.tasks})
        tables += [
            make_table(Path(folder).name, task, own, names, against, papers.get(task))
            for task in tasks
        ]
    return tables


def make_note(options) -> str:
    """What stands below the tables: what the numbers and marks mean."""
    note = (
        f"Metrics of the {options.split} split, mean ± standard deviation over seeds. "
        "The best measured value is bold, the second one is underlined."
    )
    if options.against is None:
        return note
    paired = {
        "target": "over targets, each with its mean over seeds",
        "seed": "over seeds",
    }[options.test]
    return (
        f"{note} * is better and † is worse than {options.against} (paired t-test "
        f"{paired}, p < {options.level})."
    )
