"""Prints a dataset's info, and one user's sequence in readable form.

    python tools/inspect_records.py --dataset_dir=data/beauty --user=A1YJEY40YUW4SE

Without --user it prints only the dataset's info.
"""

import argparse
import datetime
import itertools
import sys

from sar_tf.startup import import_tensorflow

_MILLISECONDS = 100_000_000_000  # Timestamps of at least this are in milliseconds.


def main(argv: list[str] | None = None) -> None:
    """Runs a command line; an error is one line and the exit status 1."""
    from sar_tf.data.dataset import SequenceDataset
    from sar_tf.data.dataset_info import DatasetError

    parser = argparse.ArgumentParser(
        prog="inspect_records.py", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--dataset_dir", required=True, help="dataset folder, made by a pipeline"
    )
    parser.add_argument("--user", help="raw id of the user to print")
    args = parser.parse_args(argv)
    try:
        dataset = SequenceDataset.open(args.dataset_dir)
        print(describe_info(dataset.info))
        if args.user is not None:
            print()
            print(describe_user(dataset, args.user))
    except DatasetError as error:
        sys.exit(f"inspect_records.py: {error}")


def describe_info(info) -> str:
    """A dataset's info as lines of text."""
    lines = {
        "dataset": info.name,
        "made by": info.command,
        "seed": info.seed,
        "schema version": info.schema_version,
        "split rule": info.split_rule,
        "tokenizer": info.tokenizer or "unknown",
        **{name.replace("_", " "): number for name, number in info.counts.items()},
        "words": info.num_words,
        "search sources": info.num_search_sources,
        "longest query": f"{info.max_query_words} words",
        "most clicks": f"{info.max_clicked_items} items in a session",
        "stored candidates": f"{info.num_candidates} negatives a target",
    }
    for task, splits in info.targets.items():
        lines[f"{task} targets"] = ", ".join(
            f"{number} {split}" for split, number in splits.items()
        )
    for owner, features in info.features.items():
        lines[f"{owner} features"] = ", ".join(
            f"{name} ({feature['kind']}, {feature['num']})"
            for name, feature in features.items()
        )
    lines["shards"] = (
        f"{len(info.shards)}, {sum(shard['num_bytes'] for shard in info.shards)} bytes"
    )
    return "\n".join(f"{name:18} {value}" for name, value in lines.items())


def describe_user(dataset, raw_user: str) -> str:
    """One user's sequence in raw ids: a line for each behavior, with its targets.

    Args:
        dataset: A `SequenceDataset`.
        raw_user: The user's id in the raw log.

    Raises:
        DatasetError: The dataset has no such user.
    """
    record = _find_record(dataset, raw_user)
    items = ["none", *dataset.vocabulary("item")]
    words = ["?", *dataset.vocabulary("word")]
    clicked = _rows(record, "clicked_items")
    queries = _rows(record, "query_words")
    targets = _targets_by_behavior(record, items)
    lines = [
        f"user {raw_user} (dense id {record['user'][0]}): {len(record['type'])} "
        f"behaviors, {len(record['target_item'])} targets"
    ]
    for index, is_rec in enumerate(record["type"]):
        if is_rec:
            text = f"rec     {items[record['item'][index]]}"
        else:
            query = " ".join(words[word] for word in queries[index])
            text = f'search  "{query}"'
            if record["search_source"][index]:
                sources = dataset.vocabulary("search_source")
                text += f" from {sources[record['search_source'][index] - 1]}"
            found = " ".join(items[item] for item in clicked[index]) or "nothing"
            text += f", clicked {found}"
        time = _readable_time(record["timestamp"][index])
        lines.append(f"{index:5}  {time}  {text}{targets.get(index, '')}")
    return "\n".join(lines)


def _find_record(dataset, raw_user: str) -> dict:
    import tensorflow as tf

    from sar_tf.data.dataset_info import DatasetError
    from sar_tf.data.schema import parse_records

    users = dataset.vocabulary("user")
    if raw_user not in users:
        raise DatasetError(
            f"{dataset.dataset_dir} has no user {raw_user!r}; its users are in "
            "vocabularies/user.txt"
        )
    dense = users.index(raw_user) + 1
    dataset.require_intact(dataset.info.shards)
    for serialized in tf.data.TFRecordDataset(dataset.shard_paths()).batch(1024):
        found = tf.where(parse_records(serialized, ["user"])["user"] == dense)
        if len(found):
            record = parse_records(tf.gather(serialized, found[0]))
            return {name: column.numpy() for name, column in record.items()}
    raise DatasetError(f"{dataset.dataset_dir}: no shard has a record of {raw_user!r}")


def _rows(record: dict, name: str) -> list:
    splits = record[f"{name}_splits"]
    return [record[name][start:end] for start, end in itertools.pairwise(splits)]


def _targets_by_behavior(record: dict, items: list[str]) -> dict[int, str]:
    from sar_tf.data.schema import SPLITS, TASKS

    tasks = {number: name for name, number in TASKS.items()}
    splits = {number: name for name, number in SPLITS.items()}
    texts: dict[int, str] = {}
    for index, behavior in enumerate(record["target_behavior"]):
        task = tasks[record["target_task"][index]]
        split = splits[record["target_split"][index]]
        text = (
            f"  <- {task} {split} target {items[record['target_item'][index]]}, "
            f"history {record['target_history_end'][index]}"
        )
        texts[behavior] = texts.get(behavior, "") + text
    return texts


def _readable_time(timestamp: int) -> str:
    seconds = timestamp / 1000 if timestamp >= _MILLISECONDS else timestamp
    time = datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc)
    return f"{time:%Y-%m-%d %H:%M:%S}"


if __name__ == "__main__":
    import_tensorflow()  # First, so that it prints less.
    main()
