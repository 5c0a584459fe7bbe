"""Writes the best items of the whole catalogue for every user to Parquet files.

    python -m tools.score_users --run_dir=runs/beauty --output_dir=scores/beauty

The run's served model scores all items for each user as of now: by the whole history of
the user's record. With --retrieval it scores only the items that its retrieval head
finds, as its signature retrieve_rec does: most of the best ones, in a fraction of the
time. Items that the user interacted with are left out. A file has the
columns "user" (raw id), "items" (raw ids, the best first) and "scores" (their click
probabilities). All files are there when the last one, part-…-of-…, is; a call that was
killed is repeated, and goes on with the first file that is missing.
"""

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from pipelines.common.progress import progress
from sar_tf.files import whole_file, write_text
from sar_tf.startup import import_tensorflow, keep_freed_memory
from tools.arguments import positive

PROGRAM = "tools.score_users"
_USERS = 1024  # Of a file.
_ABOUT = "_about.json"  # Readers of a folder of Parquet leave out names with _.


class ScoreError(ValueError):
    """Users cannot be scored; says why, in one line."""


def main(argv: list[str] | None = None) -> None:
    """Runs a command line; an error is one line and the exit status 1."""
    from sar_tf.data.dataset_info import DatasetError
    from sar_tf.training.checkpoint import CheckpointError
    from sar_tf.training.config import ConfigError
    from sar_tf.training.run_directory import RunDirectoryError

    args = _make_parser().parse_args(argv)
    try:
        users = None if args.users is None else read_users(args.users)
        changes = {"dataset_dir": args.dataset_dir} if args.dataset_dir else {}
        began = time.monotonic()
        number = score_users(
            args.run_dir, args.output_dir, args.top_k, users, args.retrieval, **changes
        )
        rate = number / max(time.monotonic() - began, 1e-3)
        print(f"{number:,} users, {rate:,.1f} a second: {args.output_dir}", flush=True)
    except (
        CheckpointError,
        ConfigError,
        DatasetError,
        OSError,
        RunDirectoryError,
        ScoreError,
    ) as error:
        sys.exit(f"{PROGRAM}: {error}")


def read_users(path: Path) -> list[str]:
    """The raw ids of a file, one a line.

    Raises:
        ScoreError: The file names no user.
    """
    users = [line for line in path.read_text("utf-8").splitlines() if line]
    if not users:
        raise ScoreError(f"{path} names no user; it has one raw id a line")
    return users


