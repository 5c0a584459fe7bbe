"""What the job understands of the first rows of its tables, and a TOML to edit."""

import dataclasses
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.common.report import Report
from pipelines.logs.columns import USUAL_NAMES
from pipelines.logs.events import EventReport, parse_events
from pipelines.logs.rows import Rows
from pipelines.logs.settings import TABLES, FeatureTable, Settings
from pipelines.logs.sources import Source, first_rows, open_tables
from sar_tf.paths import as_path

EXAMPLES = 3


def describe(settings: Settings, path: str | os.PathLike) -> str:
    """A text on the tables; also writes all settings to a TOML file.

    Args:
        settings: The tables.
        path: The TOML file to write; an existing one is not overwritten.

    Raises:
        UserError: As the job, for files and columns.
        FileExistsError: The file exists.
    """
    lines = []
    with tempfile.TemporaryDirectory() as work:
        sources = open_tables(settings, Path(work))
        tables = {source.reading.name: source for source in sources.events}
        tables |= {f"{owner}s": source for owner, source in sources.features.items()}
        for name, source in tables.items():
            lines += _describe(name, source)
    found = {name: source.reading.columns for name, source in tables.items()}
    path = as_path(path)
    if path.exists():
        raise FileExistsError(errno.EEXIST, "it exists", os.fspath(path))
    path.write_text(to_toml(dataclasses.replace(settings, **found)), encoding="utf-8")
    lines.append(f"wrote {path}: edit it, then run the job with --config={path}")
    return "\n".join(lines)


def to_toml(settings: Settings) -> str:
    """All settings as TOML, each with a comment that explains it."""
    lines = []
    for field in dataclasses.fields(settings):
        if field.name not in TABLES:
            lines += _setting(field, getattr(settings, field.name))
    for name in TABLES:
        table = getattr(settings, name)
        if table is not None:
            lines.append(f"\n[{name}]")
            for field in dataclasses.fields(table):
                lines += _setting(field, getattr(table, field.name))
    return "\n".join(lines) + "\n"


def _setting(field: dataclasses.Field, value) -> Iterator[str]:
    value = list(value) if isinstance(value, tuple) else value
    # Texts, numbers and lists of texts are written alike in JSON and TOML.
    text = json.dumps(value, ensure_ascii=False)
    yield f"{field.name} = {text}  # {field.metadata['help']}"


def _describe(name: str, source: Source) -> Iterator[str]:
    columns = source.reading.columns
    files = {piece.name for piece in source.pieces}
    num_bytes = sum(piece.num_bytes for piece in source.pieces)
    yield f"[{name}] {len(files)} file(s), {num_bytes:,} bytes"
    rows = first_rows(source.pieces, columns)
    if isinstance(columns, FeatureTable):
        yield f"  id: {columns.id}"
        others = [*columns.categorical, *columns.numeric, *columns.multi]
        yield f"  features: {', '.join(others) or 'none'}; caption: {columns.caption}"
        named = {columns.id, columns.caption, *others}
        unused = [column for column in source.pieces[0].header if column not in named]
        yield f"  columns that are not read: {', '.join(unused) or 'none'}"
        return
    for role in USUAL_NAMES:
        yield f"  {role}: {getattr(columns, role) or '(none)'}"
    yield f"  times: {source.reading.time_format}, zone {source.reading.time_zone}"
    if columns.type:
        yield (
            f"  recommendations are {', '.join(columns.rec_values)}; "
            f"searches are {', '.join(columns.search_values)}"
        )
    yield from _examples(rows, source)


def _examples(rows: Rows, source: Source) -> Iterator[str]:
    report = EventReport(0, 0, [])
    events = parse_events(rows, source.reading, report)
    bad = rows.bad_rows()
    yield (
        f"  of the first {rows.num_rows:,} rows: {len(events.rec):,} clicked "
        f"recommendations, {len(events.search):,} of searches, {len(bad):,} malformed"
    )
    yield from _others(report, bad)
    texts = _texts(events)
    for row in np.concatenate([events.rec[:EXAMPLES]]).tolist():
        user, item, time, _ = row
        yield (
            f"  recommendation: user {texts[user]!r} clicked {texts[item]!r} at "
            f"{np.datetime64(time, 'ms')}Z"
        )
    for row in events.search[:EXAMPLES]:
        clicked = texts[row["item"]] or "nothing"
        yield (
            f"  search: user {texts[row['user']]!r}, words "
            f"{texts[row['query']].split()}, clicked {clicked!r} at "
            f"{np.datetime64(int(row['time']), 'ms')}Z"
        )


def _others(report: Report, bad) -> Iterator[str]:
    for name, count in report.other_types.items():
        yield f"  {count:,} of type {name!r}, which is not read"
    for row in bad[:EXAMPLES]:
        yield f"  malformed: {row.reason}: {row.text[:100]}"


def _texts(events) -> dict[int, str]:
    from pipelines.common.keys import keys_of

    texts = {0: ""}
    for kind in events.texts.values():
        texts.update(zip(keys_of(kind).tolist(), kind, strict=True))
    return texts
