"""Models with recipes in C: what a row of a table is told has the bits of what the model says of it."""

import ctypes
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")
import pandas as pd

import fastbp as fb
from fastbp.errors import ConfigError
from fastbp.export.in_c.tables import fields_of
from fastbp.export.model import model_of
from fastbp.export.prepared import raw_rows
from fastbp.export.raw import tables_of
from fastbp.export.samples import samples
from fastbp.sklearn import MLPClassifier, MLPRegressor
from tests.export.c_compiled import WAYS, any_way, compiled
from tests.export.recipes import table
from tests.export.test_c_tables import rows_of
from tests.export.trained import TARGETS, new_rows, train

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
NAMES = ["price", "city", "code", "truth", "when", "width"]
KW = {"hidden": (12,), "epochs": 4, "random_state": 0}


def said_type(outcome, joined):
    """The struct of predictions."""
    count, real = len(outcome.names), ctypes.c_double
    listed = {
        "classes": [("label", ctypes.c_int), ("probabilities", real * count)],
        "labels": [("labels", ctypes.c_int * count), ("probabilities", real * count)],
        "numbers": [("numbers", real * count)],
    }[outcome.task]
    if outcome.deviations and not joined:
        ends = ["low", "high"] if any(outcome.around) else ["deviations"]
        listed += [(end, real * count) for end in ends]
    return type("Said", (ctypes.Structure,), {"_fields_": listed})


def told(model, rows, folder, **options):
    """What C says of rows, field by field, and what it returns."""
    found = model_of(model)
    tables = tables_of(found, options.get("numbers", ()))
    file = Path(tempfile.mkdtemp(dir=folder)) / "net.c"
    fb.export.c(model, file, **options)
    compiled(any_way(), file, file.with_suffix(".so"), "-shared", "-fPIC")
    library = ctypes.CDLL(str(file.with_suffix(".so")))
    kind = said_type(tables.outcome, found.joined)
    out, wrong = {name: [] for name, _ in kind._fields_}, []
    raws = list(tables.raws)
    for row in rows_of(fields_of(raws), raws, raw_rows(tables.ways[0], rows)):
        said = kind()
        wrong.append(library.net_predict_row(ctypes.c_void_p(row.data) if tables.array else row, ctypes.byref(said)))
        for name in out:
            value = getattr(said, name)
            out[name].append(value if isinstance(value, int) else list(value))
    return {name: np.array(values) for name, values in out.items()}, wrong


def rows(seed=0):
    found = table(seed, 120)
    return pd.DataFrame({name: found[name] for name in NAMES})


def strange():
    found = rows(1)
    found.loc[:20, "city"] = "Paris"
    found.loc[0, "truth"] = "true"
    found.loc[1, "code"] = "1e2"
    return found


WIDTH, WIDTHS = table(0, 120)["width"], table(0, 240)["width"]
CLASSES = np.where(WIDTH > 0.5, "high", np.where(WIDTH < -0.5, "very low", "low"))


@pytest.mark.parametrize(
    "settings", [{}, {"encode": "embedding"}, {"scale": "quantile"}, {"dtype": "float64"}, {"scale": "robust"}], ids=str
)
@pytest.mark.parametrize("y", [CLASSES, (WIDTH > 0).astype(int)], ids=["three", "two"])
def test_a_classifier_says_classes_and_probabilities(y, settings, tmp_path):
    model = MLPClassifier(**{**KW, **settings}).fit(rows(), y)
    found, wrong = told(model, strange(), tmp_path)
    assert not any(wrong)
    assert model.classes_[found["label"]].tolist() == model.predict(strange()).tolist()
    assert found["probabilities"].tobytes() == model.predict_proba(strange()).tobytes()


def test_labels_and_their_probabilities(tmp_path):
    model = MLPClassifier(**KW).fit(rows(), np.stack([WIDTH > 0, WIDTH > 1], axis=1).astype(int))
    found, _ = told(model, strange(), tmp_path)
    assert found["labels"].tolist() == model.predict(strange()).tolist()
    assert found["probabilities"].tobytes() == model.predict_proba(strange()).tobytes()


@pytest.mark.parametrize(
    "settings", [{}, {"clamp_target": True}, {"loss": "poisson"}, {"loss": "gaussian_nll"}], ids=str
)
@pytest.mark.parametrize("shift", [3.0, 1e7])
def test_a_regressor_says_numbers(settings, shift, tmp_path):
    y = np.abs(WIDTH) * 3.0 + shift * ("poisson" not in str(settings))
    model = MLPRegressor(**KW, **settings).fit(rows(), y)
    found, _ = told(model, strange(), tmp_path)
    assert found["numbers"][:, 0].tobytes() == model.predict(strange()).tobytes()
    assert ("deviations" in found) == ("gaussian" in str(settings))


