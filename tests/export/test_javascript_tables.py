"""Models with recipes as JavaScript: rows of tables are prepared, predicted and answered to as by the models."""

import json

import numpy as np
import pytest

import fastbp as fb
from fastbp.data.columns import MISSING
from fastbp.export.in_js.recipe import STEPS, Preparing
from fastbp.export.in_js.recipe_functions import used
from fastbp.export.model import model_of
from fastbp.export.recipe import preprocessing_of
from fastbp.export.steps import Step
from tests.export.node import called, needs_node, numbers
from tests.export.recipes import cases, table
from tests.export.trained import SETTINGS, SOME, new_rows, train

pytestmark = [needs_node, pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")]
CASES = cases()
CLOSE = {"float64": 1e-12, "float32": 1e-6}


def given(values):
    """A column as JavaScript gets it: missing numbers and dates are null, dates are texts."""
    column = np.asarray(values)
    if column.dtype.kind == "M":
        texts = np.datetime_as_string(column.astype("datetime64[us]"), unit="us").tolist()
        return [None if text == "NaT" else text for text in texts]
    return [None if v is None or v != v else v for v in column.tolist()]


def rows_of(columns):
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*(given(columns[name]) for name in names), strict=True)]


def preparing_module(said, array):
    made = Preparing(said, said.raws, 0, "encode", sorted(MISSING), array)
    parts = [
        f"const x = new Float64Array({said.width}), steep = new Float64Array({said.width});",
        *made.tables,
        made.text,
        *used(made.text),
        f"const of = {json.dumps(made.columns)};",
        "export const all = (rows) => rows.map((row) => { encode(row); return Array.from(x, String); });",
        "export const slopes = (rows) => rows.map((row) => { encode(row); return Array.from(steep, String); });",
        "export const columns = () => of;",
    ]
    return "\n".join(parts), made


def test_all_steps_are_written():
    assert set(STEPS) == set(Step.__args__)


@pytest.mark.parametrize("dtype", CLOSE)
def test_rows_are_prepared_as_by_recipes(dtype, tmp_path):
    jobs = []
    for name, case in CASES.items():
        said = preprocessing_of(case.made, dtype, **case.options, matrix="x" in case.rows)
        file = tmp_path / f"{name}.mjs"
        file.write_text(preparing_module(said, "x" in case.rows)[0])
        rows = [given(row) for row in case.rows["x"]] if "x" in case.rows else rows_of(case.rows)
        jobs.append((file, [["all", rows]]))
    for (name, case), (found,) in zip(CASES.items(), called(jobs), strict=True):
        assert isinstance(found, list), f"{name}: {found}"
        must = case.expected(dtype)
        np.testing.assert_allclose(numbers(found), must, rtol=CLOSE[dtype], atol=CLOSE[dtype], err_msg=name)
        assert (numbers(found) == numbers(found).astype(dtype)).all(), name


def test_slopes_are_those_of_differences(tmp_path):
    """Of every scale, at numbers away from the points where slopes change."""
    step = 1e-6
    for scale in ("standard", "robust", "quantile", "noisy_quantile", "none"):
        case = CASES[f"matrix-{scale}"]
        said = preprocessing_of(case.made, "float64", matrix=True)
        text, made = preparing_module(said, True)
        (tmp_path / f"{scale}.mjs").write_text(text)
        rows = case.rows["x"][:40]
        shifted = [rows, rows + step, rows - step]
        calls = [["slopes", [given(row) for row in rows]]] + [["all", [given(row) for row in of]] for of in shifted]
        slopes, at, up, down = (numbers(found) for found in called([(tmp_path / f"{scale}.mjs", calls)])[0])
        right, left = (up - at) / step, (at - down) / step
        smooth = np.abs(right - left) <= 1e-3 * (1.0 + np.abs(right))
        assert smooth.mean() > 0.8
        np.testing.assert_allclose(slopes[smooth], ((up - down) / (2 * step))[smooth], rtol=1e-3, atol=1e-5)
        if scale != "none":
            assert (np.abs(slopes) > 0.0).mean() > 0.3
        assert made.columns[:6] == [0, 1, 2, 3, 4, 5]


NAMES = ["price", "city", "code", "truth", "when", "width"]


def frame(seed=0):
    pandas = pytest.importorskip("pandas")
    found = table(seed, 200)
    return pandas.DataFrame({name: found[name] for name in NAMES})


def strange():
    found = frame(1)
    found.loc[:20, "city"] = "Paris"
    found.loc[3:9, "city"] = None
    found.loc[1, "code"] = "100.0"
    return found


