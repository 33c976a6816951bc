"""Predicted numbers that stay between the least and the greatest of the training rows."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.config.schema import Data, Split
from fastbp.data.columns import Column
from fastbp.data.frame import Frame
from fastbp.data.outputs import Outputs
from fastbp.data.prepare import prepare
from fastbp.data.recipe import Recipe
from fastbp.data.stored import Stored
from fastbp.data.transforms import Transform
from fastbp.errors import CheckpointError

Y = np.array([[2.0, 100.0], [6.0, 900.0], [4.0, 400.0]])
Z = np.array([[-9.0, 0.0], [0.25, 9.0], [9.0, -9.0], [np.nan, 0.5]])


def outputs(scaled=True, clamped=True, transforms=("none", "sqrt")):
    columns = {name: Column(name, Y[:, i]) for i, name in enumerate("ab")}
    found = Outputs("numbers", ["a", "b"], transforms=[Transform(name) for name in transforms])
    found.fit(Frame(None, columns, "t"), scaled, clamped)
    return found


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("transforms", [("none", "none"), ("none", "sqrt")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_stay_between_those_of_training_rows(scaled, transforms, dtype):
    free, clamped = (outputs(scaled, one, transforms) for one in (False, True))
    z = Z.astype(dtype)
    must = np.clip(free.unscaled(z), Y.min(0), Y.max(0))
    assert free.unscaled(z)[2, 0] > 6.0 or not scaled
    assert clamped.unscaled(z).dtype == free.unscaled(z).dtype
    np.testing.assert_array_equal(clamped.unscaled(z), must)
    np.testing.assert_array_equal(clamped.back(z), np.clip(free.back(z), Y.min(0), Y.max(0)))


def test_what_stands_behind_the_numbers_is_no_number():
    more = np.hstack([Z, 1e9 * np.ones((4, 2))])
    assert outputs().back(more)[:, 2:].tolist() == more[:, 2:].tolist()


def test_a_slope_is_0_beyond_and_as_before_between():
    free, clamped, z = outputs(clamped=False), outputs(), Z[:3]
    beyond = free.back(z) != clamped.back(z)
    assert 0 < beyond.sum() < beyond.size
    np.testing.assert_array_equal(clamped.slopes(z), np.where(beyond, 0.0, free.slopes(z)))


def test_a_file_keeps_both_ends():
    found = Outputs.from_data(Stored(outputs().to_data(), "outputs"))
    assert (found.low.tolist(), found.high.tolist()) == ([2.0, 100.0], [6.0, 900.0])
    assert "low" not in outputs(clamped=False).to_data()
    assert len(Outputs.from_data(Stored(outputs(clamped=False).to_data(), "outputs")).low) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": [9.0, 0.0]}, "`outputs.low` must be at most `outputs.high`, of numbers, got a list"),
        ({"low": [0.0]}, "`outputs.low` must have 2 numbers, got 1"),
        ({"high": None}, "`outputs.low` must be at most `outputs.high`, of numbers, got a list"),
    ],
)
def test_a_file_with_other_ends_is_refused(change, message):
    with pytest.raises(CheckpointError) as error:
        Outputs.from_data(Stored({**outputs().to_data(), **change}, "outputs"))
    assert str(error.value) == message


def test_the_rows_that_train_say_between_what(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y,part\n" + "".join(f"{i},{i * i},{'train' if 2 < i < 7 else 'test'}\n" for i in range(10)))
    data = Data(path=str(path), target="y", task="numbers", clamp_target=True, split=Split(column="part"))
    recipe = prepare(data, 0, "float64").recipe
    assert (recipe.outputs.low.tolist(), recipe.outputs.high.tolist()) == ([9.0], [36.0])
    again = Recipe.from_data(recipe.to_data())
    assert again.predictions(np.array([[-50.0], [50.0]]))["y"].tolist() == [9.0, 36.0]


def test_an_estimator_clamps_what_it_predicts():
    sklearn = pytest.importorskip("fastbp.sklearn")
    X = np.linspace(-1.0, 1.0, 60)[:, None]
    words = {"random_state": 0, "epochs": 30, "activation": fb.Identity()}
    free, clamped = (sklearn.MLPRegressor(clamp_target=one, **words).fit(X, 3.0 * X[:, 0]) for one in (False, True))
    far = np.array([[-5.0], [0.1], [5.0]])
    assert free.predict(far)[2] > 3.0
    np.testing.assert_array_equal(clamped.predict(far), np.clip(free.predict(far), -3.0, 3.0))
