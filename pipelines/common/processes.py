"""A pool of processes for the parts of a job."""

import collections
import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator

AHEAD = 2  # Calls of each process that are made before the first result is taken.


class ProcessPool:
    """Calls functions in other processes and returns results in order.

    Use it in a `with`. It makes fewer than four calls in this process, which saves the
    seconds to start others.

    Args:
        num_tasks: Number of long calls to spread over the processes.
        prepare: Called first in each process.
    """

    def __init__(self, num_tasks: int, prepare: Callable[[], object]):
        self._prepare = prepare
        self._size = min(num_tasks // 2, os.cpu_count() or 1)
        self._pool: concurrent.futures.Executor | None = None

    def __enter__(self) -> "ProcessPool":
        if self._size > 1:
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self._size,
                # A forked process can block on locks of TensorFlow's threads.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._prepare,),
            )
        else:
            self._prepare()
        return self

    def __exit__(self, *_) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable, *arguments: Iterable) -> Iterator:
        """Like the built-in `map`; raises the error of a failed call.

        It takes arguments only as results are taken from it, so that a few are in
        memory at a time, however many there are.
        """
        if self._pool is None:
            return map(function, *arguments)
        return self._in_order(self._pool, function, zip(*arguments, strict=False))

    def _in_order(
        self,
        pool: concurrent.futures.Executor,
        function: Callable,
        calls: Iterable[tuple],
    ) -> Iterator:
        waiting: collections.deque[concurrent.futures.Future] = collections.deque()
        for arguments in calls:
            waiting.append(pool.submit(function, *arguments))
            if len(waiting) > AHEAD * self._size:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _start(prepare: Callable[[], object]) -> None:
    _end_with_parent()
    prepare()


def _end_with_parent() -> None:
    """Ends this process when the job's own process is killed."""
    parent = multiprocessing.parent_process()

    def watch():
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