def run(model, folder, rows, *calls):
    """What a model's file says of rows."""
    fb.export.js(model, folder / "model.mjs")
    (found,) = called([(folder / "model.mjs", [[name, rows] for name in ("predict", *calls)])])
    return found


def columns_of(found, name):
    return [row[name] for row in found]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_classifier_predicts_the_same_classes_and_probabilities(settings, tmp_path):
    from fastbp.sklearn import MLPClassifier

    width = table(0, 200)["width"]
    y = np.where(width > 0.5, "high", np.where(width < -0.5, "very low", "low"))
    model = MLPClassifier(**{"hidden": (16,), "epochs": 4, "random_state": 0, **settings}).fit(frame(), y)
    (found,) = run(model, tmp_path, rows_of(strange()))
    first = next(iter(found[0]))
    assert columns_of(found, first) == model.predict(strange()).tolist()
    p = [columns_of(found, f"{first} = {name}") for name in model.classes_]
    np.testing.assert_allclose(np.array(p, float).T, model.predict_proba(strange()), atol=1e-6)


@pytest.mark.parametrize("classes", [[0, 1], [5, -2], [False, True], ["*/</script>", "__proto__"]], ids=str)
def test_classes_are_those_of_y(classes, tmp_path):
    from fastbp.sklearn import MLPClassifier

    y = np.array(classes)[(table(0, 200)["width"] > 0).astype(int)]
    model = MLPClassifier(hidden=(8,), epochs=3, random_state=0).fit(frame(), y)
    (found,) = run(model, tmp_path, rows_of(strange()))
    said = columns_of(found, next(iter(found[0])))
    assert said == model.predict(strange()).tolist()
    assert {type(one) for one in said} <= {type(one) for one in classes}
    assert "</script" not in (tmp_path / "model.mjs").read_text()


@pytest.mark.parametrize(
    "settings", [{}, {"clamp_target": True}, {"loss": "poisson"}, {"loss": "gaussian_nll"}], ids=str
)
def test_a_regressor_predicts_the_same_numbers(settings, tmp_path):
    from fastbp.sklearn import MLPRegressor

    y = np.abs(table(0, 200)["width"]) * 3.0
    model = MLPRegressor(hidden=(16,), epochs=4, random_state=0, **settings).fit(frame(), y)
    (found,) = run(model, tmp_path, rows_of(strange()))
    assert len(found[0]) == 1 + ("gaussian" in str(settings))
    np.testing.assert_allclose(columns_of(found, next(iter(found[0]))), model.predict(strange()), rtol=1e-5, atol=1e-5)


