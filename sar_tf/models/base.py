"""What every model shares: a model's author writes the model and nothing else."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from keras import ops

from sar_tf.layers.look_up import look_up
from sar_tf.models import groups
from sar_tf.models.inputs import chosen_tasks, of_task, row_inputs, select
from sar_tf.models.reduction import mean_of_terms
from sar_tf.models.retrieval import Retrieval
from sar_tf.models.trained import MAIN_LOSS, TrainedModel
from sar_tf.settings import Size, Weight
from sar_tf.spec import DataSpec


class Model(Retrieval, TrainedModel):
    """Base of all models: candidates scored for one or more tasks.

    A subclass names the inputs that it `needs` (see `sar_tf.inputs.INPUTS`), makes its
    layers in the constructor (`item_encoder`, and where it has them `user_encoder` and
    `query_encoder`), and implements

    - `encode_history`: what depends on the history alone,
    - `read`: what depends on the target too,
    - `logits`: the candidates' scores, of a whole batch in training,
    - `losses`, where it has more than the main one, with `loss_weights`, or others
      than that one in training, with `trains_main_loss = False`.

    Its hyperparameters are the keyword-only arguments of its constructor; their types
    and ranges are in the signature, their meanings in the docstring. The model has all
    weights, its feature tables and its ranking metrics when the constructor returns.

    Args:
        spec: Sizes of the dataset, a `DataSpec` or a dict of its fields.
        tables: The features of users and items, as `data.tables` has them:
            `{"user": {feature: (num_users + 1,)}, "item": …}`.
        tasks: Tasks that the model is trained for; all that it can do by default.
        retrieval_weight: Weight of the loss of a retrieval head, which finds candidates
            in the whole catalogue for the served model; 0 has none, as the papers.
        retrieval_dim: Width of the retrieval head's vectors.

    Call arguments:
        batch: As `sar_tf.inputs` describes it. Ids that are negative or above the
            highest of `spec` are read as 0, padding or unknown, on every device.
        training: Whether losses are computed, and no scores.

    Returns:
        `{task: {"losses": {name: ((values, weights), …)}}}`; without training also
        "scores" `(B, C)`, the probabilities of a click, and no other loss than the
        main one.

    Raises:
        ValueError: A hyperparameter is out of range, or the dataset has features and
            there are no tables.
    """

    tasks: tuple[str, ...] = ("rec", "search")
    needs: tuple[str, ...] = ()
    registered_name: str | None = None
    _item_table: Any = None
    # Whether histories may be cut to the length of the longest one of their group.
    trims_history = True
    # Whether `read` and `logits` take candidates `(1, C, D)`, the same for all rows.
    shares_candidates = False

    def __init__(
        self,
        spec: DataSpec | Mapping[str, Any],
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        tasks: tuple[str, ...] | None = None,
        retrieval_weight: Weight = 0.0,
        retrieval_dim: Size = 64,
        **kwargs: Any,
    ) -> None:
        # The counts of a batch stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.spec = DataSpec(**spec) if isinstance(spec, Mapping) else spec
        self.tasks = chosen_tasks(type(self), tasks)
        self.item_encoder: Any = None
        self.user_encoder: Any = None
        self.query_encoder: Any = None
        self.training_tables: Any = None
        self.loss_weights: dict[str, float] = {}
        self.task_weights = dict.fromkeys(self.tasks, 1.0)
        self._add_retrieval_head(retrieval_weight, retrieval_dim)
        self._tables = tables
        self._evaluating = False
        self.run_group = self._run_group

    # ------------------------------------------------------------ a model's hooks

    def encode_history(self, history: dict[str, Any], training: bool) -> Any:
        """What depends on the histories alone; runs once a distinct history.

        Args:
            history: The histories' arrays `(H, ...)`.
            training: Whether dropout is applied.

        Returns:
            A structure of arrays `(H, ...)`.
        """
        return {}

    def read(
        self, task: str, encoded: Any, target: dict[str, Any], training: bool
    ) -> Any:
        """What depends on the target too.

        Args:
            task: The targets' task.
            encoded: What `encode_history` returned, of each target's history: arrays
                `(B, ...)`.
            target: "candidates" `(B, C, D)`; "user" and "query" `(B, D)` where the
                model has these encoders and needs the inputs; "ids", the inputs.
            training: Whether dropout is applied.

        Returns:
            A structure of arrays `(B, ...)`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method read")

    def logits(self, task: str, rows: Any, training: bool) -> Any:
        """Scores of the candidates before the sigmoid, `(B, C)`.

        In training it sees the rows of the whole batch, so that batch statistics
        belong here.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method logits")

    def losses(self, task: str, rows: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """The losses beside the main one, of those in `loss_weights`.

        Args:
            task: The targets' task.
            rows: What `read` returned, of the whole batch.
            inputs: The task's inputs, rows in the same order.

        Returns:
            `{name: (values, weights)}`: the loss is the mean of the values by their
            weights, over all replicas. A list of such pairs adds up their means.
        """
        return {}

    def main_loss(self, logits: Any) -> Any:
        """Loss of each target, `(B,)`: binary cross-entropy, mean of the candidates.

        Args:
            logits: float32 `(B, C)`, the positive first.
        """
        positive, negatives = logits[:, :1], logits[:, 1:]
        costs = [ops.softplus(-positive), ops.softplus(negatives)]
        return ops.mean(ops.concatenate(costs, axis=1), axis=1)

    # ------------------------------------------------------------ shared encoders

    def encode_items(self, items: Any) -> Any:
        """Embeddings of items: `(...) -> (..., D)`."""
        if self._item_table is not None:
            return look_up(self._item_table, items)
        if getattr(self.item_encoder, "caption_length", 0):
            return self.item_encoder(items, encode_caption=self.query_encoder)
        return self.item_encoder(items)

    def encode_candidates(self, items: Any) -> Any:
        """Vectors of items as they are scored: `(...) -> (..., D)`."""
        return self.encode_items(items)

    @contextlib.contextmanager
    def items_from(self, table: Any) -> Iterator[None]:
        """Inside, `encode_items` looks items up in a table of all items' embeddings.

        Args:
            table: `(num_items + 1, D)`, what `encode_items` gives for all items.
        """
        self._item_table = table
        try:
            yield
        finally:
            self._item_table = None

    def encode_queries(self, words: Any, queries: Any = None) -> Any:
        """Embeddings of queries by words `(..., W)` and, if it takes them, ids."""
        if getattr(self.query_encoder, "query_dim", 0):
            return self.query_encoder(words, queries)
        return self.query_encoder(words)

    def encode_target(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The vectors of the targets' candidates, users and queries, for `read`."""
        target = {"candidates": self.encode_candidates(inputs["candidates"])}
        if self.user_encoder is not None and "user" in inputs:
            target["user"] = self.user_encoder(inputs["user"])
        if "query_words" in inputs:
            target["query"] = self.encode_queries(
                inputs["query_words"], inputs.get("query")
            )
        return target

    # ------------------------------------------------------------ scores and losses

    def for_task(self, task: str) -> "Model":
        """The model whose layers score a task: this one, or this one's copy."""
        return self

    def score(self, task: str, batch: dict[str, Any]) -> Any:
        """Scores of a task's candidates after the sigmoid: `(B, C)`."""
        return self(of_task(task, batch), training=False)[task]["scores"]

    def losses_of(self, task: str, batch: dict[str, Any]) -> dict[str, Any]:
        """The losses of a task's batch in training: `{loss name: scalar}`."""
        outputs = self(of_task(task, batch), training=True)[task]
        return {
            name: mean_of_terms(terms)[0] for name, terms in outputs["losses"].items()
        }

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        self._require_tables()
        batch = select(batch, self.spec, self.needs, self.tasks)
        history = batch.pop("history", None)
        cut = [groups.Group(0, None, None)]
        if history is not None:
            cut = groups.cut_histories(history, self.trims_history)
        rows = {t: groups.sort_rows(x, cut) for t, x in batch.items()}
        batch = {task: rows[task].sort(inputs) for task, inputs in batch.items()}
        targets = {task: self.encode_target(inputs) for task, inputs in batch.items()}
        run_group = self.run_group if len(cut) > 1 else self._run_group
        parts: dict[str, list] = {task: [] for task in batch}
        for index, group in enumerate(cut):
            places = {task: rows[task].cuts[index] for task in batch}
            found = run_group(
                group.history,
                {
                    t: groups.rows_of_group(rows[t].history_row, places[t], group.start)
                    for t in batch
                },
                {t: groups.slice_rows(targets[t], places[t]) for t in batch},
                {t: groups.slice_rows(row_inputs(batch[t]), places[t]) for t in batch},
                training,
            )
            for task, part in found.items():
                parts[task].append(part)
        return {
            task: self._outputs(
                task,
                groups.concatenate_rows(parts[task]),
                inputs,
                rows[task],
                training,
            )
            for task, inputs in batch.items()
        }

    def stateless_call(self, *args, return_losses=False, **kwargs):
        """As Keras', whose property `losses` models have no use for: it is a hook."""
        outputs = super().stateless_call(*args, **kwargs)
        return (*outputs, []) if return_losses else outputs

    def _run_group(self, history, history_row, targets, inputs, training):
        """A group's targets: what `read` gives in training, else their logits."""
        encoded = None
        if history is not None:
            encoded = self.encode_history(history, training)
        found = {}
        for task, target in targets.items():
            own = {}
            if history is not None:
                own = groups.take_rows(encoded, history_row[task])
            target = {**target, "ids": inputs[task]}
            found[task] = self.read(task, own, target, training)
            if not training:
                found[task] = self.logits(task, found[task], training)
            elif self.retrieval_head is not None:
                vectors = self._target_vectors(task, history, history_row[task], target)
                found[task] = {"rows": found[task], "vectors": vectors}
        return found

    def _outputs(self, task, found, inputs, rows, training):
        weights = inputs.get("is_target", None)
        if weights is None:
            weights = ops.ones(ops.shape(inputs["candidates"])[:1])
        if not training:
            logits = ops.cast(found, "float32")
            outputs = ops.sigmoid(logits), self.main_loss(logits), weights
            scores, *main = rows.restore(outputs)
            return {"scores": scores, "losses": {MAIN_LOSS: (tuple(main),)}}
        vectors, losses = None, {}
        if self.retrieval_head is not None:
            found, vectors = found["rows"], found["vectors"]
        if self.trains_main_loss:
            logits = ops.cast(self.logits(task, found, training), "float32")
            losses[MAIN_LOSS] = ((self.main_loss(logits), weights),)
        for name, terms in self.losses(task, found, inputs).items():
            losses[name] = (terms,) if isinstance(terms, tuple) else tuple(terms)
        if vectors is not None:
            losses |= self._retrieval_loss(task, vectors, inputs, weights)
        return {"losses": losses}
