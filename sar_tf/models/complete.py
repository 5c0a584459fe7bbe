"""Constructors that check their arguments first and build the model last."""

import contextlib

import keras


class Complete(type):
    """Metaclass of models.

    A constructor checks its hyperparameters, runs, and ends with the model's
    `_complete`, which gets all of them: those that were not passed have their default.
    """

    def __call__(cls, *args, **kwargs):
        settings = cls.hyperparameters()
        values = {name: setting.default for name, setting in settings.items()}
        for name in settings.keys() & kwargs.keys():
            values[name] = kwargs[name] = settings[name].check(kwargs[name])
        with _dtype_policy(kwargs.get("dtype")):
            model = super().__call__(*args, **kwargs)
            model._complete(values)
        return model


@contextlib.contextmanager
def _dtype_policy(policy):
    """Layers that are made inside have the policy; None changes nothing."""
    before = keras.config.dtype_policy()
    if policy is not None:
        keras.config.set_dtype_policy(keras.dtype_policies.get(policy))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
