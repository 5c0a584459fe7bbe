"""The `tf.distribute` strategies: their replicas, workers and batches."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator

import tensorflow as tf

from sar_tf.layers import replicas

_LOG = logging.getLogger(__name__)

_SECONDS = 1.0  # Longest wait for another worker's answer before one tells of it.
# What TensorFlow says of a step in which another worker is missing.
_ABORTED = "Collective ops is aborted by"


class StrategyError(ValueError):
    """A strategy is not available here; the text says why and what to do."""


class LostWorkerError(StrategyError):
    """Another worker has ended; the text says what to do."""


def make_strategy(name, tpu=""):
    """Makes a strategy.

    Call it before TensorFlow does anything else: workers must connect first.

    Args:
        name: "one_device", "mirrored" (all GPUs, or all logical CPUs, of this
            machine), "multi_worker" (TF_CONFIG names the workers) or "tpu".
        tpu: Name or address of the TPU; "local" is this machine's.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        StrategyError: TF_CONFIG is missing, or the TPU cannot be reached.
    """
    if name == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        strategy = tf.distribute.MirroredStrategy(devices)
    elif name == "multi_worker":
        if not os.environ.get("TF_CONFIG"):
            raise StrategyError(
                "strategy=multi_worker needs the variable TF_CONFIG, which names all "
                "workers and this one; tools/launch_local_cluster.py sets it"
            )
        _tell_of_waiting()
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif name == "tpu":
        strategy = tf.distribute.TPUStrategy(_connect_to_tpu(tpu))
    else:
        strategy = tf.distribute.get_strategy()
    return strategy


def _tell_of_waiting() -> None:
    """Tells which worker is not there yet; TensorFlow waits for it without a word.

    It has to be told before: TensorFlow does not let other threads run meanwhile.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    own = resolver.task_type, resolver.task_id
    for job, addresses in resolver.cluster_spec().as_dict().items():
        for index, address in enumerate(addresses):
            is_other = job in ("chief", "worker") and (job, index) != own
            if is_other and not _listens(address):
                _LOG.warning(
                    "%s %s waits for %s %s (%s): each worker that TF_CONFIG names must "
                    "be started",
                    *own,
                    job,
                    index,
                    address,
                )
                return


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS).close()
    except OSError:
        return False
    return True


def _connect_to_tpu(tpu):
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise StrategyError(
            f"tpu={tpu!r} cannot be reached ({error}); name a TPU, or choose another "
            "strategy"
        ) from error
    return resolver


class _Replicas(replicas.Replicas):
    """The replicas of the current strategy; a single one outside of a replica."""

    @property
    def number(self):
        context = _shared_context()
        return context.num_replicas_in_sync if context else 1

    def sum(self, x):
        context = _shared_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, x) if context else x

    def gather(self, x):
        context = _shared_context()
        return context.all_gather(x, axis=0) if context else x

    def first_row(self, x):
        context = _shared_context()
        if context is None:
            return 0
        sizes = context.all_gather(tf.shape(x)[:1], axis=0)
        before = tf.range(self.number) < context.replica_id_in_sync_group
        return tf.reduce_sum(tf.where(before, sizes, 0))


def _shared_context():
    """The context of one of several replicas; None otherwise, as in a model's build."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context


# It asks TensorFlow for the current strategy, so it works for every strategy.
replicas.use(_Replicas())


@contextlib.contextmanager
def lost_worker_named(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Makes a LostWorkerError of TensorFlow's error for a worker that has ended.

    Args:
        strategy: The strategy of the `with` block.

    Raises:
        LostWorkerError: Another worker has ended or cannot be reached.
    """
    try:
        yield
    except tf.errors.OpError as error:
        is_lost = _ABORTED in error.message
        if not (is_lost and Workers(strategy).are_many):
            raise
        reason = error.message.partition(_ABORTED)[2].strip(" :").split("\n")[0]
        raise LostWorkerError(
            f"another worker has ended or cannot be reached ({reason}); resume the "
            "run on all workers: it goes on from the last checkpoint"
        ) from error


def num_workers(strategy):
    """Number of machines; each reads a share of the records."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return strategy.extended.num_hosts
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        spec = strategy.cluster_resolver.cluster_spec()
        return sum(
            spec.num_tasks(job) for job in ("chief", "worker") if job in spec.jobs
        )
    return 1


def _worker_index(strategy):
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().jobs
    is_after_chief = "chief" in jobs and resolver.task_type == "worker"
    return resolver.task_id + is_after_chief


def distribute(strategy, make_dataset):
    """Gives each replica of a worker one element of the worker's dataset in a step.

    Args:
        strategy: A `tf.distribute.Strategy`.
        make_dataset: Function from a worker's index to its `tf.data.Dataset`.
    """

    def make(context):
        dataset = make_dataset(context.input_pipeline_id)
        # Steps are counted. Of a dataset that ends, TensorFlow forgets the size of
        # every array's first axis, to be able to cut the last batch; of another not.
        return dataset.repeat() if strategy.num_replicas_in_sync > 1 else dataset

    return strategy.distribute_datasets_from_function(make)


class Workers:
    """The processes of a strategy. Only the chief writes files.

    Args:
        strategy: A `tf.distribute.Strategy`.

    Attributes:
        are_many: Whether there are several processes.
        index: Index of this process and of its share of the records.
        is_chief: Whether this is the only or the first process.
    """

    def __init__(self, strategy):
        self._strategy = strategy
        self.are_many = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.is_chief = not self.are_many or strategy.extended._is_chief
        self.index = _worker_index(strategy) if self.are_many else 0

    def any(self, flag):
        """Whether `flag` is true in any process; all call this at the same point."""
        if not self.are_many:
            return flag
        flags = self._strategy.run(lambda: tf.constant(float(flag)))
        return bool(self._strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None))

    def gather(self, array):
        """The rows of NumPy arrays of all processes, in their order: `(rows, ...)`."""
        if not self.are_many:
            return array
        replicas_of_worker = self._strategy.num_replicas_in_sync // num_workers(
            self._strategy
        )

        def own_rows(context):
            is_first = context.replica_id_in_sync_group % replicas_of_worker == 0
            return tf.constant(array if is_first else array[:0])

        own = self._strategy.experimental_distribute_values_from_function(own_rows)
        return self._strategy.gather(own, axis=0).numpy()

    def wait(self):
        """Waits until all processes call this."""
        self.any(False)

    @contextlib.contextmanager
    def chief_first(self):
        """Runs the block in the chief first, then in the others."""
        if not self.is_chief:
            self.wait()
        yield
        if self.is_chief:
            self.wait()
