"""Several processes for the pieces of a job."""

import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator


class Workers:
    """Calls functions in other processes, results in order; in a `with`.

    Where there are less than two calls for each of several processes, it calls them
    in this one, which saves the seconds that starting the others takes.

    Args:
        num_tasks: How many long calls there are to spread over processes.
        prepare: Called first in each of the processes.
    """

    def __init__(self, num_tasks: int, prepare: Callable[[], object]):
        self._prepare = prepare
        self._size = min(num_tasks // 2, os.cpu_count() or 1)
        self._pool: concurrent.futures.Executor | None = None

    def __enter__(self) -> "Workers":
        if self._size > 1:
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self._size,
                # Forking a process that runs TensorFlow's threads can block.
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
        """As the built-in `map`, which of a failed call raises the error."""
        if self._pool is None:
            return map(function, *arguments)
        return self._pool.map(function, *arguments)


def _start(prepare: Callable[[], object]) -> None:
    _end_with_parent()
    prepare()


def _end_with_parent() -> None:
    """Ends this process when the job's is killed, so that it writes no more."""
    parent = multiprocessing.parent_process()

    def watch():
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
