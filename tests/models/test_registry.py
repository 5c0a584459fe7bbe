import pytest

from sar_tf import models


def test_models_are_found_by_name():
    assert "unisar" in models.names()
    assert models.get("unisar") is models.UniSAR
    assert models.UniSAR.registered_name == "unisar"


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match=r"'no_such_model'.*unisar"):
        models.get("no_such_model")


def test_a_model_that_lives_elsewhere():
    from support.tiny_model import Tiny

    assert models.get("support.tiny_model:Tiny") is Tiny
    assert Tiny.registered_name is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_module:Model", "the module no_such_module cannot be imported"),
        ("support.tiny_model:Huge", "support.tiny_model has no model class 'Huge'"),
        ("support.tiny_model:SPEC", "support.tiny_model has no model class 'SPEC'"),
        ("collections:Counter", "collections has no model class 'Counter'"),
        (":Model", "cannot be imported|has no module"),
    ],
)
def test_what_is_no_model_is_named(name, problem):
    with pytest.raises(ValueError, match=problem):
        models.get(name)
