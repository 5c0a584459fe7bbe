"""UniSAR's transitions: extracted, fused, and left out one by one for Table 5."""

from typing import Any, Literal

from keras import ops

from sar_tf.layers.attention import TransitionEncoder, TransitionFusion
from sar_tf.layers.embeddings import Embedding
from sar_tf.spec import DataSpec

SCENARIOS = ("rec", "search")
Without = Literal[
    "nothing",
    "r2r",
    "r2s",
    "s2r",
    "s2s",
    "mask",
    "L_Align",
    "L_Rel",
    "MCA_r",
    "MCA_s",
    "MMoE",
]
# The history that loses its same-scenario, its cross-scenario transition, its fusion.
_NO_SAME = {"r2r": "rec", "s2s": "search"}
_NO_CROSS = {"s2r": "rec", "r2s": "search"}
_NO_FUSION = {"MCA_r": "rec", "MCA_s": "search"}


class Transitions:
    """The part of UniSAR that reads a history (Eq. 3, 4 and 7).

    `without` leaves out one module, as the paper's Section 5.3 says: a transition is
    replaced by the other one of its history (r2r by s2r, s2s by r2s, and the reverse),
    whose alignment loss goes too; without the mask M a behavior of the mixed sequence
    attends to all behaviors; without MCA_r (MCA_s) the fused history is the sum
    H_r2r + H_s2r (H_s2s + H_r2s). Layers that are left out have no weights.
    """

    spec: DataSpec
    without: str

    def _add_transitions(self, hidden_dim, num_heads, num_layers, dropout, fusion):
        self._add_positions(hidden_dim)
        left_out = _NO_SAME.get(self.without)
        self.encoders = {
            name: [
                TransitionEncoder(num_heads, dropout, name=f"{name}_encoder_{i}")
                for i in range(num_layers)
            ]
            for name in (*SCENARIOS, "mixed")
            if name != left_out
        }
        self.fusions = {
            scenario: [
                TransitionFusion(
                    num_heads, dropout, variant=fusion, name=f"{scenario}_fusion_{i}"
                )
                for i in range(num_layers)
            ]
            for scenario in SCENARIOS
            if scenario != _NO_FUSION.get(self.without)
        }

    def _add_positions(self, hidden_dim):
        spec = self.spec
        lengths = {"rec": spec.max_rec_history, "search": spec.max_search_history}
        lengths["mixed"] = spec.max_rec_history + spec.max_search_history
        lengths.pop(_NO_SAME.get(self.without), None)
        self.position_embedding = {
            name: Embedding(
                length,
                hidden_dim,
                embeddings_initializer="glorot_normal",
                name=f"{name}_position_embedding",
            )
            for name, length in lengths.items()
        }

    def aligned_scenarios(self) -> list[str]:
        """The scenarios that have two transitions, which the loss of Eq. 6 aligns."""
        left_out = {**_NO_SAME, **_NO_CROSS}.get(self.without)
        return [scenario for scenario in SCENARIOS if scenario != left_out]

    def extract(
        self,
        behaviors: dict[str, Any],
        masks: dict[str, Any],
        history: dict[str, Any],
        training: bool,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The transitions within and across the scenarios.

        Args:
            behaviors: {scenario: `(H, N, D)`}
            masks: {scenario: bool `(H, N)`}
            history: The histories' inputs.
            training: Whether dropout is applied.

        Returns:
            {"rec": H_r2r, "search": H_s2s} (Eq. 3) and {"rec": H_s2r, "search": H_r2s}
            (Eq. 4); a transition that is left out is the other one of its history.
        """
        same = self._same_scenario(behaviors, masks, training)
        cross = self._cross_scenario(behaviors, masks, history, training)
        if scenario := _NO_CROSS.get(self.without):
            cross[scenario] = same[scenario]
        return {**cross, **same}, cross

    def _same_scenario(self, behaviors, masks, training):
        """H_r2r and H_s2s (Eq. 3)."""
        transitions = {}
        for scenario, x in behaviors.items():
            if scenario not in self.encoders:
                continue
            mask = masks[scenario]
            x = x + self.position_embedding[scenario](ops.arange(ops.shape(x)[1]))
            for encoder in self.encoders[scenario]:
                x = encoder(x, x, mask, training=training)
            transitions[scenario] = x
        return transitions

    def _cross_scenario(self, behaviors, masks, history, training):
        """H_s2r and H_r2s (Eq. 4): each scenario attends to the other only."""
        positions = self.position_embedding["mixed"]
        rec = behaviors["rec"] + positions(history["rec_positions"])
        search = behaviors["search"] + positions(history["search_positions"])
        if self.without == "mask":
            return self._without_mask(rec, search, masks, training)
        for encoder in self.encoders["mixed"]:
            rec, search = _both_ways(encoder, rec, search, masks, training)
        return {"rec": rec, "search": search}

    def _without_mask(self, rec, search, masks, training):
        """The mixed sequence, each behavior of which attends to all."""
        number = ops.shape(rec)[1]
        x = ops.concatenate([rec, search], axis=1)
        mask = ops.concatenate([masks["rec"], masks["search"]], axis=1)
        for encoder in self.encoders["mixed"]:
            x = encoder(x, x, mask, training=training)
        return {"rec": x[:, :number], "search": x[:, number:]}

    def fuse(self, scenario: str, same: Any, cross: Any, mask: Any, training: bool):
        """V_r or V_s (Eq. 7).

        Args:
            scenario: Whose history it is.
            same, cross: Its transitions, `(H, N, D)`.
            mask: bool `(H, N)`.
            training: Whether dropout is applied.

        Returns:
            `(H, N, D)`.
        """
        if scenario not in self.fusions:
            return same + cross
        for fusion in self.fusions[scenario]:
            same = fusion(same, cross, mask, training=training)
        return same


def _both_ways(encoder, rec, search, masks, training):
    """Each scenario with the other as its context, by the same layer."""
    if training or None in rec.shape[1:] or rec.shape[1:] != search.shape[1:]:
        return (
            encoder(rec, search, masks["search"], training=training),
            encoder(search, rec, masks["rec"], training=training),
        )
    # One call of twice as many rows is half as many operations: most of the cost of one
    # user's request.
    both = encoder(
        ops.concatenate([rec, search], axis=0),
        ops.concatenate([search, rec], axis=0),
        ops.concatenate([masks["search"], masks["rec"]], axis=0),
        training=training,
    )
    return ops.split(both, 2, axis=0)
