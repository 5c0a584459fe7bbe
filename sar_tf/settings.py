"""Settings: names, types, ranges and meanings of a run's and of a model's numbers.

A setting is described once, where it is defined: a model's hyperparameter in the
signature and the docstring of its constructor, a run's setting in `RunConfig`. Flags,
checks and help texts are made from that description.
"""

import dataclasses
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that a setting may be, for `typing.Annotated`.

    Attributes:
        low, high: The ends.
        low_open, high_open: Whether the end itself is left out.

    Example:

    >>> Range(0, 1, high_open=True).holds(1)
    False
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN is in none, infinity neither."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        ends = []
        if self.low != -math.inf:
            ends.append(
                ("above " if self.low_open else "at least ") + _number(self.low)
            )
        if self.high != math.inf:
            ends.append(
                ("below " if self.high_open else "at most ") + _number(self.high)
            )
        return " and ".join(ends) or "finite"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


# The highest sizes are far above what is useful; they catch slips of the pen before
# memory runs out.
Size = Annotated[int, Range(1, 1 << 13)]
Sizes = Annotated[tuple[int, ...], Range(1, 1 << 13)]
Few = Annotated[int, Range(1, 64)]  # Layers, heads, experts.
Rate = Annotated[float, Range(0, 1, high_open=True)]
Weight = Annotated[float, Range(0, 1e6)]
Temperature = Annotated[float, Range(1e-3, 1e3)]


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: Its name, which is its flag's too.
        default: Its default.
        kind: `bool`, `int`, `float` or `str`; of a tuple, the type of its elements.
        is_tuple: Whether it is a tuple of `kind`.
        is_optional: Whether it may be None.
        choices: The values that it may be; empty where it is free.
        range: The numbers that it, or each element, may be.
        help: What it means, in one sentence.
    """

    name: str
    default: Any
    kind: type = str
    is_tuple: bool = False
    is_optional: bool = False
    choices: tuple = ()
    range: Range | None = None
    help: str = ""

    def parse(self, text: str) -> Any:
        """The value that a flag's text stands for.

        Raises:
            ValueError: The text is no such value; names the setting.
        """
        if self.is_optional and text.lower() in ("none", ""):
            return None
        if not self.is_tuple:
            return self.check(self._parse_one(text))
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return self.check(tuple(self._parse_one(part) for part in parts))

    def format(self, value: Any) -> str:
        """The text that `parse` makes the value of."""
        if isinstance(value, list | tuple):
            return ",".join(map(str, value))
        if value is None or isinstance(value, bool):
            return str(value).lower()
        return str(value)

    @property
    def limits(self) -> str:
        """What it may be, in words: its choices or its range; "" where all is said."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        return str(self.range) if self.range is not None else ""

    def check(self, value: Any) -> Any:
        """The value in the setting's type.

        Raises:
            ValueError: The value is of another type or out of range; names the
                setting.
        """
        if value is None and self.is_optional:
            return None
        if not self.is_tuple:
            return self._check_one(value)
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise ValueError(f"{self.name} must be a tuple, not {value!r}")
        return tuple(self._check_one(element) for element in value)

    def _parse_one(self, text: str) -> Any:
        if self.kind is bool:
            values = {"true": True, "1": True, "false": False, "0": False}
            if text.lower() not in values:
                raise ValueError(f"{self.name} must be true or false, not {text!r}")
            return values[text.lower()]
        try:
            return self.kind(text)
        except ValueError:
            raise ValueError(
                f"{self.name} must be {_KIND_NAMES[self.kind]}, not {text!r}"
            ) from None

    def _check_one(self, value: Any) -> Any:
        if self.choices:
            # Of the same type too: True equals 1.
            if value not in self.choices or type(value) is not self.kind:
                choices = ", ".join(map(str, self.choices))
                raise ValueError(f"{self.name} must be one of {choices}, not {value!r}")
            return value
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        fits = {
            bool: isinstance(value, bool),
            int: is_whole,
            float: is_whole or isinstance(value, float),
            str: isinstance(value, str),
        }
        if not fits[self.kind]:
            raise ValueError(
                f"{self.name} must be {_KIND_NAMES[self.kind]}, not {value!r}"
            )
        if self.range is not None and not self.range.holds(value):
            raise ValueError(f"{self.name} must be {self.range}, not {value!r}")
        return self.kind(value)


_KIND_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def make_setting(name: str, annotation: Any, default: Any, help: str = "") -> Setting:
    """A setting of what Python says about it.

    Args:
        name: Its name.
        annotation: `int`, `float`, `bool`, `str`, `tuple[int, ...]`, a
            `Literal`, any of these `| None` or `Annotated` with a `Range`;
            `inspect.Parameter.empty` where there is none, so that the default tells
            the type.
        default: Its default.
        help: What it means.
    """
    found: dict[str, Any] = {"is_optional": default is None}
    if annotation is inspect.Parameter.empty:
        annotation = type(default) if default is not None else str
    kind = _read_annotation(annotation, found)
    if kind is tuple:  # Without an annotation: of what the default holds.
        found["is_tuple"] = True
        kind = type(default[0]) if default else str
    if kind not in _KIND_NAMES:
        raise TypeError(f"{name}: a setting cannot be of type {kind!r}")
    return Setting(name, default, kind, help=help, **found)


def _read_annotation(annotation: Any, found: dict[str, Any]) -> Any:
    """The type of the value; what else the annotation says goes into `found`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        for extra in arguments[1:]:
            if isinstance(extra, Range):
                found["range"] = extra
        return _read_annotation(arguments[0], found)
    if origin in (typing.Union, types.UnionType):
        found["is_optional"] = type(None) in arguments
        (own,) = (part for part in arguments if part is not type(None))
        return _read_annotation(own, found)
    if origin is typing.Literal:
        found["choices"] = arguments
        return type(arguments[0])
    if origin is tuple:
        found["is_tuple"] = True
        return _read_annotation(arguments[0], found)
    return annotation


def keyword_settings(
    function: Callable, help_texts: Mapping[str, str]
) -> dict[str, Setting]:
    """The settings that are a function's keyword-only arguments, by name.

    Args:
        function: Its signature has types and defaults.
        help_texts: What each one means.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    return {
        name: make_setting(
            name,
            hints.get(name, inspect.Parameter.empty),
            parameter.default,
            help_texts.get(name, ""),
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def argument_texts(docstring: str | None) -> dict[str, str]:
    """The texts of a docstring's "Args:" section, by argument, each on one line."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    if "Args:" not in lines:
        return {}
    texts: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        head = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if head:
            name = head[1]
            texts[name] = head[2]
        elif name and line.strip():
            texts[name] += " " + line.strip()
    return {name: text for names, text in texts.items() for name in names.split(", ")}
