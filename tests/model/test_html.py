"""What notebooks show of networks and of traced functions."""

import re
import xml.etree.ElementTree as ET

import numpy as np

import fastbp as fb
from tests.autodiff import pickled_functions as those

SVG = "{http://www.w3.org/2000/svg}"


def cells(html):
    return [[cell.text or "" for cell in row] for row in ET.fromstring(html).iter("tr")]


def test_a_network_is_a_table_of_its_layers_and_its_picture():
    net = fb.Network([fb.Linear(8), fb.BatchNorm(), fb.ReLU(), fb.Linear(3)], inputs=5)
    html = net._repr_html_()
    root = ET.fromstring(html)
    assert root.find("b").text == "Network, 5 inputs, 3 outputs, 91 parameters, float32"
    assert cells(html) == [
        ["name", "layer", "shape", "parameters"],
        ["0", "Linear(features=8, bias=True)", "5 → 8", "48"],
        ["1", repr(fb.BatchNorm()), "8 → 8", "16"],
        ["2", "ReLU()", "8 → 8", ""],
        ["3", "Linear(features=3, bias=True)", "8 → 3", "27"],
    ]
    assert str(net.draw()).strip() in html


def test_shared_layers_name_whose_parameters_they_have_and_several_inputs_are_rows():
    x = fb.Input(4)
    layer = fb.Linear(4)
    net = fb.Network(inputs=x, outputs=layer(fb.relu(layer(x, name="first"))) + x)
    rows = cells(net._repr_html_())
    assert [row[3] for row in rows[1:]] == ["20", "", "as first", ""]
    assert rows[-1][2] == "4, 4 → 4"
    assert "20 parameters" in net._repr_html_()


def test_inputs_and_outputs_are_no_layers_where_there_are_several():
    x, z = fb.Input(2), fb.Input(3)
    net = fb.Network(inputs=[x, z], outputs=[fb.Linear(4)(x), fb.Linear(1)(z)])
    assert [row[1].split("(")[0] for row in cells(net._repr_html_())] == ["layer", "Linear", "Linear"]
    assert "Network, 5 inputs, 5 outputs, 16 parameters, float32" in net._repr_html_()


def test_a_long_network_is_a_table_only():
    assert "<svg" not in fb.mlp([2] * 40)._repr_html_()
    assert "<svg" in fb.mlp([2] * 20)._repr_html_()


def test_nothing_has_an_id_so_that_any_number_stand_on_a_page():
    traced = fb.trace(lambda x: (x * x).sum())
    traced(np.ones(3))
    shown = [fb.mlp([2, 3, 1])._repr_html_(), traced._repr_html_(), fb.History(loss=[1.0])._repr_html_()]
    for html in shown:
        assert re.search(r"\bid=|url\(#", html) is None


def test_every_arrow_of_a_drawing_ends_with_its_head():
    root = ET.fromstring(str(fb.mlp([2, 3, 3, 1], dtype="float32").draw()))
    paths = list(root.iter(f"{SVG}path"))
    ends = [re.findall(r"-?[\d.]+", p.get("d"))[-2:] for p in paths if p.get("class") == "edge"]
    tips = []
    for p in paths:
        if p.get("class") == "head":
            x, y, wide, back, down = map(float, re.fullmatch(r"M(.*),(.*) h(.*) l(.*),(.*) z", p.get("d")).groups())
            tips.append([x + wide + back, y + down])
    assert len(tips) == 4
    assert tips == [[float(a), float(b)] for a, b in ends]


def test_a_traced_function_is_drawn_by_its_last_call_with_the_shapes_of_its_gates():
    traced = fb.trace(lambda W, x: (W @ x + 2.0, np.tanh(x)))
    assert "<svg" not in traced._repr_html_()
    traced(np.ones((2, 3)), np.ones(3))
    first = traced._repr_html_()
    traced(np.ones((5, 4)), np.ones(4))
    html = traced._repr_html_()
    root = ET.fromstring(html)
    assert root.find("code").text == "Traced(<lambda>, dtype='float64')"
    texts = [t.text or "" for t in root.iter(f"{SVG}text")]
    assert {"W", "x", "@", "tanh", "· + 2", "5×4", "4", "5"} <= {*texts}
    assert "2×3" in first
    assert "2×3" not in html


def test_a_function_of_too_many_gates_is_its_name():
    def deep(x):
        for _ in range(401):
            x = np.sin(x)
        return x

    traced = fb.trace(deep)
    traced(1.0)
    assert "<svg" not in traced._repr_html_()
    assert "Traced(deep" in traced._repr_html_()
    assert "Traced(decorated" in those.decorated._repr_html_()
