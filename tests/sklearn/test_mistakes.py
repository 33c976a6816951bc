"""Mistakes of a user, each with its sentence: scikit-learn's own where its checks ask for it, ours elsewhere."""

# ruff: noqa: E501 - messages stand whole

import re
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.neural_network import MLPClassifier as MLPNeural

import fastbp as fb
from fastbp.errors import DataError
from fastbp.sklearn import MLPClassifier, MLPRegressor
from fastbp.sklearn.words import WORDS

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 3
T = X[:, 0]
KW = {"epochs": 2, "random_state": 0}
WIDTHS = "`hidden` must be widths such as `(128, 64)`, or layers such as `[fb.Linear(64), fb.ReLU()]`, got "

SETTINGS = [
    ({"hidden": "wide"}, WIDTHS + "`'wide'`"),
    ({"hidden": [fb.Linear(3), 4]}, WIDTHS + "`[Linear(features=3, bias=True), 4]`"),
    ({"hidden": (0,)}, "`hidden[0]` must be at least 1, got `0`"),
    ({"hidden": (8, 1.5)}, "`hidden[1]` must be a whole number, got `1.5`"),
    ({"hidden": ["linear"]}, "`hidden[0]` must have `features`, which `linear` requires"),
    (
        {"hidden": [fb.Linear(3)], "norm": "rms_norm"},
        "`norm` must not be given where `hidden` lists layers, got `rms_norm`",
    ),
    (
        {"hidden": [fb.Linear(3)], "activation": "gelu"},
        "`activation` must not be given where `hidden` lists layers, got `gelu`",
    ),
    (
        {"hidden": ["relu"], "activation": fb.ReLU()},
        "`activation` must not be given where `hidden` lists layers, got `ReLU()`",
    ),
    ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1, got `1.0`"),
    (
        {"norm": "batchnorm"},
        "`norm` must be one of `batch_norm`, `layer_norm`, `rms_norm`, got `batchnorm`\nhint: did you mean `batch_norm`?",
    ),
    ({"residual": 1}, "`residual` must be True or False, got `1`"),
    (
        {"optimizer": "adamm"},
        "`optimizer` must be one of `sgd`, `adagrad`, `rmsprop`, `adadelta`, `adam`, `adamw`, `nadam`, `radam`, `lion`, `muon`, got `adamm`\nhint: did you mean `adam`?",
    ),
    ({"learning_rate": -1}, "`learning_rate` must be above 0, got `-1.0`"),
    ({"weight_decay": -0.1}, "`weight_decay` must be at least 0, got `-0.1`"),
    ({"schedule": "step"}, "`schedule` must have `every`, such as `fb.Step(every=...)`, got `step` alone"),
    ({"batch_size": 0}, "`batch_size` must be at least 1, got `0`"),
    ({"epochs": 0}, "`epochs` must be at least 1, got `0`"),
    ({"epochs": 1.5}, "`epochs` must be a whole number, got `1.5`"),
    ({"early_stopping": "yes"}, "`early_stopping` must be True, False or \"auto\", got `'yes'`"),
    ({"patience": 0}, "`patience` must be at least 1, got `0`"),
    ({"validation_fraction": 1.0}, "`validation_fraction` must be above 0 and below 1, got `1.0`"),
    (
        {"validation_fraction": 0.001, "early_stopping": True},
        "`validation_fraction` must leave rows to train on and to stop by, of 40, got `0.001`",
    ),
    ({"class_weight": "even"}, "`class_weight` must be \"balanced\", None, or a dict of class to number, got `'even'`"),
    ({"class_weight": {0: -1}}, "`class_weight[0]` must be at least 0, got `-1.0`"),
    ({"class_weight": {7: 1}}, "`class_weight` must name classes of `y`, got `7`"),
    (
        {"class_weight": {0: 0, 1: 0, 2: 0}},
        "`class_weight` must be above 0 for a class of `y`, got `{0: 0, 1: 0, 2: 0}`",
    ),
    ({"categorical_features": [3]}, "`categorical_features` must be one of `x0`, `x1`, `x2`, got `3`"),
    ({"categorical_features": [True]}, "`categorical_features` must have one value for each of 3 columns, got 1"),
    ({"categorical_features": 0}, "`categorical_features` must be `from_dtype`, None, or a list of columns, got `0`"),
    (
        {"scale": "minmax"},
        "`scale` must be one of `auto`, `standard`, `robust`, `quantile`, `noisy_quantile`, `none`, got `minmax`",
    ),
    ({"missing": "zero"}, "`missing` must be one of `mean`, `median`, `refuse`, got `zero`"),
    (
        {"embed_numbers": "fourier"},
        "`embed_numbers` must be one of `piecewise_linear`, `pbld`, `cosine`, `periodic`, got `fourier`",
    ),
    (
        {"embed_numbers": {"name": "piecewise_linear", "bins": 1}},
        "`embed_numbers.bins` must be at least 2, got `1`",
    ),
    ({"embed_numbers": 48}, "`embed_numbers` must be a name, or a map with `name`, got `48`"),
    ({"encode": "ordinal"}, "`encode` must be one of `auto`, `one_hot`, `embedding`, got `ordinal`"),
    ({"min_frequency": 0}, "`min_frequency` must be at least 1, got `0`"),
    ({"random_state": "a"}, "'a' cannot be used to seed a numpy.random.RandomState instance"),
    ({"random_state": -1}, "`random_state` must be at least 0, got `-1`"),
    ({"n_threads": 0}, "`n_threads` must be between 1 and 256, got `0`"),
    ({"dtype": "float16"}, "`dtype` must be one of `float32`, `float64`, got `float16`\nhint: did you mean `float64`?"),
    ({"warm_start": "no"}, "`warm_start` must be True or False, got `'no'`"),
    ({"time_limit": 0}, "`time_limit` must be above 0, got `0.0`"),
    ({"callbacks": [3]}, "`callbacks` must hold callbacks or functions f(trainer, history), got `3`"),
    ({"callbacks": print}, "`callbacks` must be a list of callbacks, got `<built-in function print>`"),
    ({"verbose": "loud"}, "`verbose` must be True or False, got `'loud'`"),
]


