"""Pipelines of scikit-learn with estimators of fastbp, as skl2onnx converts them."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("skl2onnx")
pytest.importorskip("pandas")
import onnx
import onnxruntime
import pandas as pd
import skl2onnx
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fastbp as fb
from fastbp.errors import ConfigError
from fastbp.sklearn import MLPClassifier, MLPRegressor
from tests.export.recipes import table

pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(3)
X = RNG.normal(size=(150, 4)).astype(np.float32)
X[RNG.random(X.shape) < 0.05] = np.nan
TEXTS = np.where(np.nan_to_num(X[:, 0]) > 0.3, "yes", np.where(np.nan_to_num(X[:, 1]) > 0.0, "perhaps", "no"))
KW = {"hidden": (12,), "epochs": 4, "random_state": 0}


@pytest.fixture(autouse=True, scope="module")
def registered():
    fb.export.register_skl2onnx()


def run(model, feeds, given=None, opset=None, choices=None, **options):
    kinds = {"options": {id(model): {"zipmap": False, **(choices or {})}}} if hasattr(model, "classes_") else {}
    start = {"X": next(iter(feeds.values()))[:1]} if given is None else {"initial_types": given}
    made = skl2onnx.to_onnx(model, **start, target_opset=opset, **kinds, **options)
    onnx.checker.check_model(made, full_check=True)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


@pytest.mark.parametrize("opset", [None, 15, 18])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("y", [TEXTS, (TEXTS == "yes").astype(int), np.unique(TEXTS, return_inverse=True)[1] * 3 - 2])
def test_a_pipeline_with_a_classifier(y, dtype, opset):
    x = np.nan_to_num(X).astype(dtype)
    model = make_pipeline(StandardScaler(), MLPClassifier(**KW)).fit(x, y)
    label, p = run(model, {"X": x}, opset=opset)
    assert label.tolist() == model.predict(x).tolist()
    assert (p.dtype, p.shape) == (dtype, model.predict_proba(x).shape)
    np.testing.assert_allclose(p, model.predict_proba(x), atol=2e-6)


@pytest.mark.parametrize(
    "settings", [{}, {"scale": "quantile"}, {"n_ens": 3}, {"n_cv": 3}, {"preset": "tabm-mini"}], ids=str
)
def test_an_estimator_alone_takes_missing_numbers(settings):
    model = MLPClassifier(**{**KW, **settings}).fit(X, TEXTS)
    label, p = run(model, {"X": X})
    assert label.tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(p, model.predict_proba(X), atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2])
def test_a_pipeline_with_a_regressor(width, dtype):
    x = np.nan_to_num(X).astype(dtype)
    y = x[:, :width].astype(np.float64) * 3 + 50
    model = make_pipeline(StandardScaler(), MLPRegressor(**KW, loss="huber")).fit(x, y if width > 1 else y[:, 0])
    (found,) = run(model, {"X": x})
    assert (found.dtype, found.shape) == (dtype, (len(x), width))
    np.testing.assert_allclose(found, model.predict(x).reshape(len(x), -1), rtol=1e-5)


def test_zipmap_makes_maps_of_probabilities():
    model = make_pipeline(SimpleImputer(), MLPClassifier(**KW)).fit(X, TEXTS)
    made = skl2onnx.to_onnx(model, X[:1])
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    label, maps = session.run(None, {"X": X})
    assert label.tolist() == model.predict(X).tolist()
    assert set(maps[0]) == {"yes", "no", "perhaps"}
    np.testing.assert_allclose(
        [[one[name] for name in model.classes_] for one in maps], model.predict_proba(X), atol=2e-6
    )


def test_columns_of_all_types_are_inputs_by_their_names():
    columns = table(0, 150)
    frame = pd.DataFrame({
        "price": columns["price"],
        "city": columns["city"],
        "member": columns["width"] > 0,
        "count": RNG.integers(0, 9, 150),
        "when": columns["when"],
    })  # fmt: skip
    model = MLPClassifier(**KW).fit(frame, TEXTS)
    given = [
        ("price", DoubleTensorType([None, 1])),
        ("city", StringTensorType([None, 1])),
        ("member", BooleanTensorType([None, 1])),
        ("count", Int64TensorType([None, 1])),
        ("when", Int64TensorType([None, 1])),
    ]
    feeds = {name: frame[[name]].to_numpy() for name in frame}
    feeds["when"] = columns["when"].astype(np.int64)[:, None]
    label, p = run(model, feeds, given)
    assert label.tolist() == model.predict(frame).tolist()
    np.testing.assert_allclose(p, model.predict_proba(frame), atol=2e-6)


def test_an_estimator_follows_a_transformer_of_columns():
    columns = table(0, 150)
    frame = pd.DataFrame({"width": columns["width"], "city": columns["city"], "kind": columns["width"] ** 2})
    before = ColumnTransformer(
        [("n", StandardScaler(), ["width", "kind"]), ("c", OneHotEncoder(sparse_output=False), ["city"])]
    )
    model = make_pipeline(before, MLPClassifier(**KW)).fit(frame, TEXTS)
    given = [
        ("width", FloatTensorType([None, 1])),
        ("city", StringTensorType([None, 1])),
        ("kind", FloatTensorType([None, 1])),
    ]
    feeds = {name: frame[[name]].to_numpy() for name in frame}
    feeds |= {name: feeds[name].astype(np.float32) for name in ("width", "kind")}
    label, p = run(model, feeds, given)
    assert label.tolist() == model.predict(frame).tolist()
    np.testing.assert_allclose(p, model.predict_proba(frame), atol=1e-5)


def test_columns_of_an_array_may_be_categories():
    x = np.column_stack([np.nan_to_num(X[:, 0]), RNG.integers(0, 5, len(X))]).astype(np.float32)
    model = MLPClassifier(**KW, categorical_features=[1]).fit(x, TEXTS)
    label, p = run(model, {"X": x})
    assert label.tolist() == model.predict(x).tolist()
    np.testing.assert_allclose(p, model.predict_proba(x), atol=2e-6)


def test_two_estimators_stand_in_one_graph():
    x = np.nan_to_num(X)
    parts = [("a", MLPClassifier(**KW)), ("b", MLPClassifier(**{**KW, "random_state": 1})), ("c", LogisticRegression())]
    model = VotingClassifier(parts, voting="soft", flatten_transform=False).fit(x, TEXTS)
    label, p = run(model, {"X": x})
    assert label.tolist() == model.predict(x).tolist()
    np.testing.assert_allclose(p, model.predict_proba(x), atol=2e-6)


@pytest.mark.parametrize("settings", [{}, {"n_ens": 2}], ids=str)
@pytest.mark.parametrize("y", [TEXTS, TEXTS == "yes"], ids=["three", "two"])
def test_scores_are_those_of_decision_function(y, settings):
    x = np.nan_to_num(X)
    model = MLPClassifier(**KW, **settings).fit(x, y)
    _, found = run(model, {"X": x}, choices={"raw_scores": True})
    expected = model.decision_function(x)
    expected = np.stack([-expected, expected], axis=1) if expected.ndim == 1 else expected
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    model = CalibratedClassifierCV(MLPClassifier(**KW, **settings), cv=2).fit(x, y)  # which asks for them
    label, p = run(model, {"X": x})
    assert label.tolist() == model.predict(x).tolist()
    np.testing.assert_allclose(p, model.predict_proba(x), atol=1e-5)


def test_labels_are_whole_numbers_side_by_side():
    y = np.column_stack([TEXTS == "yes", np.nan_to_num(X[:, 2]) > 0]).astype(int)
    model = MLPClassifier(**KW).fit(X, y)
    label, p = run(model, {"X": X})
    assert label.tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(p, model.predict_proba(X), atol=2e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"price": StringTensorType([None, 1])},
            "`initial_types` must have numbers for column `price`, got `StringTensorType`",
        ),
        (
            {"when": DoubleTensorType([None, 1])},
            "`initial_types` must have int64, microseconds since 1970, for column `when`, got `DoubleTensorType`",
        ),
        ({"other": FloatTensorType([None, 1])}, "`initial_types` must have the 2 columns of the estimator, got 3"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given, message):
    columns = table(0, 150)
    frame = pd.DataFrame({"price": columns["price"], "when": columns["when"]})
    model = MLPClassifier(**KW).fit(frame, TEXTS)
    types = {"price": DoubleTensorType([None, 1]), "when": Int64TensorType([None, 1]), **given}
    with pytest.raises(ConfigError) as error:
        skl2onnx.to_onnx(model, initial_types=list(types.items()))
    assert str(error.value) == message


def test_without_skl2onnx_it_is_said_what_to_install():
    code = (
        "import sys; sys.modules['skl2onnx'] = None\\n"
        "import fastbp as fb\\n"
        "try: fb.export.register_skl2onnx()\\n"
        "except fb.FastbpError as error: print(error)\\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code.replace("\\n", "\n")], capture_output=True, text=True, check=True
    )
    assert found.stdout == ("`register_skl2onnx` needs skl2onnx, which is not installed\nhint: pip install skl2onnx\n")
