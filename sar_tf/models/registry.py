"""Models by name."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from sar_tf.models.base import Model

_MODELS: dict[str, type["Model"]] = {}


def register(name: str) -> Callable[[type["Model"]], type["Model"]]:
    """Class decorator that makes a model known as `--model=name`."""

    def add(cls: type["Model"]) -> type["Model"]:
        _MODELS[name] = keras.saving.register_keras_serializable("sar_tf")(cls)
        cls.registered_name = name
        return cls

    return add


def names() -> list[str]:
    """Names of all registered models."""
    return sorted(_MODELS)


def get(name: str) -> type["Model"]:
    """Class of a model.

    Args:
        name: A registered name, or "package.module:Class" of a model that lives
            elsewhere.

    Raises:
        ValueError: There is no such model, or it is not a `sar_tf.models.Model`.
    """
    if ":" in name:
        return _import(name)
    if name not in _MODELS:
        raise ValueError(
            f"no model is named {name!r}; there are {', '.join(names())}, and "
            "package.module:Class names one of your own"
        )
    return _MODELS[name]


def _import(name: str) -> type["Model"]:
    from sar_tf.models.base import Model

    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: the module {module_name} cannot be imported ({error}); is its "
            "folder on PYTHONPATH?"
        ) from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise ValueError(f"{name}: {module_name} has no model class {class_name!r}")
    return found