def said(mistake):
    """The message of the error that a mistake is."""
    with pytest.raises((ValueError, TypeError)) as info:
        mistake()
    return str(info.value)


@pytest.mark.parametrize(
    ("settings", "message"), SETTINGS, ids=[f"{i} {next(reversed(s))}" for i, (s, _) in enumerate(SETTINGS)]
)
def test_a_setting_is_refused_by_its_name(settings, message):
    assert said(lambda: MLPClassifier(**{**KW, **settings}).fit(X, Y)) == message


def test_an_activation_that_is_unknown_comes_with_all_that_are():
    message = said(lambda: MLPClassifier(activation="rleu", **KW).fit(X, Y))
    assert re.fullmatch(
        "`activation` must be one of `identity`, `relu`, .*, got `rleu`\nhint: did you mean `relu`\\?", message
    )


def test_an_activation_of_scikit_learn_has_its_name_here_as_a_hint():
    message = said(lambda: MLPClassifier(activation="logistic", **KW).fit(X, Y))
    assert message.endswith(", got `logistic`\nhint: here this is `sigmoid`")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("hidden_layer_sizes", "here this is `hidden=`"),
        ("max_iter", "here this is `epochs=`"),
        ("beta_1", "here this is `optimizer=fb.AdamW(betas=(0.9, 0.999))`"),
        ("seed", "here this is `random_state=`"),
        ("hiden", "did you mean `hidden`?"),
        ("early_stoping", "did you mean `early_stopping`?"),
        ("rate", None),
    ],
)
def test_an_argument_that_there_is_not_is_refused_with_what_it_is_called_here(word, hint):
    for estimator in (MLPClassifier, MLPRegressor):
        message = said(lambda made=estimator: made(**{word: 3}))
        assert message.startswith(f"the arguments of `{estimator.__name__}` must be of `hidden`, ")
        assert message.endswith(f", got `{word}`" + (f"\nhint: {hint}" if hint else ""))


def test_what_is_written_instead_of_the_words_of_scikit_learn_is_an_argument():
    names = MLPClassifier().get_params()
    theirs = MLPNeural().get_params()
    for word, ours in WORDS.items():
        assert word not in names
        assert word in theirs or word in ("n_jobs", "lr", "n_estimators", "cv", "seed", "validation_split"), word
        code = ours.strip("`")
        settings = eval(f"dict({code}None)" if code.endswith("=") else f"dict({code})", {"fb": fb, "dict": dict})
        assert settings.keys() <= names.keys(), word


