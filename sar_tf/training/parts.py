"""Results that are kept part by part, so that a killed process goes on where it was."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sar_tf.files import remove_partial, whole_file, write_text

_ABOUT = "about.json"


class Parts:
    """A folder of numbered parts of one result, which are removed at its end.

    Args:
        folder: The folder; it is made.
        about: What the parts depend on, as JSON has it. Parts of anything else that
            are in the folder are removed.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self._folder = folder
        text = json.dumps(about, indent=2) + "\n"
        if _read(folder / _ABOUT) != text:
            self.remove()
            folder.mkdir(parents=True)
            write_text(folder / _ABOUT, text)
        remove_partial(folder)

    def number(self) -> int:
        """How many parts there are, from the first one on without a gap."""
        number = 0
        while self._path(number).is_file():
            number += 1
        return number

    def write(self, number: int, arrays: Mapping[str, Any]) -> None:
        """Writes a part, whole or not at all."""
        with whole_file(self._path(number)) as beside, open(beside, "wb") as file:
            np.savez(file, **arrays)

    def read(self, number: int) -> dict[str, np.ndarray]:
        """A part's arrays."""
        with np.load(self._path(number)) as arrays:
            return dict(arrays)

    def remove(self) -> None:
        """Removes the folder."""
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def _path(self, number):
        return self._folder / f"{number:06d}.npz"


def _read(path):
    return path.read_text(encoding="utf-8") if path.is_file() else None
