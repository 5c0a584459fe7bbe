"""What a model needs of the inputs of a batch."""

from collections.abc import Collection

from sar_tf.inputs import INPUTS, Input

ALL_NEEDS = tuple(entry.name for entry in INPUTS.values() if not entry.is_always_there)


def check_needs(needs: Collection[str]) -> tuple[str, ...]:
    """The needs as a tuple, each of them once.

    Raises:
        ValueError: A name is not in the batch table.
    """
    unknown = sorted(set(needs) - set(ALL_NEEDS))
    if unknown:
        raise ValueError(
            f"needs names {', '.join(unknown)}; a batch has {', '.join(ALL_NEEDS)}"
        )
    return tuple(dict.fromkeys(needs))


def inputs_of(
    parts: Collection[str], needs: Collection[str], task: str | None = None
) -> list[Input]:
    """The inputs of some parts of a batch that a model needs.

    Args:
        parts: Of "history", "groups", "row", "label" and "draw".
        needs: Names of the inputs that a model reads.
        task: Whose rows or draws they are; None for histories.
    """
    return [
        entry
        for entry in INPUTS.values()
        if entry.part in parts
        and (entry.is_always_there or entry.name in needs)
        and (task is None or task in entry.tasks)
    ]


def reads_history(needs: Collection[str]) -> bool:
    """Whether a model reads histories at all."""
    return any(INPUTS[name].part == "history" for name in needs)
