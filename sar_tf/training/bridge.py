"""The agreed pipeline and model on top of those that are there now."""

import dataclasses

from sar_tf.data.pipeline import BatchPipeline as _Present


@dataclasses.dataclass(frozen=True)
class BatchPipeline(_Present):
    evaluation_batch_size: int = 256

    def _other(self):
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(_Present)
        }
        return _Present(**{**values, "batch_size": self.evaluation_batch_size})

    def steps_per_epoch(self, split="train"):
        if split == "train":
            return super().steps_per_epoch(split)
        return self._other().steps_per_epoch(split)

    def train_from(self, epoch, step):
        return self.train(epoch, step)

    def evaluate(self, split):
        return self._other().evaluate(split)


def scores_of(model, batch):
    """{task: (scores, inputs)} in the records' order."""
    import tensorflow as tf

    found = {}
    for task, output in model(batch, training=False).items():
        inputs = batch[task]
        place = tf.argsort(inputs["row"])
        inputs = {
            name: tf.gather(inputs[name], place)
            for name in ("user", "is_target")
            if name in inputs
        }
        found[task] = tf.gather(output["scores"], place), inputs
    return found
