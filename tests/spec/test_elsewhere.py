"""Words of other libraries: each is refused with a hint that says what it is called here."""

import inspect

import numpy as np
import pytest

import fastbp as fb
from fastbp.config.check import checked
from fastbp.config.text import parse
from fastbp.spec.elsewhere import NAMES, NETWORK_WORDS, PACK_WORDS, SWEEP_WORDS, TRAINER_WORDS, WORDS

X = np.zeros((8, 4), np.float32)


def trainer(**words):
    return fb.Trainer(fb.mlp([4, 3, 2]), **words)


def said(call):
    with pytest.raises(fb.ConfigError) as info:
        call()
    assert isinstance(info.value, TypeError) or "must be one of" in str(info.value)
    return str(info.value)


def test_the_table_has_forty_words_and_no_word_twice():
    words = [word.theirs for word in WORDS]
    assert len({*words}) == len(words) >= 40


@pytest.mark.parametrize("word", [word.theirs for word in WORDS])
def test_every_word_has_its_hint_in_python_and_in_configurations(word):
    ours = {w.theirs: w for w in WORDS}[word]
    fit = [lambda: trainer().fit(X, np.zeros(8), **{word: 1})]
    for call in (
        *(fit if word not in inspect.signature(fb.Trainer.fit).parameters else []),  # `verbose` is known there
        lambda: trainer(**{word: 1}),
        lambda: fb.Network([fb.Linear(2)], inputs=4, **{word: 1}),
        lambda: fb.mlp([4, 2], **{word: 1}),
    ):
        assert said(call).endswith(f"got `{word}`\nhint: " + shown(ours.python))
    with pytest.raises(fb.ConfigError) as info:
        checked(parse(f"network: {{{word}: 1}}"))
    assert str(info.value).endswith(f"got `{word}`\nhint: " + shown(ours.config or ours.python))


@pytest.mark.parametrize("word", SWEEP_WORDS, ids=[word.theirs for word in SWEEP_WORDS])
def test_words_of_other_searches_have_theirs(word):
    with pytest.raises(fb.ConfigError) as info:
        checked(parse(f"sweep: {{{word.theirs}: 1}}"))
    assert str(info.value).endswith(f"got `{word.theirs}`\nhint: " + shown(word.config or word.python))
    if word.theirs not in inspect.signature(fb.sweep).parameters:
        assert said(lambda: fb.sweep(len, **{word.theirs: 1})).endswith(
            f"got `{word.theirs}`\nhint: here this is {word.python}"
        )


@pytest.mark.parametrize(
    ("make", "word"),
    [(lambda: fb.mlp([4, 2]), word) for word in NETWORK_WORDS] + [(trainer, word) for word in TRAINER_WORDS],
)
def test_attributes_of_other_libraries_have_theirs(make, word):
    one = make()
    assert not hasattr(one, word.theirs)
    with pytest.raises(AttributeError) as info:
        getattr(one, word.theirs)
    kind = type(one).__name__
    assert str(info.value) == f"'{kind}' object has no attribute '{word.theirs}', {shown(word.python)}"
    with pytest.raises(AttributeError, match=f"^'{kind}' object has no attribute 'xyzzy'$"):
        one.xyzzy  # noqa: B018


def test_attributes_that_a_class_behind_has_are_found():
    class Mixed:
        ready = True

        def summary(self):
            return "short"

    class Net(fb.Network, Mixed):
        fit = 3

    one = Net([fb.Linear(2)], 4)
    assert (one.summary(), one.fit, one.ready) == ("short", 3, True)
    assert {"summary", "fit", "predict"} <= {*dir(one)}
    assert not {"train", "state_dict"} & {*dir(one)}


@pytest.mark.parametrize("word", [*PACK_WORDS, WORDS[-1]], ids=lambda word: word.theirs)
def test_arguments_of_trainers_are_answered_with_those_of_packs(word):
    pack = fb.Pack(fb.mlp([4, 2]), n=2)
    message = said(lambda: pack.fit(X, np.zeros(8), **{word.theirs: 1}))
    assert message.endswith(f"got `{word.theirs}`\nhint: {shown(word.python)}")


