"""Targets and predictions: classes by name, labels, and numbers there and back."""

import json

import numpy as np
import pytest

from fastbp.data.frame import Column, Frame
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.data.outputs import Outputs
from fastbp.data.prepare import LOSS_OF
from fastbp.data.recipe import Recipe
from fastbp.errors import DataError

NO_VALUE = "target `y` must have a value\nhint: `data.missing_target: drop` leaves out rows without a target"


def table(origin="t.csv", **columns):
    found = {}
    for name, values in columns.items():
        text = any(isinstance(v, str) for v in values)
        found[name] = Column(name, np.array(values, object if text else np.float64))
    return Frame(None, found, origin, np.arange(len(next(iter(columns.values())))) + 2)


def fitted(frame, task, *columns, scaled=True):
    outputs = Outputs(task, list(columns))
    outputs.fit(frame, scaled)
    return outputs


def message(call, *words):
    with pytest.raises(DataError) as caught:
        call(*words)
    return str(caught.value)


def recipe(outputs, loss):
    inputs = Inputs([Numbers("a", "none", "mean")])
    inputs.fit(table(a=[0.0, 1.0]))
    return Recipe(inputs, outputs, loss)


def test_classes_that_float64_does_not_tell_apart_are_refused():
    found = message(fitted, table(y=[1.0, 2.0**60, 2.0**60]), "classes", "y")
    assert found == (
        "t.csv:3: target `y` must have classes that are texts or below 2⁵³, got `1152921504606846976`\n"
        "hint: a letter in front makes a text of a number"
    )
    assert fitted(table(y=["1152921504606846976", "1152921504606846977"]), "classes", "y").width == 2


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([10, 2, 2, -1], ["-1", "2", "10"]),
        ([0.5, 2, 10, 2], ["0.5", "2", "10"]),
        (["10", "2", "9"], ["2", "9", "10"]),
        (["b", "10", "a", "2"], ["10", "2", "a", "b"]),
    ],
    ids=["whole", "real", "texts of numbers", "mixed"],
)
def test_classes_are_in_the_order_of_their_numbers_or_letters(values, names):
    outputs = fitted(table(y=values), "classes", "y")
    assert outputs.names == names
    assert outputs.width == len(names)
    targets = outputs.targets(table(y=values), np.float32)
    assert targets.dtype == np.int64
    assert [
        float(names[t]) if not isinstance(v, str) else names[t] for t, v in zip(targets, values, strict=True)
    ] == values


def test_targets_that_are_numbers_or_texts_are_the_same_classes():
    outputs = fitted(table(y=[1, 2, 10]), "classes", "y")
    assert outputs.targets(table(y=["10", "1"]), np.float32).tolist() == [2, 0]


def test_numbers_that_are_equal_are_one_class_unless_they_are_codes():
    texts = ["250.0", "x", "250.00", "1e2", "100", "250"]
    outputs = fitted(table(y=texts), "classes", "y")
    assert outputs.names == ["100", "250", "x"]
    assert outputs.targets(table(y=texts), np.float32).tolist() == [1, 2, 1, 0, 0, 1]
    assert outputs.targets(table(y=["2.5e2"]), np.float32).tolist() == [1]
    codes = fitted(table(y=["0250", "x", "250"]), "classes", "y")
    assert codes.names == ["0250", "250", "x"]
    assert codes.targets(table(y=["250", "0250"]), np.float32).tolist() == [1, 0]
    older = Outputs("classes", ["y"], ["1", "1.0", "x"])
    assert older.targets(table(y=["1.0", "1", "1.00", "x"]), np.float32).tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize("task", ["classes", "numbers", "labels"])
def test_a_missing_target_is_refused_with_its_row(task):
    wanted = f"t.csv:4: {NO_VALUE}"
    assert message(fitted, table(y=[0, 1, np.nan]), task, "y") == wanted
    outputs = fitted(table(y=[0, 1]), task, "y")
    assert message(outputs.targets, table(y=[0, 1, np.nan]), np.float32) == wanted


def test_a_missing_class_among_texts_is_refused():
    frame = Frame(None, {"y": Column("y", np.array(["a", None], object))}, "x.npz")
    assert message(fitted, frame, "classes", "y") == f"x.npz: row 1: {NO_VALUE}"


def test_classes_that_cannot_be_learned_are_refused():
    assert message(fitted, table(y=["it's", "it's"]), "classes", "y") == (
        "t.csv: target `y` must have at least two classes, got only `it's`"
    )
    outputs = fitted(table(y=["a", "b"]), "classes", "y")
    assert message(outputs.targets, table("new.csv", y=["a", "c"]), np.float32) == (
        "new.csv:3: target `y` must be a class seen in training, got `c`"
    )


