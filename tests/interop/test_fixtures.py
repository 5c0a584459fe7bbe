import dataclasses
import json

import numpy as np
import pytest

from sar_tf.interop import projects
from sar_tf.interop.fixtures import Fixture, build_model
from sar_tf.interop.weights import InteropError, Shapes, columns_of_blocks


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def parts(*names):
    return {f"{name}/a": np.zeros(2) for name in names}


def test_parts_and_config(tmp_path):
    path = save(
        tmp_path / "fixture.npz",
        config=json.dumps({"num_heads": 2}),
        **{"table/user/level": np.arange(3)},
        **parts("state", "input", "output"),
    )
    fixture = Fixture.load(path)
    assert fixture.config == {"num_heads": 2}
    assert list(fixture.state) == list(fixture.inputs) == list(fixture.outputs) == ["a"]
    np.testing.assert_array_equal(fixture.tables["user/level"], [0, 1, 2])


def test_missing_parts_are_named(tmp_path):
    path = save(tmp_path / "a.npz", config="{}", **parts("state"))
    with pytest.raises(InteropError, match=r"a\.npz: nothing under input, output"):
        Fixture.load(path)


def test_what_is_no_fixture(tmp_path):
    no_config = save(tmp_path / "a.npz", **parts("state", "input", "output"))
    with pytest.raises(InteropError, match="config"):
        Fixture.load(no_config)
    text = tmp_path / "b.npz"
    text.write_text("not an archive")
    with pytest.raises(InteropError, match=r"b\.npz is no fixture, or damaged"):
        Fixture.load(text)


def test_weights_of_no_known_project():
    with pytest.raises(InteropError, match="not weights of sesrec or unisar"):
        projects.of_weights({"encoder.weight": np.zeros(2)})


def test_every_fault_is_listed(golden_dir):
    fixture = Fixture.load(golden_dir / "sesrec_features.npz")
    state = dict(fixture.state)
    removed = [key for key in state if key.endswith("dense_1.bias")]
    for key in removed:
        del state[key]
    state["extra.weight"] = np.zeros(3)
    with pytest.raises(InteropError) as error:
        build_model(dataclasses.replace(fixture, state=state))
    lines = str(error.value).splitlines()
    assert f"({len(removed) + 1} problems)" in lines[0]
    assert [line.strip() for line in lines[1:]] == [
        *(f"missing: {key}" for key in sorted(removed)),
        "surplus: extra.weight",
    ]


def test_an_input_that_is_missing_is_named(golden_dir):
    fixture = Fixture.load(golden_dir / "sesrec_ids.npz")
    del fixture.inputs["query_words"]
    with pytest.raises(InteropError, match="the fixture has no 'query_words'"):
        build_model(fixture)


def test_columns_of_blocks():
    official, ours = ["id", "b", "a"], {"id": 2, "a": 1, "b": 3}
    np.testing.assert_array_equal(columns_of_blocks(official, ours), [0, 1, 5, 2, 3, 4])
    assert columns_of_blocks(["id", "c"], ours) == slice(None)


def test_shapes():
    shapes = Shapes(
        {
            "fc.0.weight": np.zeros((7, 2)),
            "fc.3.bias": np.zeros(5),
            "fc.12.weight": np.zeros((1, 3)),
            "a.0.w": np.zeros(1),
            "a.1.w": np.zeros(1),
            "a.1.v": np.zeros(1),
        }
    )
    assert shapes.size("fc.0.weight", 1) == 2
    assert shapes.size("fc.0.weight", 2) is shapes.size("no") is None
    assert shapes.units("fc") == (7, 5, 1)
    assert shapes.names(r"a\.(\d+)\.") == ["0", "1"]
    assert shapes.first(None, 3, 4) == 3
