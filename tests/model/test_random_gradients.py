"""A hundred random networks in float64: every derivative against central differences.

Differences are extrapolated (Richardson): with D(h) = (f(h) - f(-h)) / 2h, (4 D(h/2) - D(h)) / 3 is off by O(h⁴). The
step is halved until two such estimates agree; where none do there is a kink close by, and another place is taken. What
the derivative should be has no say in that.
"""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastbp as fb
from fastbp.lowering.registry import OPS
from fastbp.spec.catalogue import LAYERS, LOSSES
from fastbp.spec.losses import Loss
from tests.model.gate_cases import GATE_CASES
from tests.model.random_networks import LOSSES as SOME_LOSSES
from tests.model.random_networks import (
    Array,
    Decks,
    of_layer,
    of_loss,
    random_layers,
    random_loss,
    random_rows,
    random_targets,
)

COUNT, SEED = 100, 2
TOLERANCE = 1e-7  # relative to the largest number of an array, or to the sum of magnitudes along a direction
AGREEMENT = 2e-8  # of two estimates, relative to the same
STEP, HALVINGS = 2e-4, 6
DIRECTIONS, ATTEMPTS = 2, 12


class Case(NamedTuple):
    """A network, data and a loss."""

    layers: list[Any]
    inputs: int
    seed: int
    loss: Loss
    X: Array
    y: Array
    weights: Array | None

    def network(self) -> fb.Network:
        """Every parameter away from its first value, where it may be 0 or 1."""
        rng = np.random.default_rng(self.seed)
        net = fb.Network(self.layers, self.inputs, seed=self.seed, dtype="float64")
        net.flat = net.flat + 0.1 * rng.normal(size=net.flat.size)
        for name, values in net.states.items():
            net.states[name] = 0.7 * values + 0.5 * rng.random(values.shape)
        return net


def random_case(decks: Decks, number: int) -> Case:
    rng, rows = decks.rng, int(decks.rng.integers(6, 20))
    kind, loss, outputs = random_loss(decks, SOME_LOSSES)
    layers, inputs = random_layers(decks, loss, outputs, beyond_torch=True)
    X, y = random_rows(rng, layers, inputs, rows), random_targets(rng, kind, loss, rows, outputs)
    weights = rng.random(rows) + 0.1 if decks.deal("weights", [True, False]) else None
    return Case(layers, inputs, number, loss, X, y, weights)


def random_cases() -> list[Case]:
    decks = Decks(np.random.default_rng(SEED))
    return [random_case(decks, number) for number in range(COUNT)]


CASES = random_cases()
every_case = pytest.mark.parametrize("number", range(COUNT))


def estimates(f: Any) -> Any:
    """Derivatives of f at 0, from larger to smaller steps."""
    coarse = None
    for i in range(HALVINGS):
        h = STEP / 2**i
        fine = (f(h) - f(-h)) / (2 * h)
        if coarse is not None:
            yield (4 * fine - coarse) / 3
        coarse = fine


def slope(f: Any, scale: float) -> Array:
    """The derivative of f at 0, number by number, NaN beside a kink."""
    found = before = None
    for now in estimates(f):
        if before is not None:
            agreed = np.where(np.abs(now - before) <= AGREEMENT * scale, now, np.nan)
            found = agreed if found is None else np.where(np.isnan(found), agreed, found)
            if not np.isnan(found).any():
                break
        before = now
    return np.asarray(found)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@every_case
