"""The job from pandas."""

import os
from typing import Any

import pandas as pd

from pipelines.common.job import UserError
from pipelines.logs.build import build_dataset
from pipelines.logs.settings import make_settings
from sar_tf.files import folder_beside
from sar_tf.paths import as_path


def write_dataset(
    events: pd.DataFrame | None = None,
    *,
    output_dir: str | os.PathLike,
    recs: pd.DataFrame | None = None,
    searches: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
    users: pd.DataFrame | None = None,
    columns: dict[str, Any] | None = None,
    seed: int = 1,
    max_bad_fraction: float = 0.01,
    allow_empty_splits: bool = False,
    **settings: Any,
) -> None:
    """Makes a dataset from DataFrames, as `python -m pipelines.logs` does from files.

    Args:
        events: Recommendations and searches; or `recs` and `searches` apart.
        output_dir: Folder to make; it appears when complete. May be remote.
        recs, searches: Tables of one of them.
        items, users: Tables of features.
        columns: Their columns, by the names that the TOML file has, such as
            `{"events.user": "customer", "items.categorical": ["brand"]}`.
        seed: Seed of the draw of negatives.
        max_bad_fraction: Largest share of malformed rows in a table.
        allow_empty_splits: Whether a split may have no target.
        settings: Others of the TOML file: split, keep, min_interactions, …

    Raises:
        UserError: As the job.

    Example:
        sar_tf.write_dataset(events, items=items, output_dir="data/shop",
                             columns={"items.caption": "title"})
    """
    frames = {
        "events": events,
        "recs": recs,
        "searches": searches,
        "items": items,
        "users": users,
    }
    with folder_beside(as_path(output_dir)) as folder:
        values = {**settings, **(columns or {})}
        for name, frame in frames.items():
            if frame is None:
                continue
            path = folder / f"{name}.parquet"
            try:
                frame.to_parquet(path, index=False, row_group_size=1 << 17)
            except (TypeError, ValueError) as error:  # Of Arrow, too.
                raise UserError(
                    f"{name}: a column holds values of different types ({error})"
                ) from error
            values[f"{name}.files"] = [str(path)]
        build_dataset(
            output_dir,
            settings=make_settings(values),
            seed=seed,
            max_bad_fraction=max_bad_fraction,
            allow_empty_splits=allow_empty_splits,
            command="sar_tf.write_dataset(…)",
        )
