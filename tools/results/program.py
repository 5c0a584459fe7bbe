"""How the programs that read runs end: each error is one line."""

import contextlib
import sys
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def exits_in_one_line(program: str, runs: Sequence[str]) -> Iterator[None]:
    """Turns an error that a user can mend into one line and the exit status 1.

    Args:
        program: What the line begins with: "results".
        runs: The folders that were named; none is an error.
    """
    # Here, so that --help needs no TensorFlow.
    from sar_tf.data.dataset_info import DatasetError
    from sar_tf.files import WriteError
    from sar_tf.training.build import ModelError
    from sar_tf.training.checkpoint import CheckpointError
    from sar_tf.training.config import ConfigError
    from sar_tf.training.run_directory import RunDirectoryError
    from tools.results.collect import StudyError

    try:
        if not runs:
            raise StudyError(f"name one run or more: python -m tools.{program} RUN …")
        yield
    except (
        CheckpointError,
        ConfigError,
        DatasetError,
        ModelError,
        RunDirectoryError,
        StudyError,
        WriteError,
    ) as error:
        sys.exit(f"{program}: {error}")