def test_a_subclass_has_arguments_of_its_own():
    class Small(MLPClassifier):
        def __init__(self, max_iter=2):
            super().__init__(epochs=max_iter)
            self.max_iter = max_iter

    assert Small(max_iter=3).epochs == 3
    with pytest.raises(TypeError, match="unexpected keyword argument 'epochs'"):
        Small(epochs=3)


ROWS = [
    (lambda c, r: c.fit(X, Y[:-1]), "Found input variables with inconsistent numbers of samples: [40, 39]"),
    (lambda c, r: c.fit(X, 0 * Y), "`y` must have at least two classes, got only one class, `0`"),
    (lambda c, r: c.fit(X, np.where(Y > 1, np.nan, Y)), "Input y contains NaN."),
    (
        lambda c, r: r.fit(X, np.where(Y > 1, np.inf, T)),
        "Input y contains infinity or a value too large for dtype('float64').",
    ),
    (lambda c, r: r.fit(X, np.array(["a", "b"])[Y % 2]), "could not convert string to float: np.str_('a')"),
    (
        lambda c, r: c.fit(np.where(X > 2, np.inf, X), Y),
        "Input X contains infinity or a value too large for dtype('float64').",
    ),
    (lambda c, r: c.fit(X.astype(object) + 1j, Y), "float() argument must be a string or a real number, not 'complex'"),
    (lambda c, r: c.fit([["a", "b"]] * 40, Y), "could not convert string to float: 'a'"),
    (lambda c, r: c.fit({"a": [1, 2]}, [0, 1]), "`X` must be an array or a table such as a DataFrame, got a dict"),
    (lambda c, r: c.fit(X, Y, -np.ones(40)), "Negative values in data passed to `sample_weight`."),
    (lambda c, r: c.fit(X, Y, np.zeros(40)), "Sample weights must contain at least one non-zero number."),
    (lambda c, r: c.fit(X, Y, np.ones(3)), "sample_weight.shape == (3,), expected (40,)!"),
    (lambda c, r: c.fit(X, Y, X_val=X), "`X_val` is given, so `y_val` must be given too"),
    (lambda c, r: c.fit(X, Y, y_val=Y), "`y_val` is given, so `X_val` must be given too"),
    (
        lambda c, r: c.set_params(early_stopping=False).fit(X, Y, X_val=X, y_val=Y),
        '`early_stopping` must be "auto" or True where `X_val` is given, got `False`',
    ),
    (
        lambda c, r: c.fit(X, Y, X_val=X, y_val=Y + 5),
        "`y_val` must have classes of the first fit, `0`, `1`, `2`, got `5`",
    ),
    (
        lambda c, r: c.fit(X, Y, X_val=X[:, :2], y_val=Y),
        "X has 2 features, but MLPClassifier is expecting 3 features as input.",
    ),
    (
        lambda c, r: c.fit(X, Y).predict(X[:, :2]),
        "X has 2 features, but MLPClassifier is expecting 3 features as input.",
    ),
    (
        lambda c, r: c.predict(X),
        "This MLPClassifier instance is not fitted yet. Call 'fit' with appropriate arguments before using this estimator.",
    ),
    (lambda c, r: c.partial_fit(X, Y), "classes must be passed on the first call to partial_fit."),
    (lambda c, r: c.partial_fit(X, Y, classes=[0, 1]), "`y` must have classes of the first fit, `0`, `1`, got `2`"),
    (
        lambda c, r: c.set_params(early_stopping=True).partial_fit(X, Y, classes=[0, 1, 2]),
        "partial_fit does not support early_stopping=True",
    ),
    (
        lambda c, r: c.set_params(warm_start=True).fit(X, Y).fit(X, Y + 1),
        "`y` must have classes of the first fit, `0`, `1`, `2`, got `3`",
    ),
    (
        lambda c, r: c.fit(X, np.column_stack([Y, Y])),
        "`y` must be classes, or 0 and 1 for each of several labels, got several columns of classes",
    ),
    (
        lambda c, r: c.set_params(class_weight="balanced").fit(X, np.column_stack([Y > 0, Y > 1]).astype(int)),
        "`class_weight` must be None where a row has several labels, got `'balanced'`",
    ),
    (
        lambda c, r: r.set_params(warm_start=True).fit(X, T).fit(X, np.column_stack([T, T])),
        "`y` must have as many columns as in the first fit, 1, got 2",
    ),
    (
        lambda c, r: r.set_params(loss="cross_entropy").fit(X, T),
        "`loss` must be one of numbers, such as `mse`, got `cross_entropy`",
    ),
    (lambda c, r: r.set_params(clamp_target="no").fit(X, T), "`clamp_target` must be True or False, got `'no'`"),
    (lambda c, r: r.set_params(scale_target="no").fit(X, T), "`scale_target` must be True or False, got `'no'`"),
]


