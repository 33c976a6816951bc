"""Functions shown gate by gate: the table and the picture say what was computed, and no two labels overlap."""

import re
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.explain import steps_of
from fastbp.pictures.picture import Picture

F = fb.trace(lambda x, y: (x + fb.sigmoid(y)) * (1.0 / (fb.sigmoid(x) + (x + y) ** 2)))
TABLE = """\
forward  gate      of       value
x        argument           3
y        argument           -4
v2       sigmoid   y        0.01799
v3       add       x, v2    3.018
v4       sigmoid   x        0.9526
v5       add       x, y     -1
v8       multiply  v5, v5   1
v9       add       v4, v8   1.953
v11      divide    1, v9    0.5121
v12      multiply  v3, v11  1.546

backward  gate      from        adjoint
v12       multiply  the result  1
v11       divide    v12         3.018
v9        add       v11         -0.7916
v8        multiply  v9          -0.7916
v5        add       v8          1.583
v4        sigmoid   v9          -0.7916
v3        add       v12         0.5121
v2        sigmoid   v3          0.5121
y         argument  v2, v5      1.592
x         argument  v3, v4, v5  2.06"""


def without_numbers(table):
    """A table with its gates named in the order they come, whatever numbers they had in the graph."""
    names = {}
    return re.sub(r"\bv\d+", lambda m: names.setdefault(m[0], f"v{len(names)}").ljust(len(m[0])), table)


def test_the_table_has_the_forward_and_then_the_backward_pass():
    found = F.explain(x=3, y=-4)
    words = [re.split(r"\s{2,}", line.strip()) for line in without_numbers(found).splitlines()]
    assert words == [re.split(r"\s{2,}", line.strip()) for line in without_numbers(TABLE).splitlines()]
    assert F.explain(3, -4) == F.explain(3, y=-4) == found


def test_an_argument_that_does_not_count_is_said_to_have_gradient_zero():
    table = fb.trace(lambda x, y: x * 2.0).explain(x=1.0, y=5.0)
    assert table.splitlines()[-1] == "the result does not depend on y: its gradient is zero"
    assert not any(line.startswith("y ") for line in table.split("backward")[1].splitlines())


def test_arrays_are_shown_by_shape_and_norm():
    G = fb.trace(lambda W, x: np.sum(W @ x))
    table = G.explain(np.ones((2, 3)), np.array([3.0, 4.0, 0.0]))
    assert "2×3, norm 2.45" in table
    assert "3, norm 5" in table


def boxes(picture):
    """The rectangle of every text of a picture, a little smaller than it is drawn."""
    out = []
    for node in ElementTree.fromstring(str(picture)).iter("{http://www.w3.org/2000/svg}text"):
        half, x, y = 3.0 * len(node.text), float(node.get("x")), float(node.get("y"))
        out.append((x - half, y - 10.0, x + half, y, node.text))
    return out


def overlapping(found):
    return [
        (a[4], b[4])
        for i, a in enumerate(found)
        for b in found[i + 1 :]
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]


FUNCTIONS = {
    "text": (F, (3.0, -4.0)),
    "deep": (fb.trace(lambda x, y: np.sin(x * y + np.exp(np.tanh(x) * 0.12345)) ** 3 + x / y), (1.5, 2.5)),
    "arrays": (fb.trace(lambda W, x, b: np.sum(np.tanh(W @ x + b) ** 2)), (np.ones((4, 3)), np.ones(3), np.ones(4))),
    "unused": (fb.trace(lambda x, y: x * 2.0), (1.0, 2.0)),
    "nothing": (fb.trace(lambda x: x), (1.0,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_gate_is_in_the_picture_with_its_value_and_its_adjoint(name):
    function, args = FUNCTIONS[name]
    picture = function.draw(*args)
    root = ElementTree.fromstring(str(picture))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    steps = steps_of(function, args, {})
    assert len(texts) == 3 * len(steps)
    colours = [node.get("class") for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert colours.count("s2fill") == colours.count("warm") == len(steps)
    style = root.find("{http://www.w3.org/2000/svg}style").text
    drawn = {name for node in root.iter() for name in (node.get("class") or "").split()} - {"fastbp"}
    assert all(style.count(f".fastbp .{name}{{") == 2 for name in drawn)  # in light and in dark
    assert not any(node.get("fill") not in (None, "none") or node.get("stroke") for node in root.iter())
    width, height = float(root.get("width")), float(root.get("height"))
    for x0, y0, x1, y1, text in boxes(picture):
        assert 0 <= x0 < x1 <= width, text
        assert 0 <= y0 < y1 <= height, text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_labels_overlap(name):
    function, args = FUNCTIONS[name]
    assert overlapping(boxes(function.draw(*args))) == []


def test_the_check_sees_labels_that_overlap():
    text = '<svg xmlns="http://www.w3.org/2000/svg"><text x="50" y="20">abc</text><text x="55" y="24">def</text></svg>'
    assert overlapping(boxes(Picture(text))) == [("abc", "def")]


def test_values_stand_above_their_edges_and_adjoints_below():
    found = {text: y for _, _, _, y, text in boxes(F.draw(x=3, y=-4))}
    assert found["3"] < found["2.06"]
    assert found["-4"] < found["1.592"]


def test_a_picture_is_text_a_file_and_what_notebooks_show(tmp_path):
    picture = F.draw(x=3, y=-4)
    assert isinstance(picture, Picture)
    assert picture._repr_svg_() == str(picture)
    picture.save(tmp_path / "f.svg")
    assert (tmp_path / "f.svg").read_text(encoding="utf-8") == str(picture)
    assert [name for name in vars(Picture) if not name.startswith("_")] == ["save"]


def chain(count):
    """A function of that many gates and arguments, whose first value is used in every gate."""

    def f(x):
        y = x
        for _ in range(count - 1):
            y = np.sin(y) if y is x else y * x
        return y

    return fb.trace(f)


def test_a_large_picture_is_made_at_once():
    begin = time.perf_counter()
    chain(400).draw(0.5)
    assert time.perf_counter() - begin < 5.0


def test_a_picture_of_too_many_gates_is_refused():
    with pytest.raises(fb.ConfigError) as info:
        chain(401).draw(0.5)
    assert str(info.value) == (
        "a picture must be of at most 400 gates, got 401\n"
        "hint: `explain` shows any number of them, and a function of whole arrays has fewer"
    )


def test_what_has_a_default_may_be_left_out():
    F = fb.trace(lambda x, y=2.0, z=1.0: x * y + z)
    assert [row.split()[0] for row in F.explain(x=3.0).splitlines()[1:3]] == ["x", "v2"]
    assert "y " in F.explain(x=3.0, z=4.0)
    assert F.explain(3.0) == F.explain(x=3.0)


def test_an_argument_may_be_called_self():
    assert "self" in fb.trace(lambda self, other: self * other).explain(self=3.0, other=2.0)
    assert fb.trace(lambda self: self * 2.0).draw(self=3.0)
