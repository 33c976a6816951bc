"""Pictures of networks: every layer has its box, every edge its arrow, and nothing lies over anything else."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.model.draw import BOX
from tests.model.random_graphs import network
from tests.pictures.svg import inside, styled

SVG = "{http://www.w3.org/2000/svg}"


def parts(picture):
    root = ET.fromstring(str(picture))
    boxes = [r for r in root.iter(f"{SVG}rect") if r.get("rx")]
    return (
        root,
        boxes,
        [p for p in root.iter(f"{SVG}path") if p.get("class") == "edge" and not p.get("stroke-linejoin")],
        [t.text for t in root.iter(f"{SVG}text")],
    )


def residual():
    x = fb.Input(64)
    h = fb.ReLU()(fb.Linear(128)(x, name="trunk"))
    return fb.Network(inputs=x, outputs=fb.Linear(10)(h + fb.Linear(128)(h)), seed=0)


def test_every_layer_has_its_place_with_its_shape_and_parameters():
    _, boxes, _, texts = parts(residual().draw())
    assert len(boxes) == 1 + 4  # a ReLU stands in the box of its Linear
    for wanted in (
        *("inputs", "64 features", "trunk · Linear + ReLU", "64 → 128, 8,320 parameters", "2 · Linear"),
        *("128 → 128, 16,512 parameters", "3 · Add", "128, 128 → 128", "4 · Linear", "128 → 10, 1,290 parameters"),
    ):
        assert wanted in texts


def test_every_edge_has_an_arrow_and_every_signal_its_width():
    _, _, arrows, texts = parts(residual().draw())
    assert len(arrows) == 6  # to the trunk, to 2, to both sides of the sum, to 4, out
    assert texts.count("128") == 3
    assert texts.count("64") == texts.count("10") == texts.count("output") == 1


def test_several_outputs_are_several_arrows():
    x = fb.Input(4)
    h = fb.Linear(8)(x)
    net = fb.Network(inputs=x, outputs=[h, fb.Linear(3)(h, name="policy"), fb.Linear(1)(h, name="value")])
    _, boxes, arrows, texts = parts(net.draw())
    assert len(boxes) == 4
    assert len(arrows) == 3 + 3
    assert {"0", "policy", "value"} <= set(texts)
    assert not any("outputs[:]" in text for text in texts)


def test_an_activation_has_a_box_of_its_own_where_its_linear_is_read_elsewhere_or_is_an_output():
    x = fb.Input(4)
    h = fb.Linear(8)(x)
    assert "1 · ReLU" in parts(fb.Network(inputs=x, outputs=fb.ReLU()(h) + h).draw())[3]
    assert "1 · ReLU" in parts(fb.Network(inputs=x, outputs=[h, fb.ReLU()(h)]).draw())[3]
    assert "0 · ReLU" in parts(fb.Network([fb.ReLU(), fb.Linear(1)], inputs=2).draw())[3]
    texts = parts(fb.Network([fb.Linear(2), fb.BatchNorm(), fb.PReLU()], inputs=2).draw())[3]
    assert "0 · Linear" in texts
    assert "1 · BatchNorm + PReLU" in texts
    assert "1 more parameter" in texts


def test_a_long_chain_goes_on_in_other_columns():
    picture = fb.mlp([8] * 31).draw()
    root, boxes, arrows, _ = parts(picture)
    assert len(boxes) == 31
    assert len(arrows) == 31
    columns = sorted({float(b.get("x")) for b in boxes})
    assert len(columns) == 4
    assert float(root.get("height")) < 1000
    joints = [p for p in root.iter(f"{SVG}path") if p.get("class") == "edge" and p.get("stroke-linejoin")]
    assert len(joints) == len(list(root.iter(f"{SVG}circle"))) == 3
    for before, after, joint in zip(columns, columns[1:], joints, strict=False):
        (x0, y0), *_, (x1, y1) = walked(joint.get("d"))
        assert x0 == pytest.approx(before + BOX / 2, abs=1)
        assert x1 == pytest.approx(after + BOX / 2, abs=1)
        assert y1 < y0
    short = parts(fb.mlp([8] * 8).draw())
    assert len({b.get("x") for b in short[1]}) == 1


def walked(path):
    """Points along a path."""
    points, at = [], (0.0, 0.0)
    for name, numbers in re.findall(r"([MVHC])([^MVHC]*)", path):
        n = [float(v) for v in re.findall(r"-?[0-9.]+", numbers)]
        if name == "C":
            curve = [at, *zip(n[::2], n[1::2], strict=True)]
            for step in range(1, 41):
                t = step / 40
                share = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3]
                points.append(tuple(sum(s * p[i] for s, p in zip(share, curve, strict=True)) for i in (0, 1)))
        else:
            end = {"M": n, "V": [at[0], n[0]], "H": [n[0], at[1]]}[name]
            begin = at if name != "M" else end
            points += [tuple(a + (b - a) * s / 40 for a, b in zip(begin, end, strict=True)) for s in range(41)]
        at = points[-1]
    return points


def hit(picture):
    """Edges that run through boxes or lines of text."""
    root, boxes, _, _ = parts(picture)
    areas = [tuple(float(b.get(k)) for k in ("x", "y", "width", "height")) for b in boxes]
    for text in root.iter(f"{SVG}text"):
        wide = 6.5 * len(text.text)
        x = float(text.get("x")) - {"start": 0, "middle": wide / 2}[text.get("text-anchor")]
        areas.append((x, float(text.get("y")) - 9, wide, 10))
    paths = [p.get("d") for p in root.iter(f"{SVG}path") if "edge" in (p.get("class") or "")]
    return [
        (path, area)
        for path in paths
        for x, y in walked(path)
        for area in [
            next((a for a in areas if a[0] + 1 < x < a[0] + a[2] - 1 and a[1] + 1 < y < a[1] + a[3] - 1), None)
        ]
        if area
    ]


@pytest.mark.parametrize("seed", range(50))
def test_no_edge_runs_through_a_box_or_a_label(seed):
    net = network(seed)
    assert hit(net.draw()) == []
    assert inside(net.draw())
    assert styled(net.draw())


def test_an_edge_through_a_label_is_found():
    picture = str(residual().draw())
    label = re.search(r'<text x="([0-9.]+)" y="([0-9.]+)"[^>]*>128<', picture)
    across = f'<path d="M0,{float(label[2]) - 4} H900" class="edge"/></svg>'
    assert hit(picture.replace("</svg>", across)) != []


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
    assert styled(net.draw(gradients))


def test_a_shared_layer_says_whose_parameters_it_has():
    x, layer = fb.Input(4), fb.Linear(4)
    net = fb.Network(inputs=x, outputs=layer(fb.Tanh()(layer(x, name="twice"))))
    assert "4 → 4, as twice" in parts(net.draw())[3]


def test_several_inputs_are_named():
    a, b = fb.Input(3, name="state"), fb.Input(2, name="action")
    texts = parts(fb.Network(inputs=[a, b], outputs=fb.Linear(1)(fb.concat([a, b]))).draw())[3]
    assert "inputs" not in texts
    assert {"state", "action", "2 features"} <= set(texts)
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
