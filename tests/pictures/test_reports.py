"""Confusion matrices and calibrations as SVG."""

import pytest

from fastbp.pictures.confusion import confusion
from fastbp.pictures.reliability import LOW, reliability
from tests.pictures.svg import SVG, inside, lines_of, parsed, styled, texts


def cells(picture):
    """(x, y) of each cell and how dark it is."""
    found = [r for r in parsed(picture).iter(f"{SVG}rect") if "heat" in (r.get("class") or "")]
    return [(float(r.get("x")), float(r.get("y")), float(r.get("fill-opacity"))) for r in found]


def test_rows_of_a_confusion_are_true_classes_and_columns_predicted_ones():
    picture = confusion(["cat", "dog", "emu"], [[8, 2, 0], [0, 5, 0], [3, 0, 1]])
    found = {text: (x, y) for x, y, text, _ in texts(picture) if text not in ("cat", "dog", "emu")}
    named = [place for place in texts(picture) if place[2] in ("cat", "dog", "emu")]
    lines, columns = named[::2], named[1::2]
    assert [t for _, _, t, _ in sorted(lines, key=lambda p: p[1])] == ["cat", "dog", "emu"]
    assert [t for _, _, t, _ in sorted(columns)] == ["cat", "dog", "emu"]
    assert {x for x, *_ in lines} == {min(x for x, *_ in named)}
    assert found["8"][1] == found["2"][1] < found["5"][1] < found["3"][1] == found["1"][1]
    assert found["8"][0] == found["3"][0] < found["2"][0] == found["5"][0] < found["1"][0]
    assert "0" not in found


def test_a_cell_is_as_dark_as_its_share_of_its_row():
    found = cells(confusion(["a", "b"], [[16, 4], [0, 0]]))
    assert [shade for _, _, shade in found] == pytest.approx([0.04 + 0.96 * 0.8, 0.04 + 0.96 * 0.2, 0.0, 0.0])
    whole = confusion(["a", "b"], [[16, 4], [0, 0]])
    assert {t: kind for _, _, t, kind in texts(whole)}["16"] == "onheat"
    assert {t: kind for _, _, t, kind in texts(whole)}["4"] == "ink"


@pytest.mark.parametrize("size", [2, 4, 12, 13, 20, 40, 100])
def test_a_confusion_of_any_size_is_whole_on_its_page(size):
    names = [f"class {'with a long name ' * (i % 2)}{i}" for i in range(size)]
    picture = confusion(names, [[i * j % 7 for i in range(size)] for j in range(size)], "Confusion on 12,345 test rows")
    assert inside(picture)
    assert styled(picture)
    found = cells(picture)
    assert len(found) == size * size
    width = float(parsed(picture).get("width"))
    assert max(x for x, _, _ in found) < width
    assert any(t.endswith("…") for _, _, t, _ in texts(picture))


BINS = [{"low": 0.0, "high": 0.1, "rows": 30, "predicted": 0.05, "actual": 0.1},
        {"low": 0.6, "high": 0.7, "rows": 10, "predicted": 0.65, "actual": 0.5}]  # fmt: skip


def test_a_bin_is_a_point_at_what_was_said_and_what_came_true_and_a_bar_as_high_as_its_rows():
    picture = reliability(BINS, "yes", 0.0625)
    (line,) = lines_of(picture, "s0")
    ends = [(x, y - 4) for x, y, t, _ in texts(picture) if t in ("0.0", "1.0")]
    y0, y1 = ends[0][1], ends[2][1]  # the ticks of both axes, 0.0 and then 1.0
    x0, x1 = ends[1][0], ends[3][0]
    assert y0 > y1
    for (x, y), b in zip(line, BINS, strict=True):
        assert x == pytest.approx(x0 + (x1 - x0) * b["predicted"], abs=0.1)
        assert y == pytest.approx(y0 + (y1 - y0) * b["actual"], abs=0.1)
    bars = [r for r in parsed(picture).iter(f"{SVG}rect") if r.get("class") == "heat"]
    assert float(bars[0].get("height")) == LOW
    assert float(bars[0].get("height")) == pytest.approx(3 * float(bars[1].get("height")), abs=0.2)
    assert "probability of yes" in [t for _, _, t, _ in texts(picture)]
    assert any("0.0625" in t for _, _, t, _ in texts(picture))
    assert inside(picture)
    assert styled(picture)
