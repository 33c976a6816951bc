"""Models with recipes of numbers in gates: predictions of raw columns, and derivatives through all of it."""

from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.graph import Graph
from fastbp.autodiff.program import Program
from fastbp.autodiff.tracer import Tracer
from fastbp.data.categories import Category
from fastbp.data.dates import Dates
from fastbp.data.frame import Column, Frame
from fastbp.data.numbers import Numbers
from fastbp.data.outputs import Outputs
from fastbp.data.transforms import TRANSFORMS, Transform
from fastbp.data.words import Words
from fastbp.export import gated_tables, prepared
from fastbp.export import steps as s
from fastbp.export.gated_tables import gated_of_numbers
from fastbp.export.in_onnx.siblings import product_file
from fastbp.export.model import model_of
from fastbp.export.onnx_file import network_file
from fastbp.runs.loading import TableNetwork
from fastbp.sklearn import MLPClassifier, MLPRegressor
from tests.export.onnx_reader import read
from tests.export.recipes import SCALES, recipe, table

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
STEP = 1e-4


def rows(seed=0, n=120):
    found = table(seed, n)
    return {name: found[name] for name in ("price", "width")}


def files(model):
    of = gated_of_numbers(model_of(model))
    return read(network_file(of, 17, "f", plain=True)), read(product_file(of, ["fwd"], 17, "fwd_f"))


def columns(given):
    return {name: np.asarray(column, np.float64)[:, None] for name, column in given.items()}


def check_derivatives(file, forward, given, out="predictions"):
    """Tangents along each column are differences of the file itself, at rows where these are right."""
    said = file(**given)
    for name in given:
        units = {f"fwd_{other}": np.full_like(given[other], other == name) for other in given}
        found = forward(**given, **units)[f"fwd_{out}"]
        assert found.dtype == np.float64
        wide = [file(**given | {name: given[name] + sign * STEP})[out] for sign in (1.0, -1.0)]
        near = [file(**given | {name: given[name] + sign * STEP / 2.0})[out] for sign in (1.0, -1.0)]
        slopes, finer = (wide[0] - wide[1]) / (2.0 * STEP), (near[0] - near[1]) / STEP
        most = 1e-6 * (1.0 + np.abs(finer))
        good = np.abs(slopes - finer) < most  # no corner of a scale or a relu between
        assert good.mean() > 0.7
        assert (np.abs(found - finer)[good] < 3.0 * most[good]).all()
        gone = np.isnan(given[name][:, 0])
        assert (found[gone] == 0.0).all()
    assert np.isfinite(said[out]).all()


def transformed(scale, transform, dtype="float64", clamped=False):
    """A network of raw columns whose target has a transform."""
    made = recipe([Numbers("price", scale, "mean", 0.0, True), Numbers("width", scale, "mean")], rows())
    outputs = Outputs("numbers", ["y", "w"], transforms=[Transform(transform), Transform("none")])
    target = {"y": 1.5 + np.abs(rows()["width"]), "w": 40.0 * rows()["width"]}
    outputs.fit(as_frame(target), True, clamped)
    made.outputs = outputs
    layers = [fb.Linear(9), fb.Tanh(), fb.Linear(2)]
    net = fb.Network(layers, inputs=made.inputs.width, dtype=dtype, seed=1)
    net.about = {"recipe": made.to_data()}
    return TableNetwork.of(net, Path("net.safetensors"))


def as_frame(target):
    return Frame(None, {name: Column(name, values) for name, values in target.items()}, "y")


CASES = [(scale, "none", False) for scale in SCALES]
CASES += [("standard", transform, clamped) for transform in TRANSFORMS for clamped in (False, True)]


@pytest.mark.parametrize(("scale", "transform", "clamped"), CASES)
def test_predictions_and_derivatives_go_through_scales_and_transforms(scale, transform, clamped):
    net = transformed(scale, transform, clamped=clamped)
    file, forward = files(net)
    given = columns(rows(1, 60))
    said = net.predict(rows(1, 60))
    np.testing.assert_allclose(file(**given)["predictions"], np.stack([said["y"], said["w"]], axis=1), rtol=1e-9)
    check_derivatives(file, forward, given)


