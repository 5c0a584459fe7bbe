"""Runs Apache Beam pipelines: options, and errors of one line."""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.common.job import UserError

# What Beam adds to the text of an error in a step.
_STEP = re.compile(r" \[while running '[^\n]*'\]")
# The same error as other runners tell of it: as the text of a worker's traceback.
_USER_ERROR = re.compile(rf"^{UserError.__module__}\.UserError: (.+)$", re.MULTILINE)


def parse_options(flags: Sequence[str]) -> PipelineOptions:
    """Beam's options from flags, such as --runner=DirectRunner.

    Args:
        flags: The flags of the command line that are not the job's own.

    Raises:
        UserError: Beam has no such flag; Beam itself would only log a warning.
    """
    options = PipelineOptions(list(flags))
    parsers: list = []
    options.get_all_options(add_extra_args_fn=parsers.append)
    unknown = parsers[0].parse_known_args(list(flags))[1]
    if unknown:
        raise UserError(
            f"neither the job nor Apache Beam has the flag {unknown[0]}; --help lists "
            "the job's own"
        )
    return options


@contextlib.contextmanager
def run_pipeline(options: PipelineOptions) -> Iterator[beam.Pipeline]:
    """Gives a pipeline to fill, then runs it to its end.

    Raises:
        UserError: A step raised one, on whichever machine.
    """
    # Beam logs the traceback of every error that it then raises.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    try:
        with beam.Pipeline(options=options) as pipeline:
            yield pipeline
    except UserError as error:
        raise UserError(_STEP.sub("", str(error))) from error
    except RuntimeError as error:
        found = _USER_ERROR.search(str(error))
        if found is None:
            raise
        raise UserError(_STEP.sub("", found[1])) from error
