"""Tables of ids that a model is given with its dataset."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from sar_tf.layers.look_up import look_up


@keras.saving.register_keras_serializable("sar_tf")
class IdTables(layers.Layer):
    """Looks ids up in tables, which are weights that are not trained.

    A saved model holds them: it needs no dataset to look ids up.

    Args:
        shapes: `{name: shape of the table}`.

    Attributes:
        has_tables: whether `set_tables` or a file has filled the tables. Until then
            all are 0.

    Example:

    >>> import numpy as np
    >>> tables = IdTables({"queries": (3, 2)})
    >>> tables.set_tables({"queries": np.array([[0, 0], [5, 4], [7, 0]])})
    >>> tables.look_up("queries", np.array([2, 1])).numpy().tolist()
    [[7, 0], [5, 4]]
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], **kwargs) -> None:
        super().__init__(**kwargs)
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.tables = {
            name: self.add_weight(
                name=f"{name}_table",
                shape=shape,
                initializer="zeros",
                dtype="int32",
                trainable=False,
            )
            for name, shape in self.shapes.items()
        }
        self.has_tables = False
        self.built = True

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.has_tables = True

    def set_tables(self, tables: Mapping[str, Any]) -> None:
        """Fills the tables: `{name: int array}`; there may be others among them.

        Raises:
            ValueError: A table is missing, or has another shape.
        """
        for name, table in self.tables.items():
            if name not in tables:
                raise ValueError(f"{self.name}: there is no table {name!r}")
            values = tables[name]
            if tuple(values.shape) != self.shapes[name]:
                raise ValueError(
                    f"{self.name}: the table {name!r} has shape "
                    f"{tuple(values.shape)}, not {self.shapes[name]}"
                )
            table.assign(values)
        self.has_tables = True

    def look_up(self, name: str, ids: Any) -> Any:
        """Rows of a table: int `(...) -> (..., *shape[1:])`."""
        return look_up(self.tables[name], ids)

    def get_config(self):
        return {**super().get_config(), "shapes": self.shapes}
