import math
from typing import Annotated, Literal

import pytest

from sar_tf.settings import (
    Range,
    Rate,
    Setting,
    Size,
    Sizes,
    argument_texts,
    keyword_settings,
    make_setting,
)

FREE = Range(0, 1, high_open=True)


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "text"),
    [
        (Range(), [0, -1e300], [math.inf, -math.inf, math.nan], "finite"),
        (Range(1, 3), [1, 2.5, 3], [0.99, 3.01, math.nan], "at least 1 and at most 3"),
        (
            Range(0, 1, low_open=True, high_open=True),
            [0.5],
            [0, 1, math.nan],
            "above 0 and below 1",
        ),
        (Range(low=2), [2, 1e9], [1, math.inf], "at least 2"),
        (Range(high=0, high_open=True), [-1], [0, -math.inf], "below 0"),
    ],
)
def test_ranges(limits, inside, outside, text):
    assert all(map(limits.holds, inside))
    assert not any(map(limits.holds, outside))
    assert str(limits) == text


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (int, 3, {"kind": int}),
        (float, 0.5, {"kind": float}),
        (bool, True, {"kind": bool}),
        (str, "a", {"kind": str}),
        (int | None, None, {"kind": int, "is_optional": True}),
        (float | None, 2.0, {"kind": float, "is_optional": True}),
        (int, None, {"kind": int, "is_optional": True}),
        (tuple[int, ...], (1,), {"kind": int, "is_tuple": True}),
        (tuple[float, ...], (), {"kind": float, "is_tuple": True}),
        (
            tuple[str, ...] | None,
            None,
            {"kind": str, "is_tuple": True, "is_optional": True},
        ),
        (Literal["a", "b"], "a", {"kind": str, "choices": ("a", "b")}),
        (Literal[1, 2], 2, {"kind": int, "choices": (1, 2)}),
        (
            Literal["a"] | None,
            None,
            {"kind": str, "choices": ("a",), "is_optional": True},
        ),
        (Size, 4, {"kind": int, "range": Range(1, 1 << 13)}),
        (Sizes, (4,), {"kind": int, "is_tuple": True, "range": Range(1, 1 << 13)}),
        (Rate, 0.1, {"kind": float, "range": FREE}),
        (Rate | None, None, {"kind": float, "range": FREE, "is_optional": True}),
        (
            Annotated[float | None, FREE],
            None,
            {"kind": float, "range": FREE, "is_optional": True},
        ),
        (
            tuple[Rate, ...],
            (0.1,),
            {"kind": float, "is_tuple": True, "range": FREE},
        ),
    ],
)
def test_annotations(annotation, default, expected):
    setting = make_setting("name", annotation, default, "Meaning.")
    assert setting == Setting("name", default, help="Meaning.", **expected)


@pytest.mark.parametrize(
    ("default", "kind", "is_tuple"),
    [(3, int, False), (0.5, float, False), (False, bool, False), ("x", str, False)]
    + [((1.5,), float, True), ((), str, True), (("a", "b"), str, True)],
)
def test_without_an_annotation_the_default_tells(default, kind, is_tuple):
    def function(*, value=default):
        pass

    setting = keyword_settings(function, {})["value"]
    assert (setting.kind, setting.is_tuple) == (kind, is_tuple)


def test_a_type_that_no_setting_has():
    with pytest.raises(TypeError, match="table: a setting cannot be of type"):
        make_setting("table", dict, {})


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        (Setting("a", 1, int), "12", 12),
        (Setting("a", 1, int), "-3", -3),
        (Setting("a", 1.0, float), "1e-3", 1e-3),
        (Setting("a", 1.0, float), "2", 2.0),
        (Setting("a", True, bool), "false", False),
        (Setting("a", True, bool), "True", True),
        (Setting("a", True, bool), "1", True),
        (Setting("a", "", str), "a b", "a b"),
        (Setting("a", None, int, is_optional=True), "none", None),
        (Setting("a", None, int, is_optional=True), "", None),
        (Setting("a", None, int, is_optional=True), "5", 5),
        (Setting("a", None, str, is_optional=True), "None", None),
        (Setting("a", (1,), int, is_tuple=True), "1, 2,3", (1, 2, 3)),
        (Setting("a", (1,), int, is_tuple=True), "", ()),
        (Setting("a", (0.5,), float, is_tuple=True), "0.25,1", (0.25, 1.0)),
        (Setting("a", ("x",), str, is_tuple=True), "rec,search", ("rec", "search")),
        (Setting("a", "x", str, choices=("x", "y")), "y", "y"),
        (Setting("a", 1, int, choices=(1, 2)), "2", 2),
    ],
)
def test_parse_and_format(setting, text, value):
    found = setting.parse(text)
    assert found == value and type(found) is type(value)
    if isinstance(value, tuple):
        assert [type(x) for x in found] == [type(x) for x in value]
    again = setting.parse(setting.format(value))
    assert again == value and type(again) is type(value)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-30, 123456.789, 1e22])