def test_rows_of_an_array_are_arrays(tmp_path):
    X = np.stack([WIDTH, table(0, 120)["kind"]], axis=1)
    model = MLPRegressor(**KW, categorical_features=[1]).fit(X, WIDTH)
    found, _ = told(model, {"x": X}, tmp_path)
    assert found["numbers"][:, 0].tobytes() == model.predict(X).tobytes()


@pytest.mark.parametrize("settings", [{"n_ens": 3}, {"n_ens": 2, "tabm": 2}], ids=str)
def test_several_networks_say_what_they_say_together(settings, tmp_path):
    model = MLPClassifier(**KW, **settings).fit(rows(), CLASSES)
    found, _ = told(model, strange(), tmp_path)
    assert model.classes_[found["label"]].tolist() == model.predict(strange()).tolist()
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(strange()), atol=1e-7)
    model = MLPRegressor(**KW, **settings).fit(rows(), WIDTH)
    found, _ = told(model, strange(), tmp_path)
    np.testing.assert_allclose(found["numbers"][:, 0], model.predict(strange()), rtol=1e-6, atol=1e-7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for name in TARGETS:
            train(name)
    return path


@pytest.mark.parametrize("name", TARGETS)
def test_a_run_says_what_it_says_in_python(name, folder, tmp_path):
    given = new_rows()
    given["serial"][:20:2], given["serial"][1:20:2] = -719_000, 2_932_000
    expected = fb.load(folder / name).predict(given, probabilities=True)
    found, wrong = told(folder / name, given, tmp_path, numbers=["kind"])
    assert not any(wrong)
    if name == "classes":
        assert np.array(["a", "b"])[found["label"]].tolist() == expected["group"].tolist()
        assert found["probabilities"][:, 1].tobytes() == expected["group = b"].astype(float).tobytes()
        return
    if name in ("plain", "clamped"):
        least = np.exp(WIDTHS).min()
        assert expected["cost"].min() == (np.float32(least) if name == "plain" else least)
    columns = {"numbers": "", "deviations": " deviation", "low": " low", "high": " high"}
    several = ["cost", "count"] if name == "several" else ["count" if name == "poisson" else "cost"]
    for field, values in found.items():
        for i, target in enumerate(several):
            if (column := target + columns[field]) in expected:
                assert values[:, i].tobytes() == expected[column].astype(float).tobytes(), column
    assert set(found) == {"numbers"} | {
        "spread": {"low", "high"},
        "deviation": {"deviations"},
        "several": {"low", "high"},
    }.get(name, set())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numbers": ["price"]}, "`numbers` must be one of `city`, `kind`, got `price`"),
        (
            {"numbers": ["kind"], "preprocessing": False},
            "`numbers` must be given where rows are raw only, got `['kind']`",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, folder, tmp_path):
    with pytest.raises(ConfigError) as error:
        fb.export.c(folder / "plain", tmp_path / "m.c", **options)
    assert str(error.value) == message
    assert not list(tmp_path.iterdir())


def test_without_preprocessing_nothing_is_there_of_rows(folder, tmp_path):
    fb.export.c(folder / "plain", tmp_path / "net.c", preprocessing=False)
    assert "net_row" not in (tmp_path / "net.h").read_text()
    compiled(any_way(), tmp_path / "net.c", tmp_path / "net.so", "-shared", "-fPIC")


@pytest.mark.parametrize("way", ["g++ -O1", "clang -O1", "clang++ -O2"])
def test_files_compile_elsewhere(way, folder, tmp_path):
    fb.export.c(folder / "several", tmp_path / "net.c")
    standard = "-std=c++17" if "++" in way else "-std=c99"
    compiled(way, tmp_path / "net.c", tmp_path / "net.so", "-shared", "-fPIC", standard=standard)


def test_members_that_prepare_rows_in_their_own_ways_speak_together(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train("log", to="other", seed=7, rows=120)  # whose scales and categories are others
    ensemble = fb.Ensemble([folder / "log", "other"], weights=[1.0, 3.0])
    assert len(model_of(ensemble).spans) == 2
    given = new_rows(60)
    found, wrong = told(ensemble, given, tmp_path, numbers=["kind"])
    assert not any(wrong)
    assert found["numbers"][:, 0].tobytes() == ensemble.predict(given)["cost"].tobytes()
    given["width"][3] = np.inf
    assert [row for row, column in enumerate(told(ensemble, given, tmp_path, numbers=["kind"])[1]) if column] == [3]
    compiled(any_way(), next(tmp_path.glob("*/net.c")), tmp_path / "proof", "-DNET_SELF_TEST")
    assert subprocess.run([tmp_path / "proof"], capture_output=True, check=False).returncode == 0


def proof_of(model, folder, change=lambda text: text, way=None):
    """What a file says of itself."""
    fb.export.c(model, folder / "net.c")
    source = folder / "net.c"
    source.write_text(change(source.read_text()))
    compiled(way or any_way(), source, folder / "proof", "-DNET_SELF_TEST")
    done = subprocess.run([folder / "proof"], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def shifted(field):
    """A change by which the first number of a stored array is another one."""
    return lambda text: re.sub(rf"(stored_{field}\[\d+\] = {{\s*)", r"\g<1>7 + ", text)


FIELDS = {"classes": "probabilities", "spread": "high", "deviation": "deviations", "several": "low"}


@pytest.mark.parametrize("name", TARGETS)
def test_a_file_tells_rows_what_the_run_says_to_prove_itself(name, folder, tmp_path):
    assert proof_of(folder / name, tmp_path) == (0, "net: all numbers of 8 rows have the same bits\n")
    code, said = proof_of(folder / name, tmp_path, shifted(FIELDS.get(name, "numbers")))
    assert (code, said[:42]) == (1, "net_predict_row, row 0, number 0: must be ")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_tells_labels_to_prove_itself(dtype, tmp_path):
    for y in (CLASSES, WIDTH > 0, np.stack([WIDTH > 0, WIDTH > 1], axis=1).astype(int)):
        model = MLPClassifier(**KW, dtype=dtype).fit(rows(), y)
        assert proof_of(model, tmp_path)[0] == 0
        code, said = proof_of(model, tmp_path, shifted("labels"))
        assert (code, said[:41]) == (1, "net_predict_row, row 0, label 0: must be ")


@pytest.mark.parametrize("settings", [{"n_ens": 3}, {"n_ens": 2, "tabm": 2}], ids=str)
def test_members_tell_rows_together_to_prove_it(settings, tmp_path):
    both = np.stack([WIDTH > 0, WIDTH > 1], axis=1).astype(int)
    models = [MLPClassifier(**KW, **settings).fit(rows(), y) for y in (CLASSES, WIDTH > 0, both)]
    models.append(MLPRegressor(**KW, **settings).fit(rows(), WIDTH))
    assert [proof_of(model, tmp_path)[0] for model in models] == [0] * 4


@pytest.mark.parametrize("way", [*WAYS, "gcc -O2"])
def test_pairs_of_numbers_are_rounded_by_every_compiler(way, folder, tmp_path):
    both = np.stack([WIDTH > 0, WIDTH > 1], axis=1).astype(int)
    single = MLPClassifier(**KW).fit(rows(), both)
    members = {"n_ens": 2, **KW}
    models = [MLPClassifier(**members).fit(rows(), y) for y in (WIDTH > 0, both)]
    models.append(MLPRegressor(**members).fit(rows(), np.stack([WIDTH, WIDTH**2], axis=1)))
    for model in (single, *models, folder / "classes", folder / "several", folder / "deviation"):
        assert proof_of(model, tmp_path, way=way) == (0, "net: all numbers of 8 rows have the same bits\n")


@pytest.mark.parametrize("name", ["classes", "several"])
def test_a_file_prepares_rows_to_prove_itself(name, folder, tmp_path):
    assert proof_of(folder / name, tmp_path) == (0, "net: all numbers of 8 rows have the same bits\n")
    code, said = proof_of(folder / name, tmp_path, lambda text: text.replace("719463) % 7", "719464) % 7"))
    assert code == 1
    assert said.startswith("net_prepare, row 0, number ")


def test_rows_of_an_array_are_prepared_to_prove_it(tmp_path):
    X = np.stack([WIDTH, table(0, 120)["kind"], WIDTH**3], axis=1)
    for settings in ({"categorical_features": [1]}, {"scale": "quantile"}, {"missing": "refuse"}):
        model = MLPRegressor(**KW, **settings).fit(np.nan_to_num(X), WIDTH)
        assert proof_of(model, tmp_path)[0] == 0


def test_sampled_rows_have_values_of_all_kinds(folder):
    found = samples(tables_of(model_of(folder / "classes")), 8)
    assert set(found) == {"price", "city", "when", "serial", "kind", "width"}
    for name in ("price", "serial", "width"):
        assert 1 <= np.isnan(found[name]).sum() < 4
        assert len(np.unique(found[name])) >= 4
    assert {"", "none of these", "Oslo"} < set(found["city"].tolist())
    assert len(np.unique(found["when"])) >= 4
