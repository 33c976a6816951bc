"""Numbers that name things, which estimators with a preset find as `fastbp init` does."""

import pickle
import re

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone

import fastbp as fb
from fastbp.config.text import parse_yaml
from fastbp.data.categories import Category
from fastbp.errors import ConfigTypeError, DataWarning
from fastbp.runs.starter import starter
from fastbp.sklearn import MLPClassifier, MLPRegressor

pl = pytest.importorskip("polars")
pd = pytest.importorskip("pandas")

RNG = np.random.default_rng(4)
N = 1500
BRANCH = RNG.integers(1, 101, N)
AREA = RNG.normal(size=N)
ROOMS = RNG.integers(1, 60, N)
OWN = RNG.normal(size=101)[BRANCH]
RENT = OWN + AREA + ROOMS / 30.0 + RNG.normal(size=N)
ARRAY = np.column_stack([AREA, BRANCH, ROOMS])
COLUMNS = {"area": AREA, "branch": BRANCH, "rooms": ROOMS}
CITY = np.array(["Bern", "Oslo", "Rome"])[RNG.integers(3, size=N)]
KW = {"preset": "plain", "epochs": 2, "random_state": 0}
SAID = "X: numbers are taken for names of things: `{}` as the same number tells "


def categories(model):
    return [part.name for part in model.recipe_.inputs.parts if isinstance(part, Category)]


def fitted(model, *rows, **more):
    """The model, which must say that it finds names."""
    with pytest.warns(DataWarning, match="^X: numbers are taken for names of things: "):
        return model.fit(*rows, **more)


def arrow_table(columns):
    return pytest.importorskip("pyarrow").table({name: np.asarray(values) for name, values in columns.items()})


@pytest.mark.parametrize("table", [pl.DataFrame, pd.DataFrame, arrow_table, lambda columns: ARRAY])
@pytest.mark.parametrize("preset", ["standard", "plain"])
def test_numbers_that_name_things_are_as_if_they_were_listed(table, preset):
    X = table(COLUMNS)
    name = "x1" if X is ARRAY else "branch"
    with pytest.warns(DataWarning) as said:
        found = MLPRegressor(**{**KW, "preset": preset}).fit(X, RENT)
    (one,) = said
    hint = (
        "hint: `categorical_features=None` has numbers stay amounts, and a list names the columns that are categories"
    )
    told = rf"^{re.escape(SAID.format(name))}0\.[1-9]\d\d of y, neighbouring ones 0\.00\d\n{re.escape(hint)}$"
    assert re.match(told, str(one.message))
    assert one.filename == __file__
    assert categories(found) == [name]
    assert found.recipe_.inputs.categories[0].encode == "embedding"
    listed = MLPRegressor(**{**KW, "preset": preset}, categorical_features=[name]).fit(X, RENT)
    assert listed.loss_curve_ == found.loss_curve_
    assert listed.predict(X).tobytes() == found.predict(X).tobytes()
    assert hasattr(found, "feature_names_in_") == (X is not ARRAY)


def test_they_are_worth_it():
    half = N // 2
    found = fitted(MLPRegressor(preset="plain", random_state=0), ARRAY[:half], RENT[:half])
    without = clone(found).set_params(categorical_features=None).fit(ARRAY[:half], RENT[:half])
    assert found.score(ARRAY[half:], RENT[half:]) > without.score(ARRAY[half:], RENT[half:]) + 0.1


@pytest.mark.parametrize("kind", ["classes", "texts", "labels", "soft", "several"])
def test_they_are_found_for_every_kind_of_target(kind):
    much = np.median(RENT) < RENT
    y = {
        "classes": np.searchsorted(np.quantile(RENT, [0.3, 0.7]), RENT),
        "texts": np.where(much, "much", "little"),
        "labels": np.column_stack([much, AREA > 0.0]).astype(int),
        "several": np.column_stack([RENT, AREA]),
    }
    model = (MLPRegressor if kind == "several" else MLPClassifier)(**KW)
    if kind == "soft":
        soft = np.column_stack([~much, much]).astype(float)
        with pytest.warns(DataWarning, match=SAID.format("x1")):
            model._fit_soft(ARRAY, much.astype(int), np.array([0, 1]), soft, None)
    else:
        fitted(model, ARRAY, y[kind])
    assert categories(model) == ["x1"]


