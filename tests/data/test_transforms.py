"""Transforms of numbers to predict: there and back, their slopes, and what they refuse."""

import json
from statistics import NormalDist

import numpy as np
import pytest

from fastbp.data.frame import Column, Frame
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.data.outputs import Outputs
from fastbp.data.recipe import Recipe
from fastbp.data.transforms import TRANSFORMS, Transform
from fastbp.errors import CheckpointError, DataError

FORMULAS = {"none": lambda y: y, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt}
PRICES = np.exp(np.random.default_rng(0).normal(3.0, 2.0, 5000))


def table(**columns):
    found = {name: Column(name, np.array(values, np.float64)) for name, values in columns.items()}
    return Frame(None, found, "t.csv", np.arange(len(next(iter(columns.values())))) + 2)


def fitted(frame, transforms, scaled=True):
    outputs = Outputs("numbers", list(transforms), transforms=[Transform(name) for name in transforms.values()])
    outputs.fit(frame, scaled)
    return outputs


def recipe(outputs, loss):
    inputs = Inputs([Numbers("y", "none", "mean")])
    inputs.fit(table(y=[0.0, 1.0]))
    return Recipe(inputs, outputs, loss)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_network_is_trained_on_the_standardised_transform(name):
    u = FORMULAS[name](PRICES)
    found = fitted(table(y=PRICES), {"y": name}).targets(table(y=PRICES), np.float64)
    np.testing.assert_allclose(found[:, 0], (u - u.mean()) / u.std(), rtol=0, atol=1e-13)


def test_log1p_is_exact_near_zero():
    tiny = np.array([1e-300, 1e-18, 1e-9, -1e-9, 0.5])
    np.testing.assert_allclose(Transform("log1p").forward(tiny), np.log1p(tiny), rtol=4e-16)


def test_quantiles_are_those_of_a_normal_distribution():
    outputs = fitted(table(y=PRICES), {"y": "quantile"}, scaled=False)
    ranks = (np.argsort(np.argsort(PRICES)) + 0.5) / len(PRICES)
    inner = (ranks > 0.02) & (ranks < 0.98)
    found = outputs.targets(table(y=PRICES), np.float64)[:, 0]
    wanted = [NormalDist().inv_cdf(rank) for rank in ranks[inner]]
    np.testing.assert_allclose(found[inner], wanted, atol=0.02)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_predictions_come_back_to_the_units_of_the_table(name):
    outputs = fitted(table(y=PRICES), {"y": name})
    back = outputs.unscaled(outputs.targets(table(y=PRICES), np.float64))
    np.testing.assert_allclose(back[:, 0], PRICES, rtol=1e-12, atol=1e-12 * PRICES.std())
    assert (outputs.back(outputs.targets(table(y=PRICES), np.float64)) == back).all()


def test_one_of_several_targets_is_transformed():
    frame = table(price=PRICES, rooms=np.sqrt(PRICES))
    outputs = fitted(frame, {"price": "log", "rooms": "none"})
    z = outputs.targets(frame, np.float64)
    log = np.log(PRICES)
    np.testing.assert_allclose(z[:, 0], (log - log.mean()) / log.std(), atol=1e-13)
    rooms = np.sqrt(PRICES)
    np.testing.assert_allclose(z[:, 1], (rooms - rooms.mean()) / rooms.std(), atol=1e-13)
    np.testing.assert_allclose(outputs.unscaled(z), np.stack([PRICES, rooms], 1), rtol=1e-12)


def test_what_a_root_cannot_be_is_nothing():
    assert Transform("sqrt").back(np.array([-3.0, 2.0])).tolist() == [0.0, 4.0]


def test_quantiles_stay_within_the_training_rows():
    outputs = fitted(table(y=[1.0, 2.0, 5.0]), {"y": "quantile"}, scaled=False)
    assert outputs.unscaled(np.array([[-9.0], [0.0], [9.0]])).tolist() == [[1.0], [2.0], [5.0]]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_slopes_are_differences_of_predictions(name):
    outputs = fitted(table(y=PRICES), {"y": name})
    z = np.linspace(-1.5, 2.5, 41)[:, None] + 1e-3
    h = 1e-7
    differences = (outputs.unscaled(z + h) - outputs.unscaled(z - h)) / (2 * h)
    np.testing.assert_allclose(outputs.slopes(z), differences, rtol=1e-5, atol=1e-8)


def test_slopes_are_zero_where_predictions_are_flat():
    quantile = Transform("quantile")
    quantile.fit(np.array([1.0, 2.0, 4.0]))
    assert quantile.slope(np.array([-9.0, 9.0])).tolist() == [0.0, 0.0]
    assert Transform("sqrt").slope(np.array([-2.0, 3.0])).tolist() == [0.0, 6.0]
    quantile.fit(np.array([3.0, 3.0]))
    assert quantile.slope(np.array([0.0])).tolist() == [0.0]
    assert quantile.back(quantile.forward(np.array([3.0]))).tolist() == [3.0]


