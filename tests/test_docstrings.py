"""The examples in docstrings run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import sar_tf

MODULES = [
    module.name
    for module in pkgutil.walk_packages(sar_tf.__path__, "sar_tf.")
    if not module.ispkg
]
EXTRAS = ("apache_beam",)  # Packages that only some modules need.


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        pytest.skip(f"{error.name} is not installed")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_layers_have_examples_that_run():
    from sar_tf.layers import attention, co_attention, masked_attention

    for module in (attention, co_attention, masked_attention):
        finder = doctest.DocTestFinder(exclude_empty=True)
        assert any(found.examples for found in finder.find(module)), module.__name__
