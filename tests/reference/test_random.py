"""Random numbers against published vectors and scalar loops."""

import math

import numpy as np
import pytest

from fastbp import reference
from tests.reference.scalar import scalar_mix, scalar_permutation, scalar_philox

M32 = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((M32, M32, M32, M32), (M32, M32), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_vectors_published_with_random123(counter, key, expected):
    assert tuple(reference.philox4x32(counter, key).tolist()) == expected
    assert tuple(scalar_philox(list(counter), key[0] + 2**32 * key[1])) == expected


def test_philox_of_many_counters_is_philox_of_each(rng):
    counters = rng.integers(0, 2**32, (3, 5, 4))
    words = reference.philox4x32(counters, (7, 2**31 + 5))
    assert words.dtype == np.uint32
    for at in np.ndindex(3, 5):
        assert words[at].tolist() == scalar_philox(counters[at].tolist(), 7 + 2**32 * (2**31 + 5))


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 9, 2**64 - 1])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6, 97, 1000])
def test_a_permutation_is_the_one_a_scalar_loop_makes(n, seed):
    order = reference.permutation(n, seed, epoch=3)
    assert order.tolist() == scalar_permutation(n, seed, 3)
    assert sorted(order.tolist()) == list(range(n))


def test_permutations_differ_between_epochs_and_seeds():
    orders = {tuple(reference.permutation(50, seed, epoch)) for seed in (0, 1, 2**32) for epoch in range(4)}
    assert len(orders) == 12


def test_every_order_of_three_rows_is_equally_likely():
    orders = [tuple(reference.permutation(3, 5, epoch)) for epoch in range(1200)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert max(abs(count - 200) for count in counts) < 5 * math.sqrt(200)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_init_matches_the_formula_in_python_floats(dtype):
    W = reference.uniform_init((3, 7), 0.25, seed=2**40 + 1, tensor=6, dtype=dtype)
    words = [scalar_philox([j // 4, 0, 6, 0], 2**40 + 1)[j % 4] for j in range(21)]
    expected = [(2 * ((word + 0.5) / 2**32) - 1) * 0.25 for word in words]
    assert W.dtype == dtype
    assert W.ravel().tolist() == np.array(expected, dtype).tolist()


def test_a_linear_layer_starts_uniform_within_one_over_root_fan_in():
    _, W, b = reference.linear_init(400, 50, node=2)
    assert np.array_equal(W, reference.uniform_init((400, 50), 0.05, 0, tensor=4))
    assert np.array_equal(b, reference.uniform_init((50,), 0.05, 0, tensor=5))
    assert 0.0499 < np.abs(W).max() <= np.float32(0.05)
    assert abs(W.std() - 0.05 / math.sqrt(3)) < 2e-4
    assert abs(W.mean()) < 5 * W.std() / math.sqrt(W.size)


@pytest.mark.parametrize("step", [0, 2**32 + 3])
def test_a_dropout_mask_is_the_one_a_scalar_loop_makes(step):
    seed, node, p = 2**33 + 17, 4, 0.3
    k0, k1, _, _ = scalar_philox([step % 2**32, step // 2**32, node, 2], seed)
    draws = [[scalar_mix(scalar_mix(r ^ k0) ^ k1 ^ c) for c in range(19)] for r in range(11)]
    kept = reference.dropout_mask(11, 19, p, seed, step, node)
    assert kept.tolist() == [[u >= round(p * 2**32) for u in row] for row in draws]
    assert 0 < kept.sum() < kept.size


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_one_minus_p_and_preserves_the_mean(p):
    kept = reference.dropout_mask(400, 500, p, seed=1, step=7, node=2)
    deviation = math.sqrt(p * (1 - p) / kept.size)
    assert abs(kept.mean() - (1 - p)) < 4 * deviation
    for axis in (0, 1):
        of_one_line = math.sqrt(p * (1 - p) / kept.shape[axis])
        assert np.abs(kept.mean(axis=axis) - (1 - p)).max() < 5.5 * of_one_line
    y = reference.dropout_forward(np.ones((400, 500)), kept, p)
    assert abs(y.mean() - 1) < 4 * deviation / (1 - p)


def test_dropout_masks_differ_between_steps_layers_and_seeds_and_not_between_batch_sizes():
    mask = reference.dropout_mask(8, 16, 0.5, seed=0, step=0, node=1)
    for change in ({"seed": 2**32}, {"step": 1}, {"node": 3}):
        other = reference.dropout_mask(8, 16, 0.5, **{"seed": 0, "step": 0, "node": 1, **change})
        assert 30 < np.sum(mask != other) < 98
    assert np.array_equal(reference.dropout_mask(3, 5, 0.5, 0, 0, 1), mask[:3, :5])


def test_dropout_of_probability_zero_changes_nothing():
    assert reference.dropout_mask(40, 50, 0.0, seed=0, step=0, node=0).all()
