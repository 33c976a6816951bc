"""Whose problem an error is, and which built-in errors catch it."""

import copy
import doctest
import pickle
import re
from pathlib import Path
from random import Random

import numpy as np
import pytest

import fastbp as fb
from fastbp import errors
from fastbp.config.build import plan_of
from fastbp.config.merging import override
from fastbp.config.naming import located
from fastbp.config.text import parse
from fastbp.errors import ConfigError, ConfigTypeError, DataError, DataTypeError, ShapeError
from fastbp.train.metrics import evaluate

CLASSES = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]


def named(cls: type) -> str:
    return cls.__name__


def make(cls: type) -> Exception:
    error = cls("a message", 3, "2") if cls is errors.DivergedError else cls("a message")
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("cls", CLASSES, ids=named)
def test_every_error_is_a_fastbp_error(cls):
    assert issubclass(cls, errors.FastbpError if cls.__name__.endswith("Error") else UserWarning)


@pytest.mark.parametrize(
    ("cls", "caught_by"),
    [
        (errors.ConfigError, ValueError),
        (errors.ConfigTypeError, TypeError),
        (errors.ConfigTypeError, ValueError),
        (errors.ConfigTypeError, errors.ConfigError),
        (errors.DataError, ValueError),
        (errors.DataTypeError, TypeError),
        (errors.DataTypeError, errors.DataError),
        (errors.ShapeError, ValueError),
        (errors.ShapeError, errors.DataError),
        (errors.CheckpointError, ValueError),
        (errors.DivergedError, FloatingPointError),
        (errors.FileError, OSError),
        (errors.ForkError, RuntimeError),
    ],
    ids=lambda cls: cls.__name__,
)
def test_an_error_is_caught_as(cls, caught_by):
    with pytest.raises(caught_by, match=r"^a message$"):
        raise make(cls)


@pytest.mark.parametrize(
    ("cls", "not_caught_by"),
    [
        (errors.ConfigError, TypeError),
        (errors.ShapeError, TypeError),
        (errors.ShapeError, errors.ConfigError),
        (errors.DivergedError, ValueError),
        (errors.ForkError, ValueError),
    ],
    ids=lambda cls: cls.__name__,
)
def test_an_error_is_not_caught_as(cls, not_caught_by):
    assert not issubclass(cls, not_caught_by)


@pytest.mark.parametrize("through", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))], ids=["copy", "pickle"])
@pytest.mark.parametrize("cls", CLASSES, ids=named)
def test_an_error_survives_the_way_back_from_a_worker_process(cls, through):
    error = make(cls)
    again = through(error)
    assert type(again) is cls
    assert str(again) == "a message"
    assert vars(again) == vars(error)


def test_a_diverged_error_names_the_step_and_the_layer():
    error = errors.DivergedError("the loss must be finite, got `nan` at step 3", 3, "loss")
    assert (str(error), error.step, error.layer) == (
        "the loss must be finite, got `nan` at step 3",
        3,
        "loss",
    )


def test_a_file_error_says_what_the_system_says_and_names_the_file():
    error = errors.FileError.of(OSError(28, "No space left on device", "other"), "net\n.csv")
    assert str(error) == "`net\\n.csv` must be a file that can be written (No space left on device)"
    for one in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (str(one), one.errno, one.strerror, one.filename) == (
            str(error),
            28,
            "No space left on device",
            "net\n.csv",
        )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("rleu", "`layers[1]` must be one of `relu`, `tanh`, got `rleu`\nhint: did you mean `relu`?"),
        ("ReLU", "`layers[1]` must be one of `relu`, `tanh`, got `ReLU`\nhint: did you mean `relu`?"),
        ("swish", "`layers[1]` must be one of `relu`, `tanh`, got `swish`"),
        (3, "`layers[1]` must be one of `relu`, `tanh`, got `3`"),
    ],
)
def test_a_name_that_is_not_allowed_is_answered_with_those_that_are(value, message):
    error = errors.not_one_of("layers[1]", value, iter(["relu", "tanh"]))
    assert type(error) is errors.ConfigError
    assert str(error) == message