def test_several_labels_and_arrays(tmp_path):
    from fastbp.sklearn import MLPClassifier, MLPRegressor

    columns = table(0, 200)
    X = np.stack([columns["width"], columns["kind"], columns["price"]], axis=1)
    labels = np.stack([columns["width"] > 0, columns["width"] > 1], axis=1).astype(int)
    model = MLPClassifier(hidden=(8,), epochs=4, random_state=0).fit(X, labels)
    (found,) = run(model, tmp_path, [given(row) for row in X])
    names = list(found[0])
    assert [[row[name] for name in names[:2]] for row in found] == model.predict(X).tolist()
    p = [[row[name] for name in names[2:]] for row in found]
    np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-6)
    model = MLPRegressor(hidden=(8,), epochs=4, random_state=0, categorical_features=[1]).fit(X, X[:, [0]] * [1, 2])
    found, slopes = run(model, tmp_path, [given(row) for row in X], "sensitivities")
    np.testing.assert_allclose([list(row.values()) for row in found], model.predict(X), rtol=1e-5, atol=1e-5)
    assert {tuple(one) for row in slopes for one in row.values()} == {("0", "2")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        same = ('data.missing_texts=["-999"]', "dtype=float64", "network.activation=tanh")
        for name in SOME:
            train(name, *same)
        train("log", *same, "seed=1", to="halves")
    return path


@pytest.mark.parametrize("name", SOME)
def test_a_run_predicts_raw_rows_as_it_does_in_python(name, folder, tmp_path):
    expected = fb.load(folder / name).predict(new_rows(), probabilities=True)
    (found,) = run(folder / name, tmp_path, rows_of(new_rows()))
    assert list(found[0]) == list(expected)
    for key, column in expected.items():
        if column.dtype.kind == "f":
            np.testing.assert_allclose(columns_of(found, key), column, rtol=1e-12, err_msg=key)
        else:
            assert columns_of(found, key) == column.tolist()


@pytest.mark.parametrize("end", ["low", "high"])
def test_numbers_stay_between_those_of_training_where_they_are_to(end, folder, tmp_path):
    net = fb.load(folder / "deviation")
    last = list(net.parameters)[-1]
    net.parameters[last] = net.parameters[last] + np.array([-50.0 if end == "low" else 50.0, 0.0])
    found, slopes = run(net, tmp_path, rows_of(new_rows(5)), "sensitivities")
    assert set(columns_of(found, "cost")) == {float(getattr(net.recipe.outputs, end)[0])}
    assert not any(row["cost"]["price"] for row in slopes)


@pytest.mark.parametrize("name", SOME)
def test_sensitivities_are_differences_of_predictions(name, folder, tmp_path):
    rows = rows_of(new_rows(60))
    step, column = 1e-5, "price"
    for row in rows:
        row[column] = row[column] or 3.0
    moved = [[row | {column: row[column] + way * step} for row in rows] for way in (-1.0, 0.0, 1.0)]
    fb.export.js(folder / name, tmp_path / "model.mjs")
    calls = [["sensitivities", rows], *(["predict", of] for of in moved)]
    slopes, *said = called([(tmp_path / "model.mjs", calls)])[0]
    for output in slopes[0]:
        down, at, up = (np.array(columns_of(found, output), float) for found in said)
        slope = np.array([row[output][column] for row in slopes])
        smooth = np.abs(up - 2 * at + down) <= 1e-4 * np.abs(up - down) + 1e-14
        assert smooth.mean() > 0.7
        assert (slope != 0.0).any()
        np.testing.assert_allclose(slope[smooth], ((up - down) / (2 * step))[smooth], rtol=1e-3, atol=1e-8)
        assert set(slopes[0][output]) == {"price", "width"}


def test_networks_that_prepare_rows_in_different_ways_predict_together(folder, tmp_path):
    """Their Jacobians are those in all inputs, and columns are moved for both."""
    nets = [fb.load(folder / name) for name in ("log", "halves")]
    assert nets[0].about["recipe"]["inputs"] != nets[1].about["recipe"]["inputs"]
    model = fb.Ensemble(nets, weights=[1.0, 3.0])
    model.save(tmp_path / "model.safetensors")
    rows = rows_of(new_rows(30))
    for row in rows:
        row["price"] = row["price"] or 3.0
    step = 1e-5
    moved = [[row | {"price": row["price"] + way * step} for row in rows] for way in (1.0, -1.0)]
    fb.export.js(tmp_path / "model.safetensors", tmp_path / "model.mjs")
    calls = [["predict", new] for new in (rows_of(new_rows()), *moved)] + [["sensitivities", rows]]
    found, up, down, slopes = called([(tmp_path / "model.mjs", calls)])[0]
    np.testing.assert_allclose(columns_of(found, "cost"), model.predict(new_rows())["cost"], rtol=1e-12)
    slope = (np.array(columns_of(up, "cost")) - np.array(columns_of(down, "cost"))) / (2 * step)
    np.testing.assert_allclose([row["cost"]["price"] for row in slopes], slope, rtol=1e-3, atol=1e-7)


def test_what_is_no_row_is_refused(folder, tmp_path):
    (row,) = rows_of(new_rows(1))
    wrong = [
        {name: value for name, value in row.items() if name != "city"},
        row | {"price": "cheap"},
        row | {"width": "1e999"},
        row | {"when": "2024-02-30"},
        row | {"serial": 1e7},
    ]
    (found,) = run(folder / "log", tmp_path, row)
    assert list(found) == ["cost"]
    fb.export.js(folder / "log", tmp_path / "model.mjs")
    assert called([(tmp_path / "model.mjs", [["predict", one] for one in wrong])]) == [
        [
            'RangeError: a row must have a column "city"',
            'RangeError: "price" must be a number, got "cheap"',
            'RangeError: "width" must be finite or missing',
            'RangeError: "when" must be a date such as 2024-03-01, got "2024-02-30"',
            "RangeError: a date must be between the years 1 and 9999",
        ]
    ]


def test_numbers_and_missing_ones_are_said_in_several_ways(folder, tmp_path):
    (row,) = rows_of(new_rows(1))
    rows = [row | {"price": gone} for gone in (None, "", "NA", " -999 ", -999)]
    (found,) = run(folder / "log", tmp_path, rows)
    assert len({one["cost"] for one in found}) == 1
    (found,) = run(folder / "log", tmp_path, [row | {"price": one} for one in (1, 1.0, "1", " 1e0", True, "true")])
    assert len({one["cost"] for one in found}) == 1
    assert model_of(folder / "log").recipes
