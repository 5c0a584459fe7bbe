"""Runs a command as several workers on this machine, to try multi_worker.

    python tools/launch_local_cluster.py --workers=2 -- \
        python experiments/run.py --strategy=multi_worker --run_dir=… …

Each worker gets the variable TF_CONFIG, and its number stands before the lines that it
prints. When one worker fails, the others are stopped: they would wait for it forever.
Run the command again with --resume.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2, help="number of workers")
    parser.add_argument("command", nargs="+", help="command of a worker, after --")
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        parser.error(f"--workers={arguments.workers} must be 1 or more")
    workers = [
        _start(arguments.command, environment)
        for environment in cluster_environments(arguments.workers)
    ]
    printers = [_print_lines(index, worker) for index, worker in enumerate(workers)]
    try:
        code = _wait(workers)
    finally:
        _stop(workers)
    for printer in printers:
        printer.join()
    return code


def cluster_environments(num_workers: int) -> list[dict[str, str]]:
    """The environment of each worker, with free ports of this machine in TF_CONFIG."""
    with _free_ports(num_workers) as ports:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return [
        {
            **os.environ,
            "TF_CONFIG": json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": index}}
            ),
        }
        for index in range(num_workers)
    ]


class _free_ports:
    """Holds each free port until all are found, so that all differ."""

    def __init__(self, number: int) -> None:
        self.sockets = [socket.socket() for _ in range(number)]

    def __enter__(self) -> list[int]:
        for each in self.sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in self.sockets]

    def __exit__(self, *_) -> None:
        for each in self.sockets:
            each.close()


def _start(command: list[str], environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _print_lines(index: int, worker: subprocess.Popen) -> threading.Thread:
    def print_lines() -> None:
        for line in worker.stdout:
            print(f"[{index}] {line}", end="", flush=True)

    thread = threading.Thread(target=print_lines)
    thread.start()
    return thread


def _wait(workers: list[subprocess.Popen]) -> int:
    """Waits until all workers succeed (0) or one fails (its exit status)."""
    while True:
        codes = [worker.poll() for worker in workers]
        failed = [(index, code) for index, code in enumerate(codes) if code]
        if failed:
            index, code = failed[0]
            how = (
                f"was killed by {signal.Signals(-code).name}"
                if code < 0
                else f"ended with status {code}"
            )
            print(f"worker {index} {how}; stopping the others", file=sys.stderr)
            return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(_POLL_SECONDS)


def _stop(workers: list[subprocess.Popen]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


if __name__ == "__main__":
    sys.exit(main())