POINTS = s.Table((0.0, 0.0, 1.0, 2.5, 2.5), (-1.0, 1.0, 2.0, 0.5, 7.0))
STEPS = [
    s.Also((0.5, -2.0)),
    s.Finite(True),
    s.Missing(),
    s.Fill((0.25, -1.0)),
    s.Shift((0.5, 1.0), (2.0, 0.1)),
    s.Soften(),
    s.Levels((POINTS, s.Table((0.5,), (3.0,)))),
    s.Ranks((None, (s.Table((0.0, 1.0, 2.5), (0.0, 0.3, 1.0)), s.Table((-2.5, -1.0, 0.0), (0.0, 0.7, 1.0)))), 1e-7),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_each_step_is_that_of_numpy(step):
    """On corners, jumps and far beyond them; what is refused there is no number here."""
    x = np.array([-np.inf, -1e200, -2.0, -0.0, 0.3, 0.5, 1.0, 2.4999, 2.5, 3.0, 1e200, np.inf, np.nan])
    gates = Graph("float64")
    argument = gates.argument((1, 2))
    out = gated_tables.STEPS[type(step)](step, Tracer(gates, argument))
    program = Program(gates, [argument], [out.number])
    for number in x.tolist():
        row = np.array([[number, number]])
        if np.isinf(number):
            if isinstance(step, s.Finite):
                assert np.isnan(program([row])[0]).all()
            continue
        if np.isnan(number) and isinstance(step, s.Levels | s.Ranks):
            continue  # filled before
        np.testing.assert_allclose(program([row])[0], prepared.STEPS[type(step)](step, row), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("transform", ["none", "log"])
def test_deviations_and_ends_are_those_of_the_table(transform):
    made = recipe([Numbers("width", "standard", "mean")], {"width": rows()["width"]}, loss="gaussian_nll")
    outputs = Outputs("numbers", ["y"], transforms=[Transform(transform)])
    outputs.fit(as_frame({"y": 1.5 + np.abs(rows()["width"])}), True)
    made.outputs = outputs
    net = fb.Network([fb.Linear(9), fb.Tanh(), fb.Linear(2)], inputs=1, dtype="float64", seed=1)
    net.about = {"recipe": made.to_data()}
    model = TableNetwork.of(net, Path("net.safetensors"))
    given = {"width": rows(1, 60)["width"]}
    said = model.predict(given)
    names = {"predictions": "y", "deviations": "y deviation", "low": "y low", "high": "y high"}
    found = files(model)[0](**columns(given))
    assert list(found) == [name for name, own in names.items() if own in said]
    for name, own in found.items():
        np.testing.assert_allclose(own[:, 0], said[names[name]], rtol=1e-9)


@pytest.mark.parametrize("settings", [{}, {"loss": "gaussian_nll"}, {"n_ens": 3, "loss": "gaussian_nll"}, {"n_ens": 2}])
@pytest.mark.parametrize("array", [False, True], ids=["table", "array"])
def test_estimators_of_numbers(settings, array):
    pandas = pytest.importorskip("pandas")
    raw = rows()
    X = np.stack(list(raw.values()), axis=1) if array else pandas.DataFrame(raw)
    model = MLPRegressor((8,), epochs=4, random_state=0, activation="tanh", **settings).fit(X, 7.0 + raw["width"] ** 2)
    file, forward = files(model)
    given = {"x": X} if array else columns(raw)
    found = file(**given)
    assert ("deviations" in found) == ("loss" in settings)
    np.testing.assert_allclose(found["predictions"][:, 0], model.predict(X), rtol=1e-5)
    if not array:
        check_derivatives(file, forward, given)


def test_estimators_of_classes_have_derivatives_of_probabilities():
    pandas = pytest.importorskip("pandas")
    raw = rows()
    X = pandas.DataFrame(raw)
    model = MLPClassifier((8,), epochs=4, random_state=0, activation="tanh").fit(X, raw["width"] > 0.3)
    file, forward = files(model)
    given = columns(raw)
    assert list(file.outputs) == ["probabilities"]
    np.testing.assert_allclose(file(**given)["probabilities"], model.predict_proba(X), atol=1e-6)
    check_derivatives(file, forward, given, "probabilities")


@pytest.mark.parametrize(
    ("name", "has"), [("city", "texts"), ("when", "dates"), ("kind", "categories or dates"), ("note", "texts")]
)
def test_columns_without_derivatives_are_refused(name, has, tmp_path):
    part = {"when": Dates, "note": Words}.get(name, Category)
    part = part(name, "one_hot") if part is Category else part(name)
    made = recipe([Numbers("width", "standard", "mean"), part], {column: table()[column] for column in ("width", name)})
    net = fb.Network([fb.Linear(1)], inputs=made.inputs.width)
    outputs = Outputs("numbers", ["y"])
    outputs.fit(as_frame({"y": rows()["width"]}), True)
    made.outputs = outputs
    net.about = {"recipe": made.to_data()}
    model = TableNetwork.of(net, Path("net.safetensors"))
    options = {"numbers": [name]} if name == "kind" else {}
    with pytest.raises(fb.ConfigError) as caught:
        fb.export.onnx(model, tmp_path / "f.onnx", jacobian=True, **options)
    must = f"`jacobian` must be False, as column `{name}` has {has}, which have no derivatives, got `True`"
    assert str(caught.value) == f"{must}\nhint: `preprocessing=False` (`--no-preprocessing`) exports the network alone"
    assert list(tmp_path.iterdir()) == []