def score_users(
    run_dir: Path,
    output_dir: Path,
    k: int,
    users: Collection[str] | None = None,
    retrieval: bool = False,
    **changes: Any,
) -> int:
    """Writes the files that are missing.

    Args:
        run_dir: The run's folder.
        output_dir: The folder of the files.
        k: Items of a user; fewer where the user knows more of the catalogue.
        users: Raw ids of the users; None is all.
        retrieval: Whether only the items that the retrieval head finds are scored.
        changes: Settings of `RunConfig` that differ from the run's.

    Returns:
        Number of users that this call has scored.

    Raises:
        ScoreError: The model does not recommend, it has no retrieval head, or the
            folder holds other scores.
        DatasetError: A user is unknown.
    """
    from sar_tf.data.now import users_now
    from sar_tf.training.catalogue import with_more_needs
    from sar_tf.training.finished import load_run

    model, data = load_run(run_dir, served=True, **changes)
    if "rec" not in model.tasks:
        raise ScoreError(f"run_dir={run_dir}: the model has no recommendation task")
    model = model.for_task("rec")
    if retrieval and model.retrieval_head is None:
        raise ScoreError(
            f"run_dir={run_dir}: the model has no retrieval head (retrieval_weight=0); "
            "leave out --retrieval"
        )
    names = data.dataset.vocabulary("user")
    # Before the folder is made for them: one may be unknown.
    chosen = None if users is None else data.dataset.dense_ids("user", users)
    number = len(names) if chosen is None else len(chosen)
    about = {
        "weights": _checksum(model),
        "shards": [shard["sha256"] for shard in data.dataset.info.shards],
        "users": None if users is None else sorted(set(users)),
        "top_k": k,
    } | ({"retrieval": True} if retrieval else {})
    paths = _open_folder(output_dir, about, -(-number // _USERS))
    done = next((i for i, path in enumerate(paths) if not path.is_file()), len(paths))
    left = max(number - done * _USERS, 0)
    if not left:
        return 0
    needs = with_more_needs(model.needs)
    data = dataclasses.replace(data, needs=needs)
    batches = users_now(data, _USERS, chosen, skipped=done)
    best = _make_best(model, data.dataset, k, retrieval)
    raw = [names, data.dataset.vocabulary("item")]
    with progress("users", left, " users") as bar:
        for path, batch in zip(paths[done:], batches, strict=True):
            rows = {}
            for found in best(batch):
                rows[found[0]] = found[1:]
                bar.update(1)
            _write(path, [rows[row] for row in sorted(rows)], *raw)
    return left


def _make_best(model, dataset, k, retrieval) -> Callable[[dict], Iterator[tuple]]:
    """A batch -> (row, user, items, scores) of each user: the best items' dense ids."""
    import numpy as np

    from sar_tf.data.known_items import KnownItems
    from sar_tf.models.catalogue import NUM_RANKED
    from sar_tf.training.catalogue import CatalogueScorer, RetrievedScorer

    known = KnownItems(dataset)
    if retrieval:
        retriever = RetrievedScorer(model, "rec", max(k, NUM_RANKED))
    else:
        scorer, every = CatalogueScorer(model), np.arange(model.spec.num_items + 1)

    def parts(batch, users, rows):
        if retrieval:
            yield from retriever.score(batch, rows, lambda own: known.of(users[own]))
            return
        for own, scores, _ in scorer.score("rec", batch, rows):
            scores[:, 0] = scores[known.of(users[own])] = -1.0
            yield own, np.broadcast_to(every, scores.shape), scores

    def best(batch):
        users = batch["rec"]["user"].numpy()
        for part in parts(batch, users, np.arange(len(users))):
            for row, items, scores in zip(*part, strict=True):
                yield int(row), int(users[row]), *_best(items, scores, k)

    return best


def _best(items, scores, k):
    """The k items with the highest scores of 0 or more, by falling score."""
    import numpy as np

    number = min(k, int((scores >= 0).sum()))
    near = np.argpartition(-scores, number - 1)[:number] if number else []
    near = sorted(near, key=lambda place: (-scores[place], items[place]))
    return items[near], scores[near]


def _write(path, rows, users, items):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "user": pa.array([users[user - 1] for user, _, _ in rows], pa.string()),
            "items": pa.array(
                [[items[item - 1] for item in found] for _, found, _ in rows],
                pa.list_(pa.string()),
            ),
            "scores": pa.array(
                [scores.tolist() for _, _, scores in rows], pa.list_(pa.float32())
            ),
        }
    )
    with whole_file(path) as beside:
        pq.write_table(table, beside)


def _open_folder(folder, about, number):
    """The paths of all files; fails if the folder holds files of another result."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about, indent=2) + "\n"
    path = folder / _ABOUT
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ScoreError(
            f"output_dir={folder} holds scores of another model, of other records, "
            "users, top_k or --retrieval; name another folder"
        )
    if not path.is_file():
        if any(folder.glob("*.parquet")):
            raise ScoreError(
                f"output_dir={folder} holds other Parquet files; name another folder"
            )
        write_text(path, text)
    return [
        folder / f"part-{index:05d}-of-{number:05d}.parquet" for index in range(number)
    ]


def _checksum(model):
    """A SHA-256 of all weights."""
    checksum = hashlib.sha256()
    for weight in model.get_weights():
        checksum.update(weight.tobytes())
    return checksum.hexdigest()


def _make_parser():
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_dir", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="folder of the Parquet files"
    )
    parser.add_argument(
        "--top_k", type=positive, default=100, help="items of a user (default: 100)"
    )
    parser.add_argument(
        "--users", type=Path, help="file of raw ids, one a line; all users by default"
    )
    parser.add_argument(
        "--retrieval",
        action="store_true",
        help="score only the items that the model's retrieval head finds",
    )
    parser.add_argument(
        "--dataset_dir", help="another copy of the run's dataset, with newer records"
    )
    return parser


if __name__ == "__main__":
    keep_freed_memory()
    import_tensorflow()  # First, so that it prints less.
    main()
