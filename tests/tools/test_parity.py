import numpy as np
import pytest

from tools.parity import __main__ as parity
from tools.parity.comparison import compare

FIXTURES = ("unisar_ids", "unisar_features", "sesrec_ids", "sesrec_features")


def run(path):
    """What the tool prints, and its exit status or message."""
    try:
        parity.main([f"--fixture={path}"])
    except SystemExit as error:
        return error.code
    return 0


def golden(golden_dir, name):
    return golden_dir / f"{name}.npz"


def changed(path, tmp_path, name, change):
    """A copy of a fixture, one array of which is changed."""
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays[name] = change(arrays[name])
    copy = tmp_path / "changed.npz"
    np.savez(copy, **arrays)
    return copy


@pytest.mark.parametrize("name", FIXTURES)
def test_official_outputs_are_met(golden_dir, capsys, name):
    path = golden(golden_dir, name)
    assert run(path) == 0
    printed = capsys.readouterr().out
    with np.load(path) as archive:
        outputs = [key[7:] for key in archive.files if key.startswith("output/")]
    for output in outputs:
        assert output in printed
    assert "FAILS" not in printed


@pytest.mark.parametrize(
    "weight",
    ["user_feat.user_gender_emb.weight", "interest_contrast.co_att.Wd"],
)
def test_a_wrong_weight_is_found(golden_dir, tmp_path, capsys, weight):
    path = golden(golden_dir, "sesrec_features")
    path = changed(path, tmp_path, f"state/{weight}", lambda array: -array)
    assert "differs from the official code" in run(path)
    assert "FAILS" in capsys.readouterr().out


def test_what_is_no_fixture(tmp_path):
    assert "missing.npz" in run(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    ("expected", "computed", "passed"),
    [
        (np.array([0.5, 0.5]), np.array([0.5, 0.500009]), True),
        (np.array([0.5, 0.5]), np.array([0.5, 0.500011]), False),
        (np.array(2.0), np.array(2.00009), True),
        (np.array(2.0), np.array(2.00011), False),
        (np.array([True, False]), np.array([True, False]), True),
        (np.array([True, False]), np.array([True, True]), False),
        (np.array([0.5, 0.5]), np.array([0.5, np.nan]), False),
        (np.array([0.5, 0.5]), np.array([0.5]), False),
        (np.array(2.0), None, False),
    ],
)
def test_tolerances(expected, computed, passed):
    (comparison,) = compare({"output": expected}, {"output": computed})
    assert comparison.passed == passed
