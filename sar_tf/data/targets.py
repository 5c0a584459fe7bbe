"""Reads the targets of one task from records, with histories and candidates."""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.negatives import index_free_items, sample_negatives
from sar_tf.data.records import iterate_blocks, read_blocks
from sar_tf.data.schema import SPLITS, TASKS, parse_records
from sar_tf.data.sessions import Sessions, number_sessions
from sar_tf.data.windows import cut_windows, index_sequences

ALL = "all"  # All splits together.
_CUT_TOGETHER = 1024  # Targets whose windows are cut by one call.
_FIELDS = (
    "user",
    "type",
    "item",
    "query",
    "search_source",
    "clicked_items",
    "target_task",
    "target_split",
    "target_behavior",
    "target_item",
    "target_history_end",
)

fold_in = tf.random.experimental.stateless_fold_in
# The functions have no Python control flow on tensors. Converting them would take
# most of the time to build a dataset.
plain_graph = tf.autograph.experimental.do_not_convert


@dataclasses.dataclass(frozen=True)
class TargetReader:
    """Reads the targets of one task and split, of many users at once.

    Each of several workers reads a share of the records (see `read_blocks`). With
    `users`, the reader reads only the targets of these users.

    A seed means training: the reader shuffles targets across users and draws their
    negatives, and `sequence_negatives` more for the losses that read a sequence.
    Without a seed, targets keep the order of the records and have the stored
    candidates. One seed gives all tasks the same shuffle. If each behavior is a target
    of both tasks, both tasks of a step therefore have the same histories.

    With `session_minutes`, histories tell the sessions of their behaviors, which longer
    pauses end.
    """

    dataset: SequenceDataset
    max_rec_history: int
    max_search_history: int
    max_clicked_items: int
    num_negatives: int
    reads_history: bool = True
    reads_time: bool = False
    session_minutes: int | None = None
    sequence_negatives: int = 0
    users: tuple[int, ...] | None = None
    worker: int = 0
    num_workers: int = 1

    def read(self, task: str, split: str, seed: tf.Tensor | None) -> tf.data.Dataset:
        """Rows of targets, several in each element.

        Args:
            task: "rec" or "search".
            split: "train", "validation", "test" or `ALL`.
            seed: `(2,)` seed of all random draws, or None.

        Returns:
            A dataset of dicts: the columns of `windows.cut_windows`, "user" `(T,)`,
            "history_end" `(T,)` within the user's sequence, "candidates" `(T, C)` with
            the positive first and, for searches, "query" `(T,)`; with `reads_time`
            the target's "time" `(T,)`, int64. In training also
            "is_last" `(T,)`, whether it is its user's last target of the task and
            split, and "sequence_negatives" `(T, sequence_negatives)` where there are
            any. It has at least one element, which may have no rows.
        """
        if seed is not None and self.num_workers > 1:
            seed = fold_in(seed, self.worker)
        blocks = read_blocks(self.dataset, seed, self.worker, self.num_workers)
        blocks = blocks.enumerate()
        blocks = blocks.map(
            functools.partial(self._parse_block, task=task, split=split, seed=seed),
            num_parallel_calls=2,
        )

        @plain_graph
        def cut_block(block: dict) -> tf.data.Dataset:
            number = tf.shape(block["targets"]["user"], out_type=tf.int64)[0]
            chunks = tf.data.Dataset.range(tf.maximum(-(-number // _CUT_TOGETHER), 1))
            return chunks.map(
                functools.partial(self._cut_chunk, block=block, task=task, seed=seed),
                num_parallel_calls=parallel_calls(),
            )

        return blocks.prefetch(1).flat_map(cut_block)

    @plain_graph
    def _parse_block(
        self,
        index: tf.Tensor,
        serialized: tf.Tensor,
        task: str,
        split: str,
        seed: tf.Tensor | None,
    ) -> dict:
        """The sequences of a block of users, and its targets."""
        more = "candidates" if seed is None else "user_items"
        reads_time = self.reads_time or self.session_minutes is not None
        times = ("timestamp",) if reads_time else ()
        flat = parse_records(serialized, (*_FIELDS, more, *times))
        flat = {
            name: column if name in times else tf.cast(column, tf.int32)
            for name, column in flat.items()
        }

        wanted = tf.equal(flat["target_task"], TASKS[task])
        if split != ALL:
            wanted &= tf.equal(flat["target_split"], SPLITS[split])
        if self.users is not None:
            wanted &= tf.gather(_is_one_of(flat["user"], self.users), _owners(flat))
        target = tf.cast(tf.where(wanted)[:, 0], tf.int32)
        block = {"index": index}
        if self.reads_history:
            block["sequences"] = index_sequences(flat, self.max_clicked_items)
        if self.session_minutes is not None:
            block["sessions"] = number_sessions(flat["timestamp"], self.session_minutes)
        if seed is not None:
            target = tf.random.experimental.stateless_shuffle(
                target, fold_in(seed, index)
            )
            block["free_items"] = index_free_items(
                flat["user_items"],
                flat["user_items_splits"],
                self.dataset.info.num_items,
            )
        block["targets"] = targets = _gather_targets(flat, target)
        if seed is not None:
            targets["is_last"] = _is_last_of_user(target, targets["row"])
        else:
            targets["stored"] = _gather_stored(
                flat, target, self.dataset.info.num_candidates
            )
        return block

    @plain_graph
    def _cut_chunk(
        self, chunk: tf.Tensor, block: dict, task: str, seed: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        first = chunk * _CUT_TOGETHER
        targets = {
            name: column[first : first + _CUT_TOGETHER]
            for name, column in block["targets"].items()
        }
        rows = {}
        if self.reads_history:
            rows = cut_windows(
                block["sequences"],
                targets["history_start"],
                targets["history_end"],
                self.max_rec_history,
                self.max_search_history,
                self._sessions(block, targets),
            )
        if seed is None:
            others = targets["stored"]
        else:
            seed = fold_in(fold_in(seed, TASKS[task]), block["index"])
            seed = fold_in(seed, chunk)
            draw = functools.partial(
                sample_negatives,
                block["free_items"],
                targets["row"],
                self.dataset.info.num_items,
            )
            others = draw(self.num_negatives, seed)
            rows["is_last"] = targets["is_last"]
            if self.sequence_negatives:
                rows["sequence_negatives"] = draw(
                    self.sequence_negatives, fold_in(seed, 1)
                )
        if self.reads_time:
            rows["time"] = targets["time"]
        rows["user"] = targets["user"]
        rows["history_end"] = targets["history_end"] - targets["history_start"]
        rows["candidates"] = tf.concat([targets["item"][:, None], others], axis=1)
        if task == "search":
            rows["query"] = targets["query"]
        return rows

    def _sessions(self, block, targets):
        """Those of behaviors and targets; None where histories do not tell them."""
        if self.session_minutes is None:
            return None
        # A history ends at the first behavior of the target's time.
        of_target = tf.gather(block["sessions"], targets["history_end"])
        return Sessions(block["sessions"], of_target)


def count_targets(
    dataset: SequenceDataset,
    worker: int,
    num_workers: int,
    users: tuple[int, ...] | None = None,
) -> dict[str, dict[str, int]]:
    """Targets in a worker's share of the records: {task: {split: number}}.

    Args:
        dataset: The dataset with the records.
        worker, num_workers: Index and number of workers; see `read_blocks`.
        users: Users whose targets count; None is all.
    """
    counts = np.zeros(len(TASKS) * len(SPLITS), np.int64)
    for serialized in iterate_blocks(dataset, worker, num_workers):
        flat = parse_records(serialized, ("user", "target_task", "target_split"))
        kinds = flat["target_task"] * len(SPLITS) + flat["target_split"]
        if users is not None:
            own = _is_one_of(tf.cast(flat["user"], tf.int32), users)
            kinds = kinds[tf.gather(own, _owners(flat))]
        counts += np.bincount(kinds, minlength=len(counts))
    table = counts.reshape(len(TASKS), len(SPLITS))
    return {
        task: {split: int(table[TASKS[task], SPLITS[split]]) for split in SPLITS}
        for task in TASKS
    }


def _owners(flat: dict[str, tf.Tensor]) -> tf.Tensor:
    """Row of each target's user in a block."""
    target = tf.range(tf.shape(flat["target_split"])[0])
    splits = tf.cast(flat["target_splits"], tf.int32)
    return tf.searchsorted(splits, target, side="right") - 1


def _is_one_of(users: tf.Tensor, wanted: tuple[int, ...]) -> tf.Tensor:
    ordered = tf.constant(sorted(wanted), tf.int32)
    sides = [tf.searchsorted(ordered, users, side) for side in ("left", "right")]
    return sides[0] < sides[1]


def parallel_calls() -> int:
    """Number of parallel calls, one for each processor: it bounds the memory."""
    return min(len(os.sched_getaffinity(0)), 8)


def _gather_targets(
    flat: dict[str, tf.Tensor], target: tf.Tensor
) -> dict[str, tf.Tensor]:
    row = tf.gather(_owners(flat), target)
    start = tf.gather(flat["sequence_splits"], row)
    behavior = start + tf.gather(flat["target_behavior"], target)
    gathered = {
        "row": row,  # Index of the target's user in the block.
        "user": tf.gather(flat["user"], row),
        "item": tf.gather(flat["target_item"], target),
        "query": tf.gather(flat["query"], behavior),
        "history_start": start,
        "history_end": start + tf.gather(flat["target_history_end"], target),
    }
    if "timestamp" in flat:
        gathered["time"] = tf.gather(flat["timestamp"], behavior)
    return gathered


def _is_last_of_user(target: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """`(T,)`: whether a target is the last of its user among these, in record order."""
    users = tf.reduce_max(tf.pad(row, [[1, 0]])) + 1
    last = tf.math.unsorted_segment_max(target, row, users)
    return tf.equal(target, tf.gather(last, row))


def _gather_stored(
    flat: dict[str, tf.Tensor], target: tf.Tensor, num_candidates: int
) -> tf.Tensor:
    """`(T, num_candidates)`: the n-th evaluated target owns the n-th stored row."""
    is_evaluated = tf.cast(flat["target_split"] > 0, tf.int32)
    evaluated = tf.gather(tf.cumsum(is_evaluated, exclusive=True), target)
    return tf.gather(tf.reshape(flat["candidates"], [-1, num_candidates]), evaluated)
