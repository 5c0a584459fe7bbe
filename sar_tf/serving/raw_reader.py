"""From a user's raw events to the inputs of a model, inside the graph."""

from collections.abc import Collection

import tensorflow as tf

from sar_tf.data.sessions import Sessions, is_pause, number_sessions
from sar_tf.data.windows import cut_windows, index_sequences
from sar_tf.models.inputs import SESSIONS
from sar_tf.needs import reads_history
from sar_tf.serving.raw_inputs import POSITIONS, RAW_INPUTS
from sar_tf.serving.vocabularies import Vocabularies
from sar_tf.spec import DataSpec

_IDS_OF_ROWS = {"user": "user", "candidates": "item", "excluded_items": "item"}


class RawReader(tf.Module):
    """Makes a model's batch of a request, as the input pipeline makes it of records.

    Args:
        spec: Sizes of the model.
        needs: Inputs that the model reads.
        vocabularies: Those of its dataset.
    """

    def __init__(
        self, spec: DataSpec, needs: Collection[str], vocabularies: Vocabularies
    ) -> None:
        super().__init__()
        self._spec, self._needs = spec, tuple(needs)
        self._look_up = vocabularies

    def batch(self, task: str, request: dict[str, tf.Tensor]) -> dict[str, dict]:
        """The batch, `{"history": …, task: …}`, without groups; row b is user b's.

        Args:
            task: The task.
            request: The arrays of `raw_inputs`; "candidates" and "excluded_items" may
                be among them.

        Raises:
            tf.errors.InvalidArgumentError: Arrays have other ranks or other numbers of
                users or events, or an event is of no type. It is raised when the graph
                runs.
        """
        request = _checked(request)
        row = {
            name: self._look_up.ids(vocabulary, request[name])
            for name, vocabulary in _IDS_OF_ROWS.items()
            if name in request
        }
        if "query" in request:
            words, queries = self._look_up.words(request["query"])
            row |= _needed(self._needs, query=queries, query_words=words)
        any_input = next(iter(request.values()))
        row["history_row"] = tf.range(tf.shape(any_input)[0])
        batch = {task: row}
        if reads_history(self._needs):
            batch["history"] = self._history(request)
        return batch

    def raw_items(self, items: tf.Tensor) -> tf.Tensor:
        """The raw ids of dense ids of items, of any shape."""
        return self._look_up.raw_items(items)

    def _history(self, request: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The last recommendations and searches of each user."""
        types = request["history_types"]
        is_rec, is_search = types == "rec", types == "search"
        is_used = is_rec | is_search
        items = None
        if "history_items" in request:
            # The jobs drop recommendations of items that their datasets do not have.
            items = self._look_up.ids("item", request["history_items"])
            is_used = is_search | (is_rec & (items > 0))
        windows = self._windows(request, is_rec, is_used)
        places = windows["search_queries"]
        made = {
            name: windows[name] for name in (*POSITIONS, *SESSIONS) if name in windows
        }
        if items is not None:
            made["rec_items"] = _take(items, windows["rec_items"], 0)
        slot = tf.range(self._spec.max_search_history)
        made["search_mask"] = slot < windows["num_searches"][:, None]
        if "history_queries" in request:
            texts = _take(request["history_queries"], places, "")
            words, queries = self._look_up.words(tf.reshape(texts, [-1]))
            shape = tf.shape(places)
            made["search_words"] = tf.reshape(
                words, [*tf.unstack(shape), words.shape[1]]
            )
            if queries is not None:
                made["search_queries"] = tf.reshape(queries, shape)
        if "history_sources" in request:
            sources = _take(request["history_sources"], places, "")
            made["search_sources"] = self._look_up.ids("search_source", sources)
        if "history_clicked_items" in request:
            made["clicked_items"] = self._clicked(
                request["history_clicked_items"], places
            )
        return _needed(self._needs, **made)

    def _windows(
        self, request: dict[str, tf.Tensor], is_rec: tf.Tensor, is_used: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """As `cut_windows`, but "rec_items" and "search_queries" are events.

        An event is its place among all events of the request, from 1; 0 is none.
        """
        times = request["history_times"]
        # Equal times keep their order; events that are not used come last.
        order = tf.argsort(tf.where(is_used, times, tf.int64.max), stable=True)
        size = tf.shape(times)
        order += size[1] * tf.range(size[0])[:, None]
        is_first = tf.gather(tf.reshape(is_used, [-1]), order)
        events = tf.boolean_mask(order, is_first)
        ends = tf.cumsum(tf.reduce_sum(tf.cast(is_used, tf.int32), axis=1))
        sequences = index_sequences(
            {
                "type": tf.cast(tf.gather(tf.reshape(is_rec, [-1]), events), tf.int32),
                "item": events + 1,
                "query": events + 1,
                "search_source": events,
                "clicked_items": events[:0],
                "clicked_items_splits": tf.zeros_like(tf.pad(events, [[0, 1]])),
            },
            max_clicked_items=1,
        )
        sessions = None
        if "time" in request:
            own = tf.gather(tf.reshape(times, [-1]), events)
            sessions = self._sessions(own, ends, request["time"])
        return cut_windows(
            sequences,
            start=tf.pad(ends[:-1], [[1, 0]])[: size[0]],
            end=ends,
            max_rec_history=self._spec.max_rec_history,
            max_search_history=self._spec.max_search_history,
            sessions=sessions,
        )

    def _sessions(
        self, times: tf.Tensor, ends: tf.Tensor, asked: tf.Tensor
    ) -> Sessions:
        """The sessions of all users' events, and of their requests at other times."""
        minutes = self._spec.session_minutes
        numbers = number_sessions(times, minutes)
        # Of users without events no session is read.
        newest = tf.maximum(ends - 1, 0)
        times, last = tf.pad(times, [[0, 1]]), tf.pad(numbers, [[0, 1]])
        is_new = is_pause(tf.gather(times, newest), asked, minutes)
        return Sessions(numbers, tf.gather(last, newest) + tf.cast(is_new, tf.int32))

    def _clicked(self, clicked: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """The first known items clicked in each search: int32 `(B, Ns, K)`."""
        number = self._spec.max_clicked_items
        width = tf.shape(clicked)[2]
        events = tf.reshape(clicked, [-1, width])
        events = tf.concat([tf.fill([1, width], ""), events], axis=0)
        ids = self._look_up.ids("item", tf.gather(events, tf.reshape(places, [-1])))
        known = tf.ragged.boolean_mask(ids, ids > 0).to_tensor(shape=[None, number])
        return tf.reshape(known, [*tf.unstack(tf.shape(places)), number])


def _take(values: tf.Tensor, places: tf.Tensor, none: object) -> tf.Tensor:
    """The values `(B, N)` at places from 1; place 0 has none."""
    flat = tf.concat([tf.constant([none], values.dtype), tf.reshape(values, [-1])], 0)
    return tf.gather(flat, places)


def _needed(needs: Collection[str], **arrays: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: array for name, array in arrays.items() if name in needs}


def _checked(request: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The request; running it fails where its arrays do not fit each other."""
    shapes = {n: [None] * len(RAW_INPUTS[n].axes) for n in request}
    # TensorFlow lets a loaded signature be called with arrays of other ranks.
    request = {n: tf.ensure_shape(x, shapes[n], n) for n, x in request.items()}
    checks = [_same_size(request, "B")]
    if "history_types" in request:
        types = request["history_types"]
        is_known = (types == "rec") | (types == "search") | (types == "")
        message = "history_types must be rec, search or empty (no event); got"
        checks += [
            tf.debugging.Assert(tf.reduce_all(is_known), [message, types]),
            _same_size(request, "N"),
        ]
    with tf.control_dependencies(checks):
        return {name: tf.identity(array) for name, array in request.items()}


def _same_size(request: dict[str, tf.Tensor], axis: str) -> tf.Operation:
    """Fails where two arrays of a request have other sizes of an axis."""
    names = [name for name in request if axis in RAW_INPUTS[name].axes]
    sizes = tf.stack(
        [tf.shape(request[n])[RAW_INPUTS[n].axes.index(axis)] for n in names]
    )
    return tf.debugging.Assert(
        tf.reduce_all(sizes == sizes[:1]),
        [f"{', '.join(names)} must have one size of axis {axis}; got", sizes],
    )