def test_the_examples_run():
    assert doctest.testmod(errors) == doctest.TestResults(failed=0, attempted=11)


@pytest.mark.parametrize("cls", CLASSES, ids=named)
def test_no_message_holds_what_a_terminal_acts_on(cls):
    text = "`\x1b]0;title\x07` must be `a\u202eb`\nx"
    error = cls(text, *((3, "2") if cls is errors.DivergedError else ()), hint="\x1b[2J")
    assert str(error) == "`\\x1b]0;title\\x07` must be `a\\u202eb`\\nx\nhint: \\x1b[2J"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_long_message_keeps_its_beginning_and_its_end():
    text = str(errors.DataError(f"column `{'a' * 9000}` must be `b`", hint="c" * 9000))
    first, hint = text.split("\n")
    assert len(first) == len(hint) == errors.LONGEST
    assert first.startswith("column `aaa")
    assert first.endswith("aaa` must be `b`")
    assert errors.line(first) == first


NET = fb.mlp([2, 3, 1], seed=0)


def in_a_file(text, suffix=".yaml"):
    return lambda: plan_of(parse(text, f"c{suffix}", suffix))


def layer(text):
    return in_a_file(
        "data: {source: digits}\nnetwork:\n  layers:\n    - {" + text + "}\n    - {name: linear, features: 2}"
    )


SIGNAL = (
    *(None, None, "a network must be the same for all rows, so a signal has no truth value", None),
    "`fb.relu(h)` or a product with `fb.sigmoid(g)` chooses row by row",
)
# what is done, the class of its error, and the fields: place, where, must, got, hint
TYPICAL = [
    (lambda: fb.Linear(0), ConfigError, (None, "Linear.features", "must be at least 1", "`0`", None)),
    (lambda: fb.Dropout(1.5), ConfigError, (None, "Dropout.p", "must be at least 0 and below 1", "`1.5`", None)),
    (lambda: fb.Adam(amsgrad=1), ConfigTypeError, (None, "Adam.amsgrad", "must be True or False", "`1`", None)),
    (
        lambda: fb.GELU("tnah"),
        ConfigError,
        (None, "GELU.approximate", "must be one of `none`, `tanh`", "`tnah`", "did you mean `tanh`?"),
    ),
    (
        lambda: fb.Trainer(NET, loss="mse", batch_size=2.5),
        ConfigTypeError,
        (None, "batch_size", "must be a whole number", "`2.5`", None),
    ),
    (
        lambda: fb.LayerNorm(64),
        ConfigError,
        (
            *(None, "LayerNorm.eps", "must be above 0 and below 1", "`64.0`"),
            "the number of features is that of the layer before",
        ),
    ),
    (
        lambda: fb.Network([fb.ReLU], inputs=2),
        ConfigTypeError,
        (
            *(None, "layers[0]", "must be a layer such as `fb.Linear(10)`"),
            *("`<class 'fastbp.spec.activations.ReLU'>`", "did you mean `ReLU()`?"),
        ),
    ),
    (
        lambda: NET.predict(np.zeros((3, 5))),
        ShapeError,
        (None, "X", "must have shape `(rows, 2)`", "`(3, 5)`", None),
    ),
    (lambda: NET.predict([["a", "b"]]), DataTypeError, (None, "X", "must be real numbers", "dtype `<U1`", None)),
    (
        lambda: fb.Trainer(NET, loss="mse").fit([[0.0, np.nan]], [1.0], epochs=1),
        DataError,
        (None, "X", "must be finite", "`nan` at `[0, 1]`", None),
    ),
    (
        lambda: evaluate("roc_auc", [[1.0], [2.0]], [1, 1], loss="binary_cross_entropy"),
        DataError,
        (None, "y", "must have two or more classes", "only `1`", None),
    ),
    (lambda: bool(fb.Input(2)), ConfigError, SIGNAL),
    (
        in_a_file("data: {source: digits}\ntrainer: {epochs: 0}"),
        ConfigError,
        ("c.yaml:2", "trainer.epochs", "must be at least 1", "`0`", None),
    ),
    (
        in_a_file("data: {source: digits}\ntrainer:\n  optimizer: {name: adam, amsgrad: 1}"),
        ConfigTypeError,
        ("c.yaml:3", "trainer.optimizer.amsgrad", "must be `true` or `false`", "`1`", None),
    ),
    (
        in_a_file("data: {source: digits}\ntrainer: {epoch: 1}"),
        ConfigError,
        ("c.yaml:2", "trainer", "must have known keys only", "`epoch`", "did you mean `epochs`?"),
    ),
    (
        in_a_file("seed: 1\nepochs: 1"),
        ConfigError,
        ("c.yaml:2", None, "a config must have known keys only", "`epochs`", "did you mean `trainer.epochs`?"),
    ),
    (
        layer("name: embedding, columns: {a: [3, 2]}"),
        ConfigTypeError,
        ("c.yaml:4", "network.layers[0].columns", "must have whole numbers for keys", "`a`", None),
    ),
    (
        layer("name: linear, features: 3, init: constant"),
        ConfigError,
        ("c.yaml:4", "network.layers[0].init", "must have `scale` if it is `constant`", "`null`", None),
    ),
    (
        layer("name: linear, features: 3, as: 'a b'"),
        ConfigError,
        ("c.yaml:4", "network.layers[0].as", "must be of letters, digits, `-` and `_`, a letter first", "`a b`", None),
    ),
    (
        in_a_file("data: [1"),
        ConfigError,
        ("c.yaml:1", None, "a config must be valid YAML", "a bracket that is not closed", None),
    ),
    (
        in_a_file('{"seed": 1,\n"seed": 2}', ".json"),
        ConfigError,
        ("c.json:2", "seed", "must be given once, but is on line 1 too", None, None),
    ),
    (
        lambda: override("a.b=[1"),
        ConfigError,
        (None, "--set a.b", "must be valid YAML", "a bracket that is not closed", None),
    ),
]