@pytest.mark.parametrize(
    ("name", "values", "wanted"),
    [
        (
            "log",
            [2.0, 0.0],
            "t.csv:3: target `y` must be above 0 for the transform `log`, got `0`\n"
            "hint: `data.target_transform` may be `log1p`, which takes numbers above -1, or `quantile`, which"
            " takes all",
        ),
        (
            "log",
            [2.0, 1.0, -1234.5678],
            "t.csv:4: target `y` must be above 0 for the transform `log`, got `-1234.5678`\n"
            "hint: `data.target_transform` may be `quantile`, which takes all",
        ),
        (
            "log1p",
            [-0.5, -1.0],
            "t.csv:3: target `y` must be above -1 for the transform `log1p`, got `-1`\n"
            "hint: `data.target_transform` may be `quantile`, which takes all",
        ),
        (
            "sqrt",
            [0.0, -0.5],
            "t.csv:3: target `y` must be at least 0 for the transform `sqrt`, got `-0.5`\n"
            "hint: `data.target_transform` may be `log1p`, which takes numbers above -1, or `quantile`, which"
            " takes all",
        ),
    ],
)
def test_numbers_outside_the_domain_are_refused_in_training_and_later(name, values, wanted):
    with pytest.raises(DataError) as caught:
        fitted(table(y=values), {"y": name})
    assert str(caught.value) == wanted
    outputs = fitted(table(y=[1.0, 2.0]), {"y": name})
    with pytest.raises(DataError) as caught:
        outputs.targets(table(y=values), np.float32)
    assert str(caught.value) == wanted


def test_the_ends_of_the_domain_are_taken():
    assert Transform("sqrt").forward(np.zeros(1)).tolist() == [0.0]
    fitted(table(y=[0.0, 1.0]), {"y": "sqrt"})
    fitted(table(y=[np.nextafter(-1.0, 0.0), 1.0]), {"y": "log1p"})
    fitted(table(y=[5e-324, 1.0]), {"y": "log"})


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_goes_through_json_bit_for_bit(name):
    outputs = fitted(table(y=PRICES), {"y": name})
    data = json.loads(json.dumps(recipe(outputs, "mse").to_data()))
    assert ("transforms" in data["outputs"]) == (name != "none")  # files without one are as they always were
    again = Recipe.from_data(data)
    assert json.dumps(again.to_data()) == json.dumps(data)
    z = outputs.targets(table(y=PRICES), np.float32)
    assert again.outputs.targets(table(y=PRICES), np.float32).tobytes() == z.tobytes()
    assert again.predictions(z)["y"].tobytes() == recipe(outputs, "mse").predictions(z)["y"].tobytes()


@pytest.mark.parametrize(
    ("damage", "wanted"),
    [
        (lambda t: t.append(t[0]), "`outputs.transforms` must have 1 transform, got a list"),
        (
            lambda t: t[0].update(name="exp"),
            "`outputs.transforms[0].name` must be one of `none`, `log`, `log1p`, `sqrt`, `quantile`, got `exp`",
        ),
        (
            lambda t: t[0]["knots"].reverse(),
            "`outputs.transforms[0].knots` must be rising numbers where `name` is `quantile`, and empty elsewhere,"
            " got a list",
        ),
        (
            lambda t: t[0].update(knots=[]),
            "`outputs.transforms[0].knots` must be rising numbers where `name` is `quantile`, and empty elsewhere,"
            " got an empty list",
        ),
    ],
    ids=["two", "unknown", "falling", "none"],
)
def test_damaged_transforms_are_refused(damage, wanted):
    data = recipe(fitted(table(y=PRICES), {"y": "quantile"}), "mse").to_data()
    damage(data["outputs"]["transforms"])
    with pytest.raises(CheckpointError) as caught:
        Recipe.from_data(data)
    assert str(caught.value) == wanted


def test_deviations_of_transformed_numbers_are_two_ends():
    frame = table(price=PRICES, rooms=np.sqrt(PRICES))
    outputs = fitted(frame, {"price": "log", "rooms": "none"})
    raw = np.array([[0.5, 0.5, np.log(4.0), np.log(0.25)]])
    found = recipe(outputs, "gaussian_nll").predictions(raw)
    assert list(found) == ["price", "rooms", "price low", "price high", "rooms deviation"]
    center, spread = np.log(PRICES).mean(), np.log(PRICES).std()
    wanted = [np.exp(center + z * spread) for z in (0.5, 0.5 - 2.0, 0.5 + 2.0)]
    np.testing.assert_allclose([found["price"][0], found["price low"][0], found["price high"][0]], wanted, rtol=1e-12)
    np.testing.assert_allclose(found["rooms deviation"][0], 0.5 * np.sqrt(PRICES).std(), rtol=1e-12)


def test_outputs_behind_the_numbers_stay():
    outputs = fitted(table(y=PRICES), {"y": "log"})
    raw = np.array([[0.5, -2.0]], np.float32)
    assert outputs.back(raw).shape == (1, 2)
    assert outputs.back(raw)[0, 1] == -2.0
    assert outputs.back(raw)[0, 0] == outputs.unscaled(raw[:, :1])[0, 0]