def shown(ours):
    return ours if ours.startswith("leave it out") else f"here this is {ours}"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fb.Linear(5, 16),
            "`Linear.bias` must be True or False, got `16`\n"
            "hint: `fb.Linear(16)` takes outputs only: its inputs are those of the layer before",
        ),
        (
            lambda: fb.Linear(in_features=5, features=3),
            "the arguments of `Linear` must be of `features`, `bias`, `init`, `bias_init`, `ntk`, got `in_features`\n"
            "hint: leave it out: a layer's inputs are the outputs of the layer before",
        ),
        (
            lambda: fb.Dropout(rate=0.5),
            "the arguments of `Dropout` must be of `p`, got `rate`\nhint: here this is `fb.Dropout(p)`",
        ),
        (
            lambda: fb.SGD(learning_rate=0.1),
            "the arguments of `SGD` must be of `lr`, `momentum`, `nesterov`, `weight_decay`, `decoupled`, `decay_all`,"
            " got `learning_rate`\nhint: here this is `optimizer=fb.Adam(lr=1e-3)`",
        ),
        (
            lambda: fb.Cosine(T_max=5),
            "the arguments of `Cosine` must be of `end`, `steps`, `warmup`, got `T_max`\n"
            "hint: here this is `steps=` of `fb.Cosine`, in steps",
        ),
        (
            lambda: fb.MSE(whatever=5),
            "the arguments of `MSE` must be of `reduction`, got `whatever`",
        ),
        (
            lambda: fb.MSE(Reductoin="sum"),
            "the arguments of `MSE` must be of `reduction`, got `Reductoin`\nhint: did you mean `reduction`?",
        ),
        (lambda: trainer(schedule="step"),
         "`schedule` must have `every`, such as `fb.Step(every=...)`, got `step` alone"),
        (lambda: trainer(optimizer="adamm"), None),
    ],
)  # fmt: skip
def test_what_is_said(call, message):
    found = said(call)
    if message is None:
        assert found.startswith("`optimizer` must be one of `")
        assert found.endswith("hint: did you mean `adam`?")
    else:
        assert found == message


def test_names_stand_wherever_objects_may():
    net = fb.Network([fb.Linear(3), "tanh", fb.Linear(2), "x * 2"], inputs=4)
    assert net.layers[1] == fb.Tanh()
    named = fb.Trainer(net, loss="mse", optimizer="sgd", schedule="cosine")
    assert named.optimizer == fb.SGD()
    y = np.ones((8, 2))
    same = fb.Trainer(
        fb.Network([fb.Linear(3), fb.Tanh(), fb.Linear(2), fb.activation("x * 2")], inputs=4),
        loss=fb.MSE(),
        optimizer=fb.SGD(),
        schedule=fb.Cosine(),
    )
    named.fit(X + 1, y, epochs=3)
    same.fit(X + 1, y, epochs=3)
    assert named.net.flat.tobytes() == same.net.flat.tobytes()
    with pytest.raises(fb.ConfigError, match=r"`layers\[1\]` must be one of"):
        fb.Network([fb.Linear(3), "tahn"], inputs=4)


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ("data: {task: regression}", "`numbers`"),
        ("data: {task: classification}", "`classes`"),
    ],
)
def test_names_of_others_have_hints_in_configurations(config, hint):
    with pytest.raises(fb.ConfigError) as info:
        checked(parse(config))
    assert str(info.value).endswith(f"\nhint: here this is {hint}")


def test_metrics_of_others_have_hints():
    for theirs in ("f1", "acc", "auc", "mean_squared_error"):
        with pytest.raises(fb.ConfigError) as info:
            fb.metrics.evaluate(theirs, np.zeros((2, 2)), [0, 1], loss="cross_entropy")
        assert str(info.value).endswith(f"got `{theirs}`\nhint: here this is `{NAMES[theirs]}`")


class Frame:
    """Columns as pandas has them."""

    def __init__(self, **columns):
        self.columns, self._values = list(columns), columns

    def __getitem__(self, name):
        return np.array(self._values[name], None if name != "mixed" else object)

    def __array__(self, dtype=None, copy=None):
        return np.array([list(column) for column in self._values.values()], object).T


@pytest.mark.parametrize("name", ["text", "mixed"])
def test_a_frame_with_a_column_of_texts_names_the_column(name):
    frame = Frame(a=[1.0, 2.0], **{name: ["x", "y"] if name == "text" else [1.0, "x"]})
    with pytest.raises(fb.DataError) as info:
        fb.mlp([2, 1]).predict(frame)
    assert str(info.value) == (
        f"`X` must be real numbers, got `x` in column `{name}`\n"
        "hint: `fastbp train` encodes columns of texts, and `fb.load` of its folder predicts frames"
    )


def test_numbers_of_types_of_pandas_are_numbers():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5]})
    net = fb.mlp([2, 1], seed=0)
    assert net.predict(table.convert_dtypes()).tobytes() == net.predict(table).tobytes()
    trainer = fb.Trainer(net, loss="mse")
    with pytest.raises(fb.DataError) as info:
        trainer.fit(table.convert_dtypes().shift(1), [1.0, 2.0, 3.0])
    assert str(info.value) == "`X` must be finite, got `nan` at `[0, 0]`"


def test_sparse_rows_are_refused_by_what_makes_them_dense():
    sparse = pytest.importorskip("scipy.sparse").csr_array([[1.0, 0.0]])
    with pytest.raises(fb.DataError) as info:
        fb.mlp([2, 1]).predict(sparse)
    assert str(info.value) == "`X` must be a dense array, got a sparse `csr_array`\nhint: `.toarray()` makes one"


def test_a_frame_of_polars_names_the_column_too():
    polars = pytest.importorskip("polars")
    with pytest.raises(fb.DataError, match="got `y` in column `b`"):
        fb.mlp([2, 1]).predict(polars.DataFrame({"a": [1.0, 2.0], "b": ["y", "z"]}))


def test_dir_shows_exactly_what_is_public():
    assert dir(fb) == sorted([*fb.__all__, "MLPClassifier", "MLPRegressor", "distill", "sklearn", "__version__"])