@pytest.mark.parametrize(("action", "kind", "fields"), TYPICAL, ids=[f"{x[2][1]} {x[2][2]}"[:50] for x in TYPICAL])
def test_an_error_has_the_parts_of_its_sentence_as_fields(action, kind, fields):
    with pytest.raises(errors.FastbpError) as info:
        action()
    error = info.value
    assert type(error) is kind
    assert (error.place, error.where, error.must, error.got, error.hint) == fields
    assert str(error) == joined(*fields)


def joined(place, where, must, got, hint):
    """The message of fields, put together independently."""
    words = [f"{place}:"] if place else []
    words += [f"`{where}`"] if where else []
    first = " ".join([*words, must])
    return "\n".join([first + (f", got {got}" if got else "")] + ([f"hint: {hint}"] if hint else []))


def random_fields(seed):
    """Fields of which no word is a part of another, some of them absent."""
    rng = Random(seed)
    names = [f"{word}{rng.randrange(10**6)}" for word in ("place", "where", "must", "got", "hint")]
    return {
        name.rstrip("0123456789"): name if name.startswith("must") or rng.random() < 0.7 else None for name in names
    }


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("cls", [ConfigTypeError, ShapeError, errors.DependencyError, errors.PlanError], ids=named)
def test_an_error_that_is_moved_names_the_new_place_once_and_never_the_old(cls, seed):
    fields = random_fields(seed)
    error = cls(**fields)
    before = str(error)
    assert before == joined(**fields)
    moved = error.at(where="trainer.epochs", place="c.yaml:3")
    assert type(moved) is cls
    assert str(moved) == joined(**{**fields, "where": "trainer.epochs", "place": "c.yaml:3"})
    assert str(moved).count("trainer.epochs") == str(moved).count("c.yaml:3") == 1
    assert all(fields[name] is None or fields[name] not in str(moved) for name in ("where", "place"))
    assert (str(error), error.fields) == (before, {name: fields[name] for name in error.fields})
    assert str(moved.at(where=fields["where"], place=fields["place"])) == before