@pytest.mark.parametrize(("mistake", "message"), ROWS, ids=range(len(ROWS)))
def test_rows_are_refused_by_what_is_wrong_with_them(mistake, message):
    assert said(lambda: mistake(MLPClassifier(**KW), MLPRegressor(**KW))) == message


def test_sparse_rows_are_refused():
    sparse = pytest.importorskip("scipy.sparse").csr_array(X)
    message = (
        "Sparse data was passed for X, but dense data is required. Use '.toarray()' to convert to a dense numpy array."
    )
    assert said(lambda: MLPClassifier(**KW).fit(sparse, Y)) == message
    assert said(lambda: MLPClassifier(**KW).fit(X, Y).predict(sparse)) == message


def test_an_estimator_is_as_it_was_where_rows_that_decide_when_to_stop_are_refused():
    found = MLPClassifier(**KW)
    message = "`y_val` must have classes of the first fit, `0`, `1`, `2`, got `5`"
    assert said(lambda: found.fit(X, Y, X_val=X, y_val=Y + 5)) == message
    assert said(lambda: found.predict(X)).startswith("This MLPClassifier instance is not fitted yet.")
    table = pytest.importorskip("pandas").DataFrame(X, columns=["a", "b", "c"])
    message_of_row = "X_val: row 0: column `b` must be finite, got `inf`"
    assert said(lambda: found.fit(table, Y, X_val=table.assign(b=np.inf), y_val=Y)).startswith(message_of_row)
    assert said(lambda: found.predict(X)).startswith("This MLPClassifier instance is not fitted yet.")
    before = found.fit(X, Y).predict_proba(X)
    assert said(lambda: found.fit(-X, Y, X_val=X, y_val=Y + 5)) == message
    assert found.predict_proba(X).tobytes() == before.tobytes()


def test_texts_and_categories_need_names_that_are_texts():
    pd = pytest.importorskip("pandas")
    hint = "\nhint: `X.columns = X.columns.map(str)` makes texts of them"
    for column in (["a", "b"] * 20, pd.Categorical(Y)):
        message = "`X` must have texts as names where a column has texts or categories, got `1`" + hint
        assert said(lambda values=column: MLPClassifier(**KW).fit(pd.DataFrame({0: T, 1: values}), Y)) == message
    table = pd.DataFrame({0: T, 1: ["a", "b"] * 20})
    table.columns = table.columns.map(str)
    assert MLPClassifier(**KW).fit(table, Y).feature_names_in_.tolist() == ["0", "1"]


@pytest.mark.filterwarnings("ignore:Determining the column names")
def test_what_has_no_rows_yet_is_refused():
    lazy = pytest.importorskip("polars").DataFrame({"a": T}).lazy()
    message = "`X` must be an array or a table such as a DataFrame, got a LazyFrame\nhint: `X.collect()` is one"
    assert said(lambda: MLPClassifier(**KW).fit(lazy, Y)) == message


def test_missing_numbers_are_refused_where_that_is_asked_for():
    gone = np.where(X > 2, np.nan, X)
    assert said(lambda: MLPClassifier(missing="refuse", **KW).fit(gone, Y)).startswith("Input X contains NaN.\n")


@pytest.fixture
def table():
    pd = pytest.importorskip("pandas")
    return pd.DataFrame({"a": X[:, 0], "city": np.array(["Rome", "Oslo"], object)[Y % 2], "b": X[:, 1]})


