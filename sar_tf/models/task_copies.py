"""Copies of a model, each trained on one task, as one model of all tasks."""

from collections.abc import Mapping
from typing import Any

import keras

from sar_tf.models.base import Model
from sar_tf.models.inputs import of_task


@keras.saving.register_keras_serializable("sar_tf")
class TaskCopies(Model):
    """Scores each task by a model of this task alone.

    Args:
        copies: {task: model}.

    Reference:
        `sar_tf.models.fine_tuned.FineTuned` says how they are trained.
    """

    def __init__(self, copies: Mapping[str, Model], **kwargs: Any) -> None:
        first = next(iter(copies.values()))
        super().__init__(first.spec, tasks=tuple(copies), **kwargs)
        self.trains_main_loss = first.trains_main_loss
        self.copies = dict(copies)
        for own in copies.values():
            self.loss_weights |= own.loss_weights
        self.needs = tuple(dict.fromkeys(n for m in copies.values() for n in m.needs))

    def _make_weights(self):
        pass  # The copies have them.

    def for_task(self, task: str) -> Model:
        return self.copies[task]

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for task, own in self.copies.items():
            if task in batch:
                outputs |= own(of_task(task, batch), training=training)
        return outputs

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        copies = {task: serialize(own) for task, own in self.copies.items()}
        return {"name": self.name, "copies": copies}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "TaskCopies":
        copies = {
            task: keras.saving.deserialize_keras_object(own, custom_objects)
            for task, own in config["copies"].items()
        }
        return cls(copies, name=config["name"])