def test_an_error_has_no_other_fields():
    with pytest.raises(TypeError, match="unexpected keyword argument 'were'"):
        ConfigError("a", "must be 1").at(were="b")


def test_a_where_may_be_a_path_and_empty():
    assert ConfigError(Path("a"), "must be 1").where == "a"
    assert str(ConfigError("", "must be 1")) == "`` must be 1"
    assert str(ConfigError(Path("a"))) == "a"
    assert (
        str(errors.DependencyError("a", "must be 1")) == errors.DependencyError("a", "must be 1").msg == "`a` must be 1"
    )


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("Slice.stop", "c.yaml:2: `network.layers[0]`: `Slice.stop` must be at most 3, got `4`"),
        ("Linear", "c.yaml:2: `network.layers[0]`: `Linear` must be at most 3, got `4`"),
        ("Line.stop[1]", "c.yaml:2: `network.layers[0].stop[1]` must be at most 3, got `4`"),
        (None, "c.yaml:2: `network.layers[0]`: must be at most 3, got `4`"),
    ],
)
def test_an_error_about_another_name_says_within_which_key_of_a_file(where, message):
    def refuse():
        raise ConfigError(where, "must be at most 3", "`4`")

    with pytest.raises(ConfigError) as info:
        located(parse("network:\n  layers: [{name: slice}]", "c.yaml"), ("network", "layers", 0), refuse, "Line")
    assert str(info.value) == message


def test_what_else_an_error_knows_moves_with_it():
    stopped = errors.DivergedError("the loss must be finite", 3, "2").at(hint="a smaller learning rate may help")
    assert (stopped.step, stopped.layer) == (3, "2")
    assert str(stopped) == "the loss must be finite\nhint: a smaller learning rate may help"
    full = errors.FileError.of(OSError(28, "No space left on device"), "net.csv").at(hint="remove something")
    assert (full.errno, full.strerror, full.filename) == (28, "No space left on device", "net.csv")
    assert str(full) == "`net.csv` must be a file that can be written (No space left on device)\nhint: remove something"


def test_an_error_of_another_class_says_the_same():
    error = ShapeError("Slice.stop", "must be at most 3", "`4`", "cut less", "c.yaml:7")
    other = ConfigError(**error.fields)
    assert str(other) == str(error) == "c.yaml:7: `Slice.stop` must be at most 3, got `4`\nhint: cut less"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, errors.FastbpError)], ids=named)
def test_fields_are_pickled(cls, protocol):
    fields = {"where": "a\x07", "must": "must", "got": "`b`", "hint": "c", "place": "d:1"}
    error = make(cls).at(**fields)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert again.fields == error.fields == {**fields, "where": "a\\x07"}
    assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
    assert vars(again) == vars(error)
    assert str(again.at(place=None)) == "`a\\x07` must, got `b`\nhint: c"


@pytest.mark.parametrize("field", ["where", "must", "got", "hint", "place"])
def test_no_value_makes_a_line_of_its_own(field):
    fields = {"where": "a", "must": "must", field: "b\nhint: c\x1b"}
    error = ConfigError(**fields)
    assert getattr(error, field) == "b\\nhint: c\\x1b"
    assert str(error).count("\n") == (field == "hint")
    assert getattr(error.at(**{field: "\n"}), field) == "\\n"


def with_hints(sources):
    """Those that put a hint into a sentence, in which it would be no line of its own."""
    return [name for name, text in sources.items() if re.search(r"""(\\n|["'])hint: """, text)]


def test_hints_are_fields():
    home = Path(errors.__file__)
    files = [file for file in home.parent.rglob("*.py") if file != home]
    assert with_hints({str(file): file.read_text(encoding="utf-8") for file in files}) == []
    bad = {"a": 'raise DataError(f"`x` must be 1\\nhint: {y}")', "b": "hint = f'hint: {y}'", "c": 'hint="see y"'}
    assert with_hints(bad) == ["a", "b"]
