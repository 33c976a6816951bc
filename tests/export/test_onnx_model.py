"""Models with recipes in ONNX: raw tables are predicted as by the models themselves."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")
import pandas as pd

import fastbp as fb
from fastbp.errors import ConfigError
from fastbp.export.model import model_of
from fastbp.sklearn import MLPClassifier, MLPRegressor
from tests.export.onnx_runs import run as run_file
from tests.export.recipes import table
from tests.export.trained import SETTINGS, SOME, new_rows, train

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
NAMES = ["price", "city", "code", "truth", "when", "width"]
KINDS = {"price": "f8", "width": "f8", "serial": "f8", "kind": "f8"}


def feeds_of(rows):
    """Columns as ONNX takes them, written as a user writes them."""
    feeds = {}
    for name, column in rows.items():
        values = np.asarray(column)
        if values.dtype.kind == "M":
            values = values.astype("datetime64[us]").astype(np.int64)
        elif values.dtype.kind not in "f":
            values = np.array(["" if v is None or v != v else str(v) for v in values.tolist()], object)
        feeds[name] = values.reshape(-1, 1)
    return feeds


def run(model, feeds, **options):
    with tempfile.TemporaryDirectory() as folder:
        (file,) = fb.export.onnx(model, Path(folder) / "m.onnx", **options)
        return run_file(file.read_bytes(), feeds)


def rows(seed=0, names=NAMES):
    found = table(seed, 200)
    return pd.DataFrame({name: found[name] for name in names})


def strange():
    found = rows(1)
    found.loc[:20, "city"] = "Paris"
    found.loc[3:9, "city"] = None
    found.loc[0, "truth"] = "true"
    found.loc[1, "code"] = "100.0"
    return found


def classes():
    width = table(0, 200)["width"]
    return np.where(width > 0.5, "high", np.where(width < -0.5, "very low", "low"))


@pytest.mark.parametrize("settings", [*SETTINGS, {"preset": "realmlp-td-s"}], ids=str)
def test_a_classifier_predicts_the_same_classes_and_probabilities(settings):
    model = MLPClassifier(**{"hidden": (16,), "epochs": 4, "random_state": 0, **settings}).fit(rows(), classes())
    found = run(model, feeds_of(strange()))
    assert list(found) == ["label", "probabilities"]
    assert found["label"].tolist() == model.predict(strange()).tolist()
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(strange()), atol=1e-6)


@pytest.mark.parametrize(
    ("given", "kind"), [([0, 1], "int64"), ([5, -2], "int64"), ([False, True], "int64"), (["a", "b"], "object")]
)
def test_classes_are_those_of_y(given, kind):
    y = np.array(given)[(table(0, 200)["width"] > 0).astype(int)]
    model = MLPClassifier(hidden=(8,), epochs=3, random_state=0).fit(rows(), y)
    found = run(model, feeds_of(strange()))
    assert found["label"].dtype == kind
    assert found["label"].tolist() == model.predict(strange()).tolist()
    assert found["probabilities"].shape == (200, 2)


@pytest.mark.parametrize(
    "settings", [{}, {"clamp_target": True}, {"loss": "poisson"}, {"loss": "gaussian_nll"}], ids=str
)
@pytest.mark.parametrize("shift", [3.0, 1e7])
def test_a_regressor_predicts_the_same_numbers(settings, shift):
    width = table(0, 200)["width"]
    y = np.abs(width) * 3.0 + shift * ("poisson" not in str(settings))
    model = MLPRegressor(hidden=(16,), epochs=4, random_state=0, **settings).fit(rows(), y)
    found = run(model, feeds_of(strange()))
    expected = model.predict(strange())
    assert found["predictions"].dtype == np.float64
    assert ("deviations" in found) == ("gaussian" in str(settings))
    np.testing.assert_allclose(found["predictions"][:, 0], expected, rtol=1e-6, atol=1e-5)


def test_several_numbers_and_several_labels():
    width = table(0, 200)["width"]
    model = MLPRegressor(hidden=(8,), epochs=4, random_state=0).fit(rows(), np.stack([width, 9 - width], axis=1))
    found = run(model, feeds_of(strange()))["predictions"]
    np.testing.assert_allclose(found, model.predict(strange()), rtol=1e-6, atol=1e-5)
    labels = np.stack([width > 0, width > 1], axis=1).astype(int)
    model = MLPClassifier(hidden=(8,), epochs=4, random_state=0).fit(rows(), labels)
    found = run(model, feeds_of(strange()))
    assert found["label"].tolist() == model.predict(strange()).tolist()
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(strange()), atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"categorical_features": [1]}, {"scale": "quantile"}], ids=str)
def test_an_array_is_one_input_of_float32(settings):
    found = table(0, 200)
    X = np.stack([found["width"], found["kind"], found["price"]], axis=1)
    model = MLPRegressor(hidden=(8,), epochs=4, random_state=0, **settings).fit(X, found["width"])
    x = X.astype(np.float32)
    said = run(model, {"x": x})["predictions"]
    assert said.dtype == np.float32
    np.testing.assert_allclose(said[:, 0], model.predict(x), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for name in SOME:
            train(name, 'data.missing_texts=["-999"]')
    return path


@pytest.mark.parametrize("name", SOME)
def test_a_run_predicts_raw_rows_as_it_does_in_python(name, folder):
    net = fb.load(folder / name)
    given = new_rows()
    expected = net.predict(given, probabilities=True)
    found = run(folder / name, feeds_of(given) | {"kind": feeds_of({"kind": given["kind"].astype(object)})["kind"]})
    first = next(iter(expected))
    if name == "classes":
        assert found["label"].tolist() == expected["group"].tolist()
        np.testing.assert_allclose(found["probabilities"][:, 1], expected["group = b"], atol=1e-6)
        return
    np.testing.assert_allclose(found["predictions"][:, 0], expected[first], rtol=1e-5)
    ends = {"spread": ["low", "high"], "deviation": ["deviations"]}.get(name, [])
    assert list(found) == ["predictions", *ends]
    for end in ends:
        np.testing.assert_allclose(found[end][:, 0], expected[f"cost {end.removesuffix('s')}"], rtol=1e-5)


def test_categories_of_a_run_may_be_given_as_numbers(folder):
    given = new_rows(50)
    found = run(folder / "log", feeds_of(given), numbers=["kind"])["predictions"]
    np.testing.assert_allclose(found[:, 0], fb.load(folder / "log").predict(given)["cost"], rtol=1e-5)


def test_what_stands_for_a_missing_number_does_so_in_the_file(folder):
    given = new_rows(2)
    given["price"] = np.array([np.nan, -999.0])
    feeds = feeds_of({name: np.repeat(column[:1], 2) for name, column in given.items()} | {"price": given["price"]})
    first, second = run(folder / "log", feeds, numbers=["kind"])["predictions"]
    assert first == second


@pytest.mark.parametrize(("column", "value"), [("width", np.inf), ("serial", 1e7), ("serial", -np.inf)])
def test_rows_that_are_refused_in_python_are_no_numbers(column, value, folder):
    given = new_rows(50)
    given[column][7] = value
    found = run(folder / "log", feeds_of(given), numbers=["kind"])["predictions"][:, 0]
    assert np.flatnonzero(np.isnan(found)).tolist() == [7]


def test_columns_of_words_are_refused():
    from fastbp.export.in_onnx.graph import OnnxGraph
    from fastbp.export.in_onnx.tables import inputs
    from fastbp.export.recipe import preprocessing_of
    from tests.export.recipes import cases

    said = preprocessing_of(cases()["words"].made, np.float32)
    with pytest.raises(ConfigError) as error:
        inputs(OnnxGraph("m"), said, {"note": "note"})
    assert str(error.value) == (
        "`preprocessing` must be False, as column `note` has words, which are counted by CRC-32, for which ONNX has no"
        " operator, got `True`"
    )


def test_the_file_says_what_its_columns_are(folder, tmp_path):
    fb.export.onnx(folder / "classes", tmp_path / "m.onnx")
    onnx = pytest.importorskip("onnx")
    read = onnx.load(tmp_path / "m.onnx")
    notes = {one.key: one.value for one in read.metadata_props}
    assert json.loads(notes["names"]) == ["a", "b"]


@pytest.mark.parametrize("opset", [13, 15, 18, 22, 24])
def test_operators_are_those_of_the_version(opset):
    y = table(0, 200)["width"]
    model = MLPRegressor(hidden=(8,), epochs=2, random_state=0, scale="quantile", encode="embedding").fit(rows(), y)
    found = run(model, feeds_of(strange()), opset=opset)["predictions"]
    np.testing.assert_allclose(found[:, 0], model.predict(strange()), rtol=1e-5, atol=1e-5)


def test_without_preprocessing_the_network_alone_is_written(folder):
    net = fb.load(folder / "log")
    x = np.random.default_rng(0).normal(size=(5, net.inputs)).astype(np.float32)
    (found,) = run(folder / "log", {"x": x}, preprocessing=False).values()
    np.testing.assert_allclose(found, net.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"jacobian": True},
            "`jacobian` must be False, as column `city` has texts, which have no derivatives, got `True`"
            "\nhint: `preprocessing=False` (`--no-preprocessing`) exports the network alone",
        ),
        ({"numbers": ["price"]}, "`numbers` must be one of `city`, `kind`, got `price`"),
        (
            {"numbers": ["kind"], "preprocessing": False},
            "`numbers` must be given where rows are raw only, got `['kind']`",
        ),
        ({"preprocessing": "no"}, "`preprocessing` must be True or False, got `'no'`"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, folder, tmp_path):
    with pytest.raises(ConfigError) as error:
        fb.export.onnx(folder / "log", tmp_path / "m.onnx", **options)
    assert str(error.value) == message
    assert not list(tmp_path.iterdir())


def test_members_that_prepare_rows_in_their_own_ways_speak_together(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train("log", to="other", seed=7, rows=120)  # whose scales and categories are others
    ensemble = fb.Ensemble([folder / "log", "other"], weights=[1.0, 3.0])
    assert len(model_of(ensemble).recipes) == 2
    found = run(ensemble, feeds_of(new_rows(60)), numbers=["kind"])["predictions"]
    np.testing.assert_allclose(found[:, 0], ensemble.predict(new_rows(60))["cost"], rtol=1e-5)


@pytest.mark.parametrize("name", ["classes", "spread", "deviation"])
def test_ensembles_of_runs_predict_in_the_terms_of_the_table(name, folder):
    ensemble = fb.Ensemble([folder / name, fb.load(folder / name)])
    found, expected = run(ensemble, feeds_of(new_rows(60)), numbers=["kind"]), ensemble.predict(new_rows(60))
    if name == "classes":
        assert found["label"].tolist() == expected["group"].tolist()
        return
    columns = {"predictions": "cost", "low": "cost low", "high": "cost high", "deviations": "cost deviation"}
    assert set(expected) == {columns[key] for key in found}
    for key, values in found.items():
        np.testing.assert_allclose(values[:, 0], expected[columns[key]], rtol=1e-5)


def test_columns_may_be_called_as_outputs_and_nodes_are():
    names = {"label": "width", "cast": "price", "probabilities": "city", "gather": "when", "rows": "code"}
    found = rows().rename(columns={old: new for new, old in names.items()})[list(names)]
    model = MLPClassifier(hidden=(8,), epochs=2, random_state=0).fit(found, classes())
    said = run(model, feeds_of(found))
    assert list(said) == ["predicted label", "predicted probabilities"]
    assert said["predicted label"].tolist() == model.predict(found).tolist()


def test_members_that_read_a_column_as_numbers_and_as_categories_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train("log", "data.columns.kind=number", to="other", seed=7, rows=120)
    with pytest.raises(ConfigError) as error:
        fb.export.onnx(fb.Ensemble([folder / "log", "other"]), "m.onnx")
    assert str(error.value) == "`model` must have members that read column `kind` alike, as texts, got numbers"
