"""Tables of the runs of a study: mean and deviation over seeds, t-tests, best values.

    python -m tools.results runs/sweep --against=unisar --output=results

RUN is a folder of a run, or of runs at any depth; NAME=RUN names its method. Without
--output the Markdown is printed. --help lists the flags.
"""

import argparse
import sys
from pathlib import Path

from sar_tf.startup import import_tensorflow

_METRICS = {
    "methods": "NDCG@5,NDCG@10,HR@1,HR@5,HR@10,MRR",
    "metrics": "HR@1,HR@5,HR@10,NDCG@5,NDCG@10",
}


def main(argv: list[str] | None = None) -> None:
    """Runs a command line; an error is one line and the exit status 1."""
    from sar_tf.data.dataset_info import DatasetError
    from sar_tf.files import WriteError
    from sar_tf.training.config import ConfigError
    from sar_tf.training.run_directory import RunDirectoryError
    from tools.results.collect import StudyError

    args = make_parser().parse_args(argv)
    errors = (ConfigError, DatasetError, RunDirectoryError, StudyError, WriteError)
    try:
        if not args.runs:
            raise StudyError("name one run or more: python -m tools.results RUN …")
        _write(make_texts(args.runs, args), args.output)
    except errors as error:
        sys.exit(f"results: {error}")


def make_texts(arguments, options) -> dict[str, str]:
    """The study's tables.

    Args:
        arguments: As `collect`.
        options: The values of the flags.

    Returns:
        The text of each file: {"results.md": …, "results.tex": …, "results.csv": …}.

    Raises:
        StudyError, ConfigError, DatasetError: The runs make no table.
    """
    from tools.results import layout
    from tools.results.collect import StudyError, collect

    methods = collect(arguments, options.split)
    chosen = None
    if options.against is not None:
        named = {method.name: method for method in methods}
        if options.against not in named:
            raise StudyError(
                f"--against={options.against}: no such method; the runs are of "
                + ", ".join(named)
            )
        chosen = named[options.against]
    tables = _tables(methods, chosen, options)
    note = _note(options)
    settings = (tables, options.rows, options.test, options.level, note)
    return {
        "results.md": layout.markdown(*settings),
        "results.tex": layout.latex(*settings),
        "results.csv": layout.csv_text(tables),
    }


def _tables(methods, chosen, options):
    from sar_tf.data.dataset_info import DatasetInfo
    from tools.results.collect import Method, StudyError, dataset_dirs
    from tools.results.published import published
    from tools.results.table import make_table

    metrics = (options.metrics or _METRICS[options.rows]).split(",")
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
            make_table(Path(folder).name, task, own, metrics, against, papers.get(task))
            for task in tasks
        ]
    return tables


def _note(options) -> str:
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


def _write(texts, output):
    from sar_tf.files import write_text

    if output is None:
        print(texts["results.md"], end="")
        return
    Path(output).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(Path(output) / name, text)
        print(Path(output) / name)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all flags."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help="a folder, or NAME=FOLDER")
    add(
        "--split",
        default="test",
        choices=("test", "validation"),
        help="split that is ranked (test)",
    )
    add("--against", help="method that the others are tested against")
    add(
        "--test",
        default="target",
        choices=("target", "seed"),
        help="pairs of the marked t-test (target)",
    )
    add(
        "--level",
        type=float,
        default=0.01,
        help="p-value of a significant difference (0.01)",
    )
    add("--metrics", help="metrics, separated by commas")
    add(
        "--rows",
        default="methods",
        choices=("methods", "metrics"),
        help="methods: as SESRec's Table 2; metrics: as UniSAR's Tables 3 and 4",
    )
    add("--output", help="folder of results.md, results.tex and results.csv")
    return parser


if __name__ == "__main__":
    import_tensorflow()  # First, so that it prints less.
    main()
