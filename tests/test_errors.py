"""Whose problem an error is, and which built-in errors catch it."""

import copy
import doctest
import pickle

import pytest

from fastbp import errors

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
    assert doctest.testmod(errors) == doctest.TestResults(failed=0, attempted=8)


@pytest.mark.parametrize("cls", CLASSES, ids=named)
def test_no_message_holds_what_a_terminal_acts_on(cls):
    text = "`\x1b]0;title\x07` must be `a\u202eb`\nx\nhint: \x1b[2J"
    error = cls(text, 3, "2") if cls is errors.DivergedError else cls(text)
    assert str(error) == "`\\x1b]0;title\\x07` must be `a\\u202eb`\\nx\nhint: \\x1b[2J"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_long_message_keeps_its_beginning_and_its_end():
    text = str(errors.DataError(f"column `{'a' * 9000}` must be `b`\nhint: {'c' * 9000}"))
    first, hint = text.split("\n")
    assert len(first) == len(hint) == errors.LONGEST
    assert first.startswith("column `aaa")
    assert first.endswith("aaa` must be `b`")
    assert str(errors.DataError(text)) == text
