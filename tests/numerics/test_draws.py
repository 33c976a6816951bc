"""Draws of settings and rows: against whole numbers of Python and mpmath, each independent of the others."""

import hashlib
from collections import Counter

import mpmath
import numpy as np
import pytest

from fastbp.numerics.draws import below, between, bootstrap, log_between, word
from fastbp.reference.random import philox4x32

NAMES = ["trainer.optimizer.lr", "network.hidden.width", "ä", ""]


def words(counter, seed):
    return [int(one) for one in philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**63 + 5, 2**64 - 1])
@pytest.mark.parametrize("name", NAMES)
def test_a_word_is_that_of_its_counter(seed, name):
    hashed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    for member in (0, 1, 99_999):
        high, low, *_ = words([member, hashed % 2**32, hashed // 2**32, 10], seed)
        assert word(seed, member, name) == high * 2**32 + low


@pytest.mark.parametrize("bits", [0, 1, 2**63 - 1, 2**63, 2**64 - 1, word(3, 1, "a"), word(3, 2, "a")])
def test_a_draw_is_that_of_exact_arithmetic(bits):
    mpmath.mp.prec = 200
    u = (mpmath.mpf(bits // 2**12) + mpmath.mpf(0.5)) / 2**52
    for count in (1, 2, 3, 7, 1000):
        assert below(bits, count) == bits * count // 2**64
    for low, high in ((0.0, 0.5), (-3.0, 4.0), (2.0, 2.0)):
        assert abs(between(bits, low, high) - (low + u * (high - low))) <= 2e-16 * max(abs(low), abs(high))
        assert low <= between(bits, low, high) <= high
    for low, high in ((1e-4, 1e-2), (1e-12, 1e6), (3.0, 3.0)):
        exact = mpmath.exp(mpmath.log(low) + u * (mpmath.log(high) - mpmath.log(low)))
        assert abs(log_between(bits, low, high) / exact - 1) <= 1e-14
        assert low <= log_between(bits, low, high) <= high


def test_the_draws_of_a_seed_stay_what_they_are():
    bits = [word(0, member, "trainer.optimizer.lr") for member in range(3)]
    assert [log_between(one, 1e-4, 1e-2) for one in bits] == [
        0.0027045626426347607,
        0.00076960289291038,
        0.00011114452906911478,
    ]
    assert bootstrap(10, 10, 0, 0, 0).tolist() == [7, 7, 3, 7, 4, 2, 7, 0, 9, 8]


def test_all_values_come_up_as_often():
    drawn = [word(5, member, "x") for member in range(6000)]
    counts = Counter(below(bits, 6) for bits in drawn)
    assert sorted(counts) == list(range(6))
    assert all(abs(count - 1000) < 130 for count in counts.values())  # four and a half deviations
    units = np.array([between(bits, 0.0, 1.0) for bits in drawn])
    assert abs(units.mean() - 0.5) < 0.02
    logs = np.log10([log_between(bits, 1e-4, 1e-2) for bits in drawn])
    assert np.allclose(np.quantile(logs, [0.25, 0.5, 0.75]), [-3.5, -3.0, -2.5], atol=0.05)


def test_names_members_and_seeds_have_draws_of_their_own():
    drawn = [word(seed, member, name) for seed in (0, 1) for member in range(20) for name in NAMES]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(("rows", "count"), [(1, 5), (7, 3), (1000, 1000), (2**20 + 1, 100)])
def test_rows_are_drawn_with_all_put_back(rows, count):
    found = bootstrap(rows, count, 7, 3, 2)
    wanted = [words([i, 3, 2, 11], 7)[0] * rows // 2**32 for i in range(count)]
    assert found.tolist() == wanted
    if count == 1000:
        assert 580 < len(set(wanted)) < 690  # of 1000 rows 632 are drawn


def test_members_and_folds_have_rows_of_their_own():
    found = {tuple(bootstrap(50, 50, 0, member, fold).tolist()) for member in range(5) for fold in range(3)}
    assert len(found) == 15
