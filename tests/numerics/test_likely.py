"""Probabilities from IEEE arithmetic alone: near enough to the truth, and the same bits as ever."""

import numpy as np
import pytest

from fastbp.numerics import likely

RNG = np.random.default_rng(3)
Z = np.concatenate([RNG.normal(0.0, scale, (50, 5)) for scale in (0.1, 3.0, 200.0)])
NAMES = ("softmax", "log_softmax", "sigmoid", "log_sigmoid")


def truths(mp, name, z):
    if name.endswith("softmax"):
        e = [mp.exp(v) for v in z]
        found = [v / mp.fsum(e) for v in e]
    else:
        found = [1 / (1 + mp.exp(-mp.mpf(v))) for v in z]
    return [mp.log(p) for p in found] if name.startswith("log") else found


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_arithmetic_in_many_digits(name):
    mp = pytest.importorskip("mpmath").mp
    found = getattr(likely, name)(Z)
    with mp.workprec(2000):
        for z, row in zip(Z.tolist(), found.tolist(), strict=True):
            for one, truth in zip(row, truths(mp, name, z), strict=True):
                lost = 2e-16 * (max(z) - min(z)) if name.endswith("softmax") else 0.0  # as max z is taken off
                near = (1e-15 + lost) * (1 if name == "log_softmax" else abs(truth)) + 5e-324
                assert abs(mp.mpf(one) - truth) <= near, z


def test_columns_are_added_from_the_first_to_the_last():
    z = RNG.normal(size=(3, 300))
    p = likely.softmax(z)
    e = likely.exp(z - z.max(axis=1, keepdims=True))
    for row in range(3):
        total = 0.0
        for value in e[row].tolist():
            total += value
        assert p[row].tolist() == (e[row] / total).tolist()
    assert np.log(p) == pytest.approx(likely.log_softmax(z), abs=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_neighbours_nor_on_its_layout(name):
    function = getattr(likely, name)
    whole = function(Z)
    assert whole[7::3].tobytes() == function(Z[7::3]).tobytes()
    assert whole.tobytes() == np.ascontiguousarray(function(np.asfortranarray(Z))).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_in_its_row_or_element(name):
    found = getattr(likely, name)([[1.0, np.nan], [0.0, 0.0]])
    assert np.isnan(found[0, 1])
    assert np.isnan(found[0, 0]) == name.endswith("softmax")
    assert np.isfinite(found[1]).all()


GOLDEN = {
    "softmax": "0x1.540aec566ea83p-4 0x1.e6d95dad8351cp-10 0x1.d48b35c65b695p-1",
    "log_softmax": "-0x1.3e8d8f4bc6ccep+1 -0x1.9279fad91699ap+2 -0x1.6b4b83127335ap-4",
    "sigmoid": "0x1.0cca12729afb8p-1 0x1.8b4c0ffc14fbfp-6 0x1.d9291ddb596f8p-1",
    "log_sigmoid": "-0x1.49ee5be955d1cp-1 -0x1.dcb9e347e162dp+1 -0x1.4321e1cc6d13fp-4",
}


@pytest.mark.parametrize("name", NAMES)
def test_bits_are_those_of_every_machine(name):
    found = getattr(likely, name)([[0.1, -3.7, 2.5]])
    assert " ".join(v.hex() for v in found[0].tolist()) == GOLDEN[name]