def test_gradients_of_random_networks_match_central_differences(number, training):
    case, rng = CASES[number], np.random.default_rng(number)
    net = case.network()
    at = net.flat

    def loss_and_gradients():
        return net.loss_and_gradients(case.X, case.y, case.loss, case.weights, training)

    _, gradients = loss_and_gradients()
    gradient = np.concatenate([array.ravel() for array in gradients.values()])

    def compare(ways, what):
        """Along the first of some changes of the parameters that crosses no kink."""
        for way, scale in ways:

            def moved(h, way=way):
                net.flat = at + h * way
                return loss_and_gradients()[0]

            found = slope(moved, scale)
            if not np.isnan(found):
                off = abs(found - gradient @ way)
                assert off <= TOLERANCE * scale, f"{what} is off by {off / scale:.2g}"
                return
        pytest.fail(f"{what} has a kink wherever it was looked at")

    for _ in range(DIRECTIONS):
        ways = rng.normal(size=(ATTEMPTS, at.size)) / np.sqrt(at.size)
        compare([(way, np.abs(gradient * way).sum()) for way in ways], "a direction")
    first = 0
    for name, array in gradients.items():
        flat = np.abs(array).ravel()
        assert flat.max() > 1e-8, f"{name} has no gradient"
        # The largest first, which says most; then any.
        for order in (np.argsort(-flat), rng.permutation(flat.size)):
            compare([(np.eye(1, at.size, first + i)[0], flat.max()) for i in order[:ATTEMPTS]], name)
        first += flat.size


@every_case
def test_products_with_the_jacobian_of_random_networks_match_central_differences(number):
    case, rng = CASES[number], np.random.default_rng(number)
    net = case.network()
    lead = case.layers[0]
    codes = list(lead.columns) if isinstance(lead, fb.Embedding) else []
    X, v, u = case.X, rng.normal(size=case.X.shape), rng.normal(size=(len(case.X), net.outputs))
    v[:, codes] = 0.0

    def compare(actual, f):
        scale = np.abs(actual).max()
        assert scale > 1e-8
        found = slope(f, scale)
        kinks = np.isnan(found)
        assert kinks.mean() < 0.1
        off = np.abs(found - actual)[~kinks].max()
        assert off <= TOLERANCE * scale, f"off by {off / scale:.2g}"

    pushed, pulled = net.jvp(X, v), net.vjp(X, u)
    assert (pulled[:, codes] == 0.0).all()
    if len(codes) == net.inputs:
        assert (pushed == 0.0).all()
        return
    compare(pushed, lambda h: net.predict(X + h * v))
    for column in sorted({*range(net.inputs)} - {*codes}):
        basis = np.eye(1, net.inputs, column)
        compare(pulled[:, column], lambda h, basis=basis: (u * net.predict(X + h * basis)).sum(axis=1))


SETTINGS = """
    linear no bias, linear ntk, prelu per_feature, layer_norm no affine, layer_norm no bias, rms_norm no affine,
    batch_norm no affine, labels, probabilities, label_smoothing, class_weights, ignore_index, pos_weight, delta, q,
    multi_margin 1, multi_margin 2, sample_weight, mean of losses, sum of losses
"""


def test_every_op_and_setting_comes_up_in_three_networks_or_more():
    found: Counter[str] = Counter()
    for case in CASES:
        of_layers = {name for layer in case.layers for name in (layer.kind, layer.op, of_layer(layer))}
        found.update(of_layers | of_loss(case.loss, case.y, case.weights))
    wanted = {*LAYERS, *LOSSES, *OPS, *(name.strip() for name in SETTINGS.split(","))} - {*GATE_CASES, "custom"}
    assert {name: found[name] for name in wanted if found[name] < 3} == {}


@pytest.mark.parametrize("away", [1e-7, 1e-6, -1e-5])
def test_a_kink_close_by_is_seen(away):
    assert np.isnan(slope(lambda h: abs(h + away), 1.0))


def test_slopes_are_exact_to_a_tenth_of_the_tolerance():
    for point in np.linspace(-2.0, 2.0, 9):
        assert abs(slope(lambda h, point=point: np.exp(point + h), 1.0) - np.exp(point)) < 0.1 * TOLERANCE
        assert abs(slope(lambda h, point=point: np.sin(5 * (point + h)), 5.0) - 5 * np.cos(5 * point)) < 0.1 * TOLERANCE
