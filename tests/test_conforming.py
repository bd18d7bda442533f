"""Values of JSON against types."""

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import pytest

from fewstep.conforming import conforming


@dataclass(frozen=True, kw_only=True)
class Point:
    x: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Circle:
    centre: Point
    order: Literal[1, 2] = 1


class Entries(TypedDict):
    count: int


@pytest.mark.parametrize(
    ("value", "hint", "found"),
    [
        (3, float, 3),
        ([1, 2], tuple[int, ...], (1, 2)),
        (None, int | None, None),
        ({"a": [1.5]}, dict[str, list[float]], {"a": [1.5]}),
        ({"count": 1, "later": "more"}, Entries, {"count": 1, "later": "more"}),
        ({"kind": "Point", "x": 1, "names": ["a"]}, Circle | Point, Point(x=1, names=("a",))),
        ({"kind": "Circle", "centre": {"kind": "Point", "x": 0.5}}, Circle, Circle(centre=Point(x=0.5))),
        ("anything", Any, "anything"),
    ],
)
def test_what_fits_comes_back_as_its_type_has_it(value, hint, found):
    assert conforming(value, hint, "it") == found


@pytest.mark.parametrize(
    ("value", "hint", "wrong"),
    [
        (True, int, "it is True, expected a whole number"),
        (1.0, int, "it is 1.0, expected a whole number"),
        (float("nan"), float, "it is nan, expected a finite number"),
        (10**400, float, "expected a finite number"),
        pytest.param([10**5000], str, "it is a very large number, expected a text", id="more digits than are shown"),
        ("1", int | None, "it is '1', expected a whole number or nothing"),
        ([1, 2, 3], tuple[int, int], "it has 3 items, expected 2"),
        ({}, Entries, "it has no count"),
        ({"count": "x"}, Entries, "it.count is 'x', expected a whole number"),
        ({"kind": "Square"}, Circle | Point, r"it: kind 'Square' is not one of \['Circle', 'Point'\]"),
        ({"kind": ["Point"]}, Point, "is not one of"),
        ({"kind": "Point"}, Point, "it: .*missing.*'x'"),
        ({"kind": "Point", "x": 1, "y": 2}, Point, r"it: Point has no field \['y'\]; it has \['names', 'x'\]"),
        (
            {"kind": "Circle", "centre": {"kind": "Point", "x": "far"}},
            Circle,
            "it.centre.x is 'far', expected a finite",
        ),
        ({"kind": "Circle", "centre": {"kind": "Point", "x": 0}, "order": True}, Circle, "expected 1 or 2"),
        ("x" * 1000, int, r"it is 'x{59}\.\.\., expected"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_its_place(value, hint, wrong):
    with pytest.raises(ValueError, match=wrong):
        conforming(value, hint, "it")