def test_labels_are_zeros_and_ones():
    outputs = fitted(table(a=[0, 1], b=[1, 1]), "labels", "a", "b")
    assert outputs.targets(table(b=[1, 0], a=[0, 1]), np.float64).tolist() == [[0, 1], [1, 0]]
    assert (
        message(outputs.targets, table(a=[0, 1], b=[1, 2]), np.float32) == "t.csv:3: label `b` must be 0 or 1, got `2`"
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("center", [0.0, 1e6, -1e9])
def test_numbers_are_scaled_and_come_back(dtype, center):
    y = np.random.default_rng(0).normal(size=(500, 2)) * (1, 100) + center
    frame = table(u=y[:, 0], v=y[:, 1])
    outputs = fitted(frame, "numbers", "u", "v")
    scaled = outputs.targets(frame, dtype)
    np.testing.assert_allclose(scaled, (y - y.mean(0)) / y.std(0), rtol=1e-6, atol=1e-6)
    back = outputs.unscaled(scaled)
    assert back.dtype == (dtype if center == 0.0 else np.float64)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    assert (np.abs(back - y) <= tolerance * y.std(0) + 4 * np.spacing(np.abs(y))).all()


@pytest.mark.parametrize("size", [1e-50, 1e50])
def test_numbers_that_float32_does_not_hold_come_back(size):
    y = np.random.default_rng(0).normal(size=500) * size
    outputs = fitted(table(y=y), "numbers", "y")
    back = outputs.unscaled(outputs.targets(table(y=y), np.float32))
    np.testing.assert_allclose(back[:, 0], y, rtol=1e-5, atol=1e-6 * size)


def test_numbers_that_are_not_scaled_stay_as_they_are():
    frame = table(y=[3, 5, 100])
    outputs = fitted(frame, "numbers", "y", scaled=False)
    targets = outputs.targets(frame, np.float32)
    assert targets.tolist() == [[3], [5], [100]]
    assert outputs.unscaled(targets) is targets


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1])
def test_a_constant_target_is_zero_and_comes_back(value):
    frame = table(y=[value] * 1000)
    outputs = fitted(frame, "numbers", "y")
    assert not outputs.targets(frame, np.float64).any()
    assert (outputs.unscaled(np.zeros((3, 1))) == value).all()


def test_numbers_that_cannot_be_scaled_are_refused():
    assert message(fitted, table(y=[1, np.inf]), "numbers", "y") == "t.csv:3: target `y` must be finite, got `inf`"
    assert message(fitted, table(y=[1.7e308, -1.7e308]), "numbers", "y") == (
        "t.csv: target `y` must have numbers whose spread is finite, got `1.7e+308`"
    )
    assert message(fitted, table(y=["1", "x7"]), "numbers", "y") == "t.csv:3: column `y` must be a number, got `x7`"
    assert message(fitted, table(y=["1", "not measured"]), "numbers", "y") == (
        "t.csv:3: column `y` must be a number, got `not measured`\n"
        'hint: if that is a missing number, `data.missing_texts: ["not measured"]` has it read so in training,'
        " and `data.missing_target: drop` leaves out rows without a target"
    )


@pytest.mark.parametrize("task", ["classes", "numbers", "labels"])
def test_what_was_learned_goes_through_json_bit_for_bit(task):
    frame = table(y=[0, 1, 1]) if task != "numbers" else table(y=[0.1, 0.7, 1e9])
    outputs = fitted(frame, task, "y")
    data = json.loads(json.dumps(recipe(outputs, LOSS_OF[task]).to_data()))
    again = Recipe.from_data(data)
    assert json.dumps(again.to_data()) == json.dumps(data)
    assert again.outputs.targets(frame, np.float64).tobytes() == outputs.targets(frame, np.float64).tobytes()


def test_predictions_of_classes_have_names_and_probabilities():
    made = recipe(fitted(table(y=["no", "yes", "perhaps"]), "classes", "y"), "cross_entropy")
    raw = np.array([[1.0, 3.0, 2.0], [1000.0, 0.0, -1000.0]], np.float32)
    assert list(made.predictions(raw)) == ["y"]
    found = made.predictions(raw, True)
    assert found["y"].tolist() == ["perhaps", "no"]
    assert list(found) == ["y", "y = no", "y = perhaps", "y = yes"]
    p = np.stack([found[f"y = {n}"] for n in ("no", "perhaps", "yes")], 1)
    np.testing.assert_allclose(p[0], np.exp(raw[0]) / np.exp(raw[0]).sum(), rtol=1e-6)
    assert p[1].tolist() == [1, 0, 0]


def test_one_output_decides_between_two_classes():
    made = recipe(fitted(table(y=["no", "yes"]), "classes", "y"), "cross_entropy")
    found = made.predictions(np.array([[-2.0], [2.0]]), True)
    assert found["y"].tolist() == ["no", "yes"]
    np.testing.assert_allclose(found["y = yes"], 1 / (1 + np.exp([2.0, -2.0])))


def test_predictions_of_labels():
    made = recipe(fitted(table(a=[0, 1], b=[1, 1]), "labels", "a", "b"), "binary_cross_entropy")
    raw = np.array([[-200.0, 0.5], [200.0, -0.5]], np.float32)
    found = made.predictions(raw, True)
    assert found["a"].tolist() == [0, 1]
    assert found["b"].tolist() == [1, 0]
    assert found["a probability"].tolist() == [0, 1]
    np.testing.assert_allclose(found["b probability"], 1 / (1 + np.exp([-0.5, 0.5])), rtol=1e-6)


def test_predictions_of_numbers_are_in_the_units_of_the_table():
    made = recipe(fitted(table(u=[1, 3], v=[10, 10]), "numbers", "u", "v"), "mse")
    found = made.predictions(np.array([[0.0, 0.0], [1.0, 2.0]], np.float32))
    assert found["u"].tolist() == [2, 3]
    assert found["v"].tolist() == [10, 12]


def test_predictions_of_counts_are_exponentials():
    made = recipe(fitted(table(y=[1, 3]), "numbers", "y", scaled=False), "poisson")
    np.testing.assert_allclose(made.predictions(np.array([[0.0], [2.0]]))["y"], np.exp([0.0, 2.0]))


def test_predictions_of_means_and_deviations():
    made = recipe(fitted(table(u=[1, 3], v=[0, 20]), "numbers", "u", "v"), "gaussian_nll")
    found = made.predictions(np.array([[0.5, 0.0, 0.0, np.log(4.0)]], np.float64))
    assert list(found) == ["u", "v", "u deviation", "v deviation"]
    np.testing.assert_allclose([found[n][0] for n in found], [2.5, 10, 1, 20])