def misspelt(table):
    cells = table["a"].astype(object)
    cells[3] = "1,2x"
    return table.assign(a=cells)


HINT = "\nhint: a missing number is None or NaN, and `categorical_features` says which columns are categories"

COLUMNS = [
    (
        lambda c, t: c.fit(misspelt(t), Y),
        "X: row 3: column `a` must be all numbers or all texts, got `1,2x` beside numbers",
    ),
    (
        lambda c, t: c.fit(t, Y).predict(misspelt(t)),
        "X: row 3: column `a` must be all numbers or all texts, got `1,2x` beside numbers",
    ),
    (lambda c, t: c.fit(t, Y).predict(t.assign(a="x")), "X: row 0: column `a` must be a number, got `x`" + HINT),
    (
        lambda c, t: c.fit(t.assign(a=[[1]] * 40), Y),
        "X: row 0: column `a` must have numbers, texts or dates, got `[1]`",
    ),
    (lambda c, t: c.fit(t.assign(a=np.inf), Y), "X: row 0: column `a` must be finite, got `inf`"),
    (
        lambda c, t: c.set_params(categorical_features=None).fit(t, Y),
        "X: row 0: column `city` must be a number, got `Rome`" + HINT,
    ),
    (
        lambda c, t: c.set_params(categorical_features=["town"]).fit(t, Y),
        "`categorical_features` must be one of `a`, `city`, `b`, got `town`",
    ),
    (
        lambda c, t: c.set_params(categorical_features=[True]).fit(t, Y),
        "`categorical_features` must have one value for each of 3 columns, got 1",
    ),
    (
        lambda c, t: c.set_params(categorical_features="all").fit(t, Y),
        "`categorical_features` must be `from_dtype`, None, or a list of columns, got `'all'`",
    ),
    (
        lambda c, t: c.fit(t[:0], Y[:0]),
        "Found array with 0 sample(s) (shape=(0, 3)) while a minimum of 2 is required by MLPClassifier.",
    ),
    (
        lambda c, t: c.fit(t, Y).predict(t[["b", "a", "city"]]),
        "The feature names should match those that were passed during fit.\n"
        "Feature names must be in the same order as they were in fit.\n",
    ),
    (
        lambda c, t: c.fit(t, Y).predict(t[["a", "b"]]),
        "The feature names should match those that were passed during fit.\n"
        "Feature names seen at fit time, yet now missing:\n- city\n",
    ),
]


@pytest.mark.parametrize(("mistake", "message"), COLUMNS, ids=range(len(COLUMNS)))
def test_columns_are_refused_by_what_is_wrong_with_them(mistake, message, table):
    assert said(lambda: mistake(MLPClassifier(**KW), table)) == message


def test_a_table_after_an_array_is_read_by_its_order_with_a_warning(table):
    found = MLPClassifier(**KW).fit(X, Y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        guess = found.predict(table.assign(city=X[:, 1], b=X[:, 2]))
    assert guess.tolist() == found.predict(X).tolist()
    assert [str(w.message) for w in caught] == [
        "X has feature names, but MLPClassifier was fitted without feature names"
    ]


@pytest.mark.parametrize("several", [False, True], ids=["classes", "labels"])
def test_no_class_is_said_where_the_network_has_no_outputs(several, tmp_path):
    """There is no cosine of 1e12 in float32; the first class is not the likeliest of NaN."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X[:, :2] > 0).astype(int) if several else np.where(X[:, 0] > 0, "no", "yes")
    found = MLPClassifier([4], embed_numbers="pbld", epochs=1, random_state=0).fit(X, y)
    found.save(tmp_path / "m.safetensors")
    X[5, 1] = 1e12
    np.save(tmp_path / "all.npy", X)
    table = fb.load(tmp_path / "m.safetensors")
    must = r"^`outputs` must be numbers for classes to be chosen, got NaN in 1 of 60 rows"
    for predict in (lambda: found.predict(X), lambda: table.predict(str(tmp_path / "all.npy"))):
        with pytest.raises(DataError, match=must):
            predict()
    assert len(found.predict(X[:5])) == 5
    assert np.isnan(found.predict_proba(X)[5]).all()
