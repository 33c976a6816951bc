"""Whole numbers that name things, by what they tell of a target beside what their neighbours tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastbp.data.goal import Goal
from fastbp.data.names import PRIORS, Groups, Told, names_among, numbered, ranks, targets

Array = Any
ROWS = 3000


def amounts(*columns: Array) -> Goal:
    return Goal(np.stack(columns, axis=1), None)


def classes(y: Array) -> Goal:
    """Whether an amount is among the highest, the lowest or between."""
    codes = np.searchsorted(np.quantile(y, [0.3, 0.7]), y)
    return Goal(None, codes, ("a", "b", "c"), tuple(np.bincount(codes).tolist()))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_errors_are_those_of_means_row_by_row(rng):
    """Of m other rows each way, of which the last number beside may count in part."""
    x = rng.choice([2.0, 3.0, 5.0, 9.0, 11.0, 30.0], 40, p=[0.1, 0.3, 0.1, 0.05, 0.15, 0.3])
    y = rng.normal(size=(40, 2))
    values, told = np.unique(x), Told(Groups(x), y)
    for k in PRIORS:
        same, beside = np.zeros(len(values)), np.zeros(len(values))
        for i, value in enumerate(x):
            at, m = np.searchsorted(values, value), (x == value).sum() - 1
            others = (x == value) & (np.arange(40) != i)
            same[at] += np.square(y[i] - y[others].sum(axis=0) / max(m + k, 1.0)).sum()
            below, above = (x < value).sum(), (x > value).sum()
            left = min(m / 2, below)
            right = min(m - left, above)
            left = min(m - right, below)
            total = np.zeros(2)
            for side, count in ((values[values < value][::-1], left), (values[values > value], right)):
                for other in side:
                    part = min(1.0, count / (x == other).sum())
                    total += part * y[x == other].sum(axis=0)
                    count -= part * (x == other).sum()
            beside[at] += np.square(y[i] - total / max(left + right + k, 1.0)).sum()
        np.testing.assert_allclose(told.by_same(k), same, rtol=1e-12)
        np.testing.assert_allclose(told.by_neighbours(k), beside, rtol=1e-12)


def test_what_is_left_is_what_means_of_other_rows_with_the_value_do_not_tell(rng):
    x, own = rng.integers(0, 40, ROWS), 2.0 * rng.normal(size=40)
    noise = rng.normal(size=(ROWS, 1))
    rest = Told(Groups(x), own[x][:, None] + noise).rest()
    assert np.sqrt(np.mean(np.square(rest - noise))) < 0.2


SMOOTH: dict[str, Callable[[Any], tuple[Array, Array]]] = {
    "ages": lambda r: (x := np.clip(r.normal(40, 15, ROWS).round(), 18, 95), -np.square(x - 50.0) / 200.0),
    "a step": lambda r: (x := r.integers(0, 100, ROWS), 2.0 * (x >= 37)),
    "hours": lambda r: (x := r.integers(0, 24, ROWS), 2.0 * np.sin(x / 12.0 * np.pi)),
    "years that drift": lambda r: (x := 1950 + r.integers(0, 60, ROWS), np.cumsum(r.normal(size=60))[x - 1950]),
    "feet in tens": lambda r: (x := 10.0 * (np.exp(r.normal(7.5, 0.4, ROWS)) / 10.0).round(), 3.0 * np.log(x)),
    "counts": lambda r: (x := r.negative_binomial(2, 0.05, ROWS), np.log1p(x)),
    "mostly 0": lambda r: (x := np.where(r.random(ROWS) < 0.6, 0, r.poisson(40, ROWS)), 2.0 * (x == 0)),
    "nothing": lambda r: (r.integers(0, 100, ROWS), np.zeros(ROWS)),
}


@pytest.mark.parametrize("kind", SMOOTH)
@pytest.mark.parametrize("made", [amounts, classes])
def test_amounts_are_no_names(rng, kind, made):
    x, y = SMOOTH[kind](rng)
    assert names_among({"x": x.astype(float)}, [], made(y + rng.normal(size=ROWS))) == {}


def test_numbers_that_tell_nothing_are_no_names_by_chance():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.integers(0, 25, 600).astype(float)
        assert names_among({"x": x}, [], amounts(rng.normal(size=600))) == {}


def test_numbers_that_tell_little_however_certain_are_no_names(rng):
    x, own = rng.integers(0, 60, 120_000), rng.choice([-1.0, 1.0], 60)
    for effect, found in ((0.04, []), (0.07, ["x"])):
        y = effect * own[x] + rng.normal(size=len(x))
        assert list(names_among({"x": x.astype(float)}, [], amounts(y))) == found


@pytest.mark.parametrize("drift", [0.0, 1.0])
@pytest.mark.parametrize("made", [amounts, classes, lambda y: amounts(y, -y), lambda y: amounts(np.exp(9.0 * y))])
def test_numbers_of_things_are_names_though_they_drift(rng, made, drift):
    x, own = rng.integers(1, 101, ROWS), rng.normal(size=101)
    y = own[x] + drift * x / 100.0 + rng.normal(size=ROWS)
    ((name, (same, beside)),) = names_among({"x": x.astype(float)}, [], made(y)).items()
    assert name == "x"
    assert 0.1 < same < 0.7
    assert -0.1 < beside < same / 2.0


def test_what_rows_of_the_same_thing_share_is_no_name_beside_its_number(rng):
    """As the ages of patients, by which alone they would be told apart."""
    patient, own = rng.integers(0, 100, ROWS), rng.normal(size=100)
    age, y = rng.integers(20, 80, 100)[patient], amounts(own[patient] + rng.normal(size=ROWS))
    patient, age = patient.astype(float), age.astype(float)
    assert list(names_among({"age": age}, [], y)) == ["age"]
    assert list(names_among({"age": age, "patient": patient}, [], y)) == ["patient"]
    assert names_among({"age": age}, [np.array([f"p{i:.0f}" for i in patient])], y) == {}


def test_each_of_several_names_is_found(rng):
    a, b = rng.integers(0, 60, (2, ROWS))
    of_a, of_b = rng.normal(size=(2, 60))
    y = amounts(of_a[a] + 2.0 * of_b[b] + rng.normal(size=ROWS))
    assert list(names_among({"a": a.astype(float), "b": b.astype(float)}, [], y)) == ["b", "a"]


def test_rows_without_a_target_and_missing_numbers_are_no_trouble(rng):
    x, own = rng.integers(1, 101, ROWS).astype(float), rng.normal(size=101)
    y = own[x.astype(int)] + rng.normal(size=ROWS)
    gone = rng.random(ROWS) < 0.1
    assert list(names_among({"x": np.where(gone, np.nan, x)}, [], amounts(y))) == ["x"]
    assert list(names_among({"x": x}, [], amounts(np.where(gone, np.nan, y)))) == ["x"]
    goal = classes(y)
    goal.codes[gone] = -1
    assert list(names_among({"x": x}, [], goal)) == ["x"]
    assert names_among({"x": x}, [], amounts(np.full(ROWS, np.nan))) == {}


def test_numbers_that_are_few_or_rare_or_far_apart_or_no_whole_ones_are_not_asked():
    x = np.repeat(np.arange(21.0), 5)
    assert numbered(x)
    assert numbered(np.append(x, np.nan))
    assert not numbered(x[:100])
    assert not numbered(x[:-1])
    assert numbered(20.0 * x)
    assert not numbered(21.0 * x)
    assert not numbered(x / 2.0)
    assert not numbered(np.append(x, np.inf))
    assert not numbered(np.full(9, np.nan))


def test_targets_are_ranks_or_columns_of_classes_around_zero(rng):
    np.testing.assert_allclose(ranks(np.array([5.0, -1e9, 5.0, 7.0])), [0.5, 0.125, 0.5, 0.875])
    there, y = targets(classes(rng.normal(size=50)))
    assert there.all()
    assert y.shape == (50, 3)
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=1e-15)