def test_types_say_more_and_are_asked_before():
    """As of patients whose ages repeat with them, and bools and texts are categories beside numbers."""
    age = RNG.integers(20, 80, 101)[BRANCH]
    table = pd.DataFrame({"aged": age, "city": CITY, "new": AREA > 0.0, "x": AREA})
    assert categories(fitted(MLPRegressor(**KW), table, RENT)) == ["aged", "city", "new"]
    for patient in (pd.Categorical(BRANCH), [f"p{i}" for i in BRANCH], [f"{i}" for i in BRANCH]):
        assert categories(MLPRegressor(**KW).fit(table.assign(patient=patient), RENT)) == ["city", "new", "patient"]


def test_a_word_of_the_name_says_so_too():
    table = pl.DataFrame({"zipcode": BRANCH, "year": BRANCH, "area": AREA})
    with pytest.warns(DataWarning, match=r"^X: numbers are taken for names of things: `zipcode` by the word in its na"):
        assert categories(MLPRegressor(**KW).fit(table, AREA)) == ["zipcode"]


def test_of_many_names_five_are_said():
    table = pl.DataFrame({f"{letter}_id": RNG.integers(0, 30, N) for letter in "abcdefg"})
    with pytest.warns(DataWarning, match="`e_id` by the word in its name; and 2 more\nhint"):
        MLPRegressor(**KW).fit(table, RENT)


@pytest.mark.parametrize("table", [pl.DataFrame, lambda columns: ARRAY])
@pytest.mark.parametrize("settings", [{"categorical_features": None}, {"categorical_features": [0]}, {"preset": None}])
def test_nothing_is_guessed_where_the_user_says_what_is_a_category_or_no_preset(table, settings):
    X, rounded = table(COLUMNS), {**COLUMNS, "area": AREA.round()}
    if settings.get("categorical_features"):
        X = np.column_stack(list(rounded.values())) if X is ARRAY else table(rounded)
    found = MLPRegressor(**{**KW, **settings}).fit(X, RENT)
    assert len(categories(found)) == len(settings.get("categorical_features") or [])


def test_a_published_preset_is_as_it_was_published():
    assert categories(MLPRegressor(**{**KW, "preset": "tabm-mini", "epochs": 1}).fit(ARRAY[:500], RENT[:500])) == []


def test_what_cannot_be_a_list_of_columns_is_refused_all_the_same():
    must = r"^`categorical_features` must be `from_dtype`, None, or a list of columns, got `'from_type'`$"
    for X in (ARRAY, pd.DataFrame(COLUMNS)):
        with pytest.raises(ConfigTypeError, match=must):
            MLPRegressor(**KW, categorical_features="from_type").fit(X, RENT)


def test_an_array_of_amounts_stays_one_to_the_bit():
    X = np.delete(ARRAY, 1, axis=1)
    found, without = MLPRegressor(**KW).fit(X, RENT), MLPRegressor(**KW, categorical_features=None).fit(X, RENT)
    assert [part.name for part in found.recipe_.inputs.parts] == [None]
    assert found.predict(X).tobytes() == without.predict(X).tobytes()


def test_wide_arrays_are_not_asked():
    wide = np.column_stack([ARRAY, np.zeros((N, 498))])
    assert categories(MLPRegressor(**{**KW, "epochs": 1}).fit(wide, RENT)) == []
    assert categories(fitted(MLPRegressor(**{**KW, "epochs": 1}), wide[:, :500], RENT)) == ["x1"]


