"""Models that see each candidate early and score it by a network."""

from typing import Any

from keras import ops

from sar_tf.layers.dice_network import DiceNetwork
from sar_tf.layers.feature_encoder import FeatureEncoder
from sar_tf.models.base import Model
from sar_tf.models.inputs import counted, target_rows


class NetworkHeadModel(Model):
    """A model that scores a candidate by a network with Dice: DIN and DIEN.

    `logit = MLP([what is seen ; user])`. A subclass calls `add_head` in its constructor
    and implements `see`.
    """

    def add_head(
        self,
        prediction_units: tuple[int, ...],
        use_user: bool,
        embedding_dim: int,
        hidden_dim: int,
    ) -> None:
        """Makes the network and, where it sees the user, the encoder of users.

        Args:
            prediction_units: Hidden layers of the network.
            use_user: Whether it sees the user's vector too.
            embedding_dim: Width of the embeddings of the user's id and features.
            hidden_dim: Width D of the user's vector.
        """
        if use_user:
            self.needs += ("user",)
            self.user_encoder = FeatureEncoder(
                self.spec.num_users,
                self.spec.user_features,
                embedding_dim,
                hidden_dim,
                name="user_encoder",
            )
        self.head = DiceNetwork(prediction_units, name="head")

    def see(self, encoded: Any, candidates: Any, mask: Any, training: bool) -> list:
        """What the network sees of each candidate: arrays `(B, C, ...)`.

        Args:
            encoded: What `encode_history` returned, of each target's history.
            candidates: `(B, C, D)`.
            mask: bool `(B, N)`, the history's items in rows that are targets.
            training: Whether dropout and batch statistics are applied.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method see")

    def read(
        self, task: str, encoded: Any, target: dict[str, Any], training: bool
    ) -> dict[str, Any]:
        v, ids = target["candidates"], target["ids"]
        is_target = target_rows(ids, v)
        mask = ops.logical_and(encoded["mask"], is_target[:, None])
        seen = self.see(encoded, v, mask, training)
        if "user" in target:
            seen.append(ops.broadcast_to(target["user"][:, None, :], ops.shape(v)))
        return {"seen": ops.concatenate(seen, axis=-1), "is_target": is_target}

    def logits(self, task: str, rows: dict[str, Any], training: bool) -> Any:
        x = rows["seen"]
        return self.head(x, counted(rows["is_target"], x), training=training)
