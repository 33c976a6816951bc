"""How predictions depend on columns, as SVG."""

import pytest

from fastbp.pictures.dependence import Curve, Line, dependences
from tests.pictures.svg import SVG, inside, lines_of, parsed, styled, texts

AGE = Curve("age", True, [20.0, 40.0, 80.0, None], [Line("yes", [0.2, 0.4, 0.8, 0.5], [0.1] * 4, [0.9] * 4)])
A, B = Line("a", [1.0, 2.0], [0.0, 1.0], [2.0, 3.0]), Line("b", [0.0] * 2, [0.0] * 2, [0.0] * 2)
TOWN = Curve("town", False, ["x", None], [A, B])
LONG = Curve(
    "long " * 30, False, [f"a long value {i}" for i in range(20)], [Line("c" * 60, [1e9] * 20, [0.0] * 20, [2e9] * 20)]
)
MANY = [Line(f"class {k}", [k] * 3, [k - 1] * 3, [k + 1] * 3) for k in range(6)]


def points(picture, kind):
    return [
        (float(c.get("cx")), float(c.get("cy"))) for c in parsed(picture).iter(f"{SVG}circle") if c.get("class") == kind
    ]


def test_numbers_are_a_line_by_their_size_and_what_is_missing_a_point_beside_it():
    picture = dependences([AGE])
    (line,) = lines_of(picture, "s0")
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x2 - x1 == pytest.approx(2 * (x1 - x0), abs=0.2)
    assert y0 - y2 == pytest.approx(3 * (y0 - y1), abs=0.4)
    ((x, y),) = points(picture, "s0fill")
    assert x > x2
    assert y == pytest.approx(y0 + (y2 - y0) / 2, abs=0.2)
    (band,) = parsed(picture).iter(f"{SVG}polygon")
    assert len(band.get("points").split()) == 6
    assert "missing" in [t for _, _, t, _ in texts(picture)]


def test_categories_are_points_beside_each_other():
    picture = dependences([TOWN], "Dependence")
    assert lines_of(picture, "s0") == []
    (left, low), (right, high) = points(picture, "s0fill")
    assert right > left
    assert high < low
    assert len(points(picture, "s1fill")) == 2
    assert {"x", "missing", "a", "b", "town"} <= {t for _, _, t, _ in texts(picture)}


@pytest.mark.parametrize(
    "curve",
    [
        AGE,
        TOWN,
        Curve("one", True, [3.0], [Line("y", [1.0], [1.0], [1.0])]),
        Curve("gone", True, [None], [Line("y", [1.0], [0.0], [2.0])]),
        LONG,
        Curve("wide", True, [-1e9, 0.0, 1e9], MANY),
    ],
)
def test_any_column_is_whole_on_its_page(curve):
    picture = dependences([curve, AGE], "How predictions depend on columns, on 12,345 test rows")
    assert inside(picture)
    assert styled(picture)
