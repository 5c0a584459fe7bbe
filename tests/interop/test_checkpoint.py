import sys

import pytest

from sar_tf.interop.checkpoint import read_checkpoint
from sar_tf.interop.weights import InteropError


def test_without_torch_the_command_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        InteropError, match=r'needs PyTorch: pip install -e "\.\[torch\]"'
    ):
        read_checkpoint("official.pt")


def test_what_holds_no_tensors(tmp_path):
    torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
    torch.save({"epoch": 3}, tmp_path / "a.pt")
    with pytest.raises(InteropError, match=r"a\.pt holds no state_dict"):
        read_checkpoint(tmp_path / "a.pt")
