"""Columns of scale `noisy_quantile`: against scikit-learn, stored and read again, in files and estimators."""

from __future__ import annotations

import json
from statistics import NormalDist

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.data.frame import Frame
from fastbp.data.noisy import NOISE, SEED, noisy_knots, noisy_levels
from fastbp.data.numbers import Numbers
from fastbp.data.stored import Stored
from fastbp.numerics.normal import normal_quantile, normals
from fastbp.sklearn import MLPRegressor


def column(rows: int) -> np.ndarray:
    """Heavy tails, many equal numbers, and rounded ones."""
    rng = np.random.default_rng(rows)
    parts = [rng.lognormal(size=rows // 2), np.zeros(rows // 4), np.round(rng.normal(size=rows), 1)]
    return rng.permutation(np.concatenate(parts)[:rows])


def fitted(x: np.ndarray, missing: str = "median") -> Numbers:
    numbers = Numbers(None, "noisy_quantile", missing)
    numbers.fit(Frame(matrix=x, origin="rows", rows=len(x)))
    return numbers


def encoded(numbers: Numbers, x: np.ndarray) -> np.ndarray:
    out = np.zeros((len(x), numbers.width))
    numbers.apply(Frame(matrix=x, origin="rows", rows=len(x)), out)
    return out


@pytest.mark.parametrize("p", [1e-300, 1e-20, 1e-7, 0.01, 0.07, 0.0751, 0.3, 0.5, 0.7, 0.93, 0.999, 1 - 1e-15])
def test_the_inverse_of_the_normal_distribution_is_that_of_python(p):
    assert float(normal_quantile(p)) == pytest.approx(NormalDist().inv_cdf(p), rel=1e-15, abs=1e-15)


@pytest.mark.parametrize("rows", [5, 100, 300, 3000, 40_000])
def test_levels_are_those_of_scikit_learn(rows):
    kind = pytest.importorskip("sklearn.preprocessing").QuantileTransformer
    x, new = column(rows), np.linspace(-5.0, 20.0, 999)
    count = max(min(rows // 30, 1000), 10)
    theirs = kind(n_quantiles=min(count, rows), output_distribution="normal", subsample=10**9)
    if count > rows:
        pytest.skip("scikit-learn takes no more quantiles than rows")
    theirs.fit((x + NOISE * normals(rows, SEED, 2))[:, None])
    knots = noisy_knots(x, 2, rows)
    for given in (x, new):
        np.testing.assert_allclose(noisy_levels(given, knots), theirs.transform(given[:, None])[:, 0], atol=1e-8)


def test_few_rows_have_ten_quantiles():
    assert len(noisy_knots(np.arange(3.0), 0, 3)) == 10
    assert len(noisy_knots(np.arange(900.0), 0, 900)) == 30
    assert len(noisy_knots(np.arange(60_000.0), 0, 60_000)) == 1000


def test_each_column_has_noise_of_its_own_and_the_same_again():
    """By its place in a matrix, by its name in a table."""
    x = np.repeat(column(600)[:, None], 2, axis=1)
    one, other = fitted(x), fitted(x)
    assert np.array_equal(one.knots, other.knots)
    assert not np.array_equal(one.knots[:, 0], one.knots[:, 1])
    assert np.abs(one.knots[:, 0] - one.knots[:, 1]).max() < 1e-3


def test_missing_numbers_are_no_part_of_the_distribution():
    x = np.random.default_rng(0).lognormal(size=(900, 1))
    holes = x.copy()
    holes[::3] = np.nan
    found = encoded(fitted(holes), holes)
    assert np.abs(found[::3]).max() < 0.05
    rest = np.delete(holes, np.s_[::3], axis=0)
    knots = noisy_knots(rest[:, 0], 0, len(holes))
    assert np.array_equal(np.delete(found, np.s_[::3], axis=0)[:, 0], noisy_levels(rest[:, 0], knots))


def test_a_column_of_equal_numbers_is_zeros():
    x = np.full((50, 1), 3.0)
    assert not encoded(fitted(x), np.array([[3.0], [4.0], [-1e9]])).any()


def test_what_was_fitted_is_stored():
    x = np.stack([column(300), column(300)[::-1]], axis=1)
    numbers = fitted(x)
    data = json.loads(json.dumps({"kind": "numbers", **numbers.to_data()}))
    again = Numbers.from_data(Stored(data, "inputs"))
    assert np.array_equal(encoded(again, x), encoded(numbers, x))


def test_files_and_estimators_have_it(tmp_path, capsys):
    x = np.stack([column(400), column(400)[::-1]], axis=1)
    y = x[:, 0] - x[:, 1]
    rows = "".join(f"{a!r},{b!r},{t!r}\n" for (a, b), t in zip(x.tolist(), y.tolist(), strict=True))
    (tmp_path / "t.csv").write_text("a,b,y\n" + rows)
    config = tmp_path / "c.yaml"
    config.write_text(
        f"data: {{path: {tmp_path}/t.csv, target: y, scale: noisy_quantile}}\n"
        f"network: {{hidden: [8]}}\ntrainer: {{loss: mse, epochs: 2}}\nrun: {{folder: {tmp_path}/run}}\n"
    )
    assert main(["train", str(config), "-q"]) == 0
    run = next((tmp_path / "run").iterdir())
    predicted = fb.load(run).predict({"a": x[:, 0], "b": x[:, 1]})
    assert np.isfinite(predicted["y"]).all()
    assert "scale: noisy_quantile" in (run / "config.yaml").read_text()
    model = MLPRegressor(hidden=(8,), scale="noisy_quantile", epochs=2, random_state=0).fit(x, y)
    assert np.isfinite(model.predict(x)).all()