def test_rows_of_weight_0_are_not_asked_and_predicted_with_the_others():
    weight = np.repeat([1.0, 0.0], [N - 500, 500])
    found = fitted(MLPRegressor(**KW, n_cv=2), ARRAY, RENT, weight)
    assert found.oof_predictions_[-500:] == pytest.approx(found.predict(ARRAY[-500:]))
    told = np.where(weight > 0.0, AREA, 10.0 * OWN)
    assert categories(MLPRegressor(**KW).fit(ARRAY, told, weight)) == []
    assert categories(fitted(MLPRegressor(**KW), ARRAY, told)) == ["x1"]


def test_rows_that_are_held_out_are_read_alike():
    found = fitted(MLPRegressor(**KW), ARRAY[:1000], RENT[:1000], X_val=ARRAY[1000:], y_val=RENT[1000:])
    assert categories(found) == ["x1"]
    assert len(found.validation_scores_) == 2


@pytest.mark.parametrize("table", [pd.DataFrame, lambda columns: np.column_stack(list(columns.values()))])
def test_what_was_decided_first_stays_where_training_goes_on(table):
    X, plain = table(COLUMNS), table({**COLUMNS, "branch": ROOMS})
    found = fitted(MLPRegressor(**KW, warm_start=True), X, RENT)
    names = categories(found)
    assert len(names) == 1
    assert categories(pickle.loads(pickle.dumps(found)).fit(plain, AREA)) == names
    assert categories(found.partial_fit(plain, AREA)) == names
    first = MLPRegressor(**KW, warm_start=True).fit(X, AREA)
    assert categories(first) == categories(first.fit(X, RENT)) == categories(first.partial_fit(X, RENT)) == []
    with pytest.warns(DataWarning, match=f"`{names[0]}` as the same number"):
        part = MLPRegressor(**KW).partial_fit(X, RENT)
    assert categories(part.partial_fit(plain[:50], AREA[:50])) == names
    anew = found.set_params(warm_start=False).fit(X, AREA)
    assert categories(anew) == []


def test_members_that_are_drawn_have_them_too():
    model = MLPRegressor(preset="thorough", epochs=1, n_ens=2, n_cv=2, random_state=0)
    found = fitted(model, ARRAY[:800], RENT[:800])
    assert categories(found) == ["x1"]
    assert found.predict(ARRAY).shape == (N,)


def test_what_is_saved_predicts_the_same_of_arrays_and_tables(tmp_path):
    found = fitted(MLPRegressor(**KW), ARRAY, RENT)
    found.save(tmp_path / "m.safetensors")
    loaded, guess = fb.load(tmp_path / "m.safetensors"), found.predict(ARRAY)
    np.save(tmp_path / "rows.npy", ARRAY)
    np.savez(tmp_path / "rows.npz", X=ARRAY.astype(np.float32))
    columns = {f"x{i}": column for i, column in enumerate(ARRAY.T)}
    for rows in (str(tmp_path / "rows.npy"), str(tmp_path / "rows.npz"), columns):
        assert loaded.predict(rows)["target"] == pytest.approx(guess, rel=1e-6, abs=1e-6)
    np.save(tmp_path / "narrow.npy", ARRAY[:, :2])
    with pytest.raises(fb.DataError, match=r"narrow.npy: there must be a column `x0`, got no named columns"):
        loaded.predict(str(tmp_path / "narrow.npy"))


def test_columns_are_those_that_init_writes(tmp_path):
    table = pd.DataFrame({**COLUMNS, "zip": 8000 + ROOMS, "city": CITY, "rent": RENT})
    table.to_csv(tmp_path / "t.csv", index=False)
    start = parse_yaml(starter(str(tmp_path / "t.csv"), ["rent"]).text, "config").data
    written = [name for name, kind in start["data"]["columns"].items() if kind == "category"]
    found = fitted(MLPRegressor(preset="standard", epochs=1, random_state=0), table.drop(columns="rent"), table["rent"])
    assert categories(found) == written == ["branch", "zip", "city"]
