"""Pictures of networks: every layer has its box, every edge its arrow, and nothing lies over anything else."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError
from tests.model.random_graphs import network

SVG = "{http://www.w3.org/2000/svg}"


def parts(picture):
    root = ET.fromstring(str(picture))
    boxes = [r for r in root.iter(f"{SVG}rect") if r.get("rx")]
    return (
        root,
        boxes,
        [p for p in root.iter(f"{SVG}path") if p.get("marker-end")],
        [t.text for t in root.iter(f"{SVG}text")],
    )


def residual():
    x = fb.Input(64)
    h = fb.ReLU()(fb.Linear(128)(x, name="trunk"))
    return fb.Network(inputs=x, outputs=fb.Linear(10)(h + fb.Linear(128)(h)), seed=0)


def test_every_layer_has_a_box_with_its_shape_and_parameters():
    _, boxes, _, texts = parts(residual().draw())
    assert len(boxes) == 1 + 5
    for wanted in (
        *("inputs", "64 features", "trunk · Linear", "64 → 128, 8,320 parameters", "1 · ReLU", "128 → 128"),
        *("3 · Add", "128, 128 → 128", "4 · Linear", "128 → 10, 1,290 parameters"),
    ):
        assert wanted in texts


def test_every_edge_has_an_arrow_with_its_width():
    net = residual()
    _, _, arrows, texts = parts(net.draw())
    edges = sum(len(node.sources) for node in net.graph.nodes)
    assert len(arrows) == edges + 1
    assert texts.count("128") == 5
    assert texts.count("64") == 1
    assert texts[-1] == "10"


@pytest.mark.parametrize("seed", range(50))
def test_no_boxes_overlap_and_all_lie_on_the_page(seed):
    root, boxes, _, _ = parts(network(seed).draw())
    places = [tuple(float(b.get(k)) for k in ("x", "y", "width", "height")) for b in boxes]
    width, height = float(root.get("width")), float(root.get("height"))
    for i, (x, y, w, h) in enumerate(places):
        assert min(x, y) >= 0
        assert x + w <= width
        assert y + h <= height
        assert all(x + w <= a or a + c <= x or y + h <= b or b + d <= y for a, b, c, d in places[:i])


def test_gradients_show_their_norms():
    net = residual()
    _, gradients = net.loss_and_gradients(np.ones((4, 64)), np.arange(4))
    texts = parts(net.draw(gradients))[3]
    norm = np.hypot(np.linalg.norm(gradients["trunk.weight"]), np.linalg.norm(gradients["trunk.bias"]))
    assert f"‖∇‖ {norm:.3g}" in texts
    assert sum(text.startswith("‖∇‖") for text in texts) == 3


def test_a_shared_layer_says_whose_parameters_it_has():
    x, layer = fb.Input(4), fb.Linear(4)
    net = fb.Network(inputs=x, outputs=layer(fb.Tanh()(layer(x, name="twice"))))
    assert "4 → 4, as twice" in parts(net.draw())[3]


def test_several_inputs_are_named():
    a, b = fb.Input(3, name="state"), fb.Input(2, name="action")
    texts = parts(fb.Network(inputs=[a, b], outputs=fb.Linear(1)(fb.concat([a, b]))).draw())[3]
    assert "state 3, action 2" in texts
    assert "state" in texts
    assert "3 features" in texts


def test_names_cannot_break_the_file():
    net = fb.Network([fb.Linear(2), fb.activation("where(x < 1, x, x * 2)")], inputs=2)
    assert parts(net.draw())[0].tag == f"{SVG}svg"


def test_a_picture_is_saved_and_shown_by_notebooks(tmp_path):
    picture = residual().draw()
    picture.save(tmp_path / "net.svg")
    assert (tmp_path / "net.svg").read_text(encoding="utf-8") == str(picture) == picture._repr_svg_()
    assert re.match(r"<svg xmlns", str(picture))


def test_gradients_are_a_dict():
    with pytest.raises(ConfigTypeError) as info:
        residual().draw(5)
    assert str(info.value) == "`gradients` must be a dict of parameter to array, got `int`"


def test_a_picture_is_an_svg(tmp_path):
    with pytest.raises(ConfigError) as info:
        residual().draw().save(tmp_path / "net.png")
    assert str(info.value) == f"`path` must end in `.svg`, as that is what a picture is, got `{tmp_path / 'net.png'}`"
    assert list(tmp_path.iterdir()) == []


def test_gradients_of_another_network_are_refused():
    with pytest.raises(ConfigError) as info:
        residual().draw({"9.weight": np.ones(3)})
    assert str(info.value) == "`gradients` must be by the names of parameters, got `9.weight`"