def test_format_keeps_every_digit(value):
    setting = Setting("a", 0.0, float)
    assert setting.parse(setting.format(value)) == value


@pytest.mark.parametrize(
    ("setting", "text", "problem"),
    [
        (Setting("size", 1, int), "1.5", "size must be a whole number, not '1.5'"),
        (Setting("size", 1, int), "", "size must be a whole number, not ''"),
        (Setting("rate", 1.0, float), "high", "rate must be a number, not 'high'"),
        (Setting("on", True, bool), "yes", "on must be true or false, not 'yes'"),
        (
            Setting("rate", 0.5, float, range=FREE),
            "nan",
            "rate must be at least 0 and below 1, not nan",
        ),
        (Setting("rate", 0.5, float, range=FREE), "1", "rate must be .*, not 1.0"),
        (
            Setting("sizes", (1,), int, is_tuple=True, range=Range(1, 9)),
            "3,0",
            "sizes must be at least 1 and at most 9, not 0",
        ),
        (
            Setting("kind", "x", str, choices=("x", "y")),
            "z",
            "kind must be one of x, y, not 'z'",
        ),
    ],
)
def test_texts_that_stand_for_no_value(setting, text, problem):
    with pytest.raises(ValueError, match=problem) as error:
        setting.parse(text)
    assert "\n" not in str(error.value)


def test_check_gives_the_settings_type():
    assert Setting("a", 1.0, float).check(2) == 2.0
    assert type(Setting("a", 1.0, float).check(2)) is float
    assert Setting("a", (1,), int, is_tuple=True).check([1, 2]) == (1, 2)
    assert Setting("a", None, int, is_optional=True).check(None) is None


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        (Setting("a", 1, int), 1.0),
        (Setting("a", 1, int), True),
        (Setting("a", 1, int), None),
        (Setting("a", 1.0, float), "1"),
        (Setting("a", 1.0, float), False),
        (Setting("a", True, bool), 1),
        (Setting("a", "", str), 1),
        (Setting("a", (), str, is_tuple=True), "rec"),
        (Setting("a", (), int, is_tuple=True), 3),
        (Setting("a", (), int, is_tuple=True), (1, "2")),
        (Setting("a", 0.5, float, range=FREE), math.nan),
        (Setting("a", 0.5, float, range=FREE), -0.1),
        (Setting("a", 1, int, choices=(1, 2)), True),
        (Setting("a", 1, int, choices=(1, 2)), 2.0),
        (Setting("a", "x", str, choices=("x",)), ["x"]),
    ],
)
def test_values_of_another_type_or_range(setting, value):
    with pytest.raises(ValueError, match=r"^a must be"):
        setting.check(value)


def test_keyword_settings_are_the_keyword_only_arguments():
    def function(spec, tables=None, *, size: Size = 4, names: tuple[str, ...] = ()):
        pass

    settings = keyword_settings(function, {"size": "How many."})
    assert list(settings) == ["size", "names"]
    assert settings["size"].help == "How many."
    assert settings["names"].help == ""


def test_argument_texts():
    docstring = """Does something.

    Args:
        one: Its text
            goes on.
        two, three: Of both: with a colon.
        four: Last.

    Returns:
        five: Not an argument.
    """
    assert argument_texts(docstring) == {
        "one": "Its text goes on.",
        "two": "Of both: with a colon.",
        "three": "Of both: with a colon.",
        "four": "Last.",
    }
    assert argument_texts(None) == argument_texts("No arguments.") == {}
