"""Reads the checkpoint files of the official projects."""

import os
import pickle

import numpy as np

from sar_tf.interop.weights import InteropError


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a file that `torch.save(model.state_dict(), path)` wrote.

    Only tensors are read (`weights_only=True`): a file cannot run code.

    Args:
        path: The file.

    Returns:
        `{official name: NumPy array}` in the order of the file.

    Raises:
        InteropError: PyTorch is not installed, or the file is no such checkpoint.
        OSError: The file cannot be read.
    """
    try:
        import torch
    except ImportError as error:
        raise InteropError(
            f'reading {path} needs PyTorch: pip install -e ".[torch]"'
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InteropError(
            f"{path} is no checkpoint of tensors, or damaged: {reason}"
        ) from error
    is_state = isinstance(state, dict) and all(
        isinstance(value, torch.Tensor) for value in state.values()
    )
    if not is_state:
        raise InteropError(
            f"{path} holds no state_dict; save one by "
            "torch.save(model.state_dict(), path)"
        )
    return {name: np.asarray(value.float()) for name, value in state.items()}
