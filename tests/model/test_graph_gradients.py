"""Fifty random networks with branches in float64: every derivative against central differences.

The differences are those of `test_random_gradients`: extrapolated, and no judge beside a kink.
"""

from collections import Counter

import numpy as np
import pytest

import fastbp as fb
from tests.model.gate_cases import GATE_CASES
from tests.model.random_graphs import network
from tests.model.test_random_gradients import TOLERANCE, slope

COUNT = 50
ATTEMPTS, DIRECTIONS = 12, 2
ROWS = (1, 5, 19)
every_network = pytest.mark.parametrize("seed", range(COUNT))


def stand(seed):
    """A network with parameters away from their first values, rows, and numbers for each of its outputs."""
    rng, net = np.random.default_rng(seed), network(seed)
    net.flat = net.flat + 0.1 * rng.normal(size=net.flat.size)
    rows = ROWS[seed % 3]
    X = rng.normal(size=(rows, net.inputs))
    return net, X, rng.normal(size=(rows, net.outputs)), rng


def side_by_side(outputs):
    return np.concatenate(outputs, axis=1) if isinstance(outputs, tuple) else outputs


def compare(ways, of, derivative, what):
    """Along the first of some ways, with the size of what is summed along each, that crosses no kink."""
    for way, scale in ways:
        found = slope(lambda h, way=way: of(h * way), scale)
        if not np.isnan(found):
            off = abs(found - derivative(way))
            assert off <= TOLERANCE * scale, f"{what} is off by {off / scale:.2g}"
            return
    pytest.fail(f"{what} has a kink wherever it was looked at")


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@every_network
def test_gradients_of_the_loss_match_central_differences(seed, training):
    net, X, t, rng = stand(seed)
    splits = net.graph.splits
    y = tuple(np.split(t, np.cumsum(splits)[:-1], axis=1))
    weights = [1.0, 0.5, 2.0][: len(splits)]
    loss = fb.JointLoss(["mse", "half_mse", "log_cosh"][: len(splits)], weights) if len(splits) > 1 else "mse"
    counts = rng.random(len(X)) + 0.1
    at = net.flat

    def both():
        value, gradients = net.loss_and_gradients(X, y if len(splits) > 1 else y[0], loss, counts, training)
        return value, np.concatenate([gradients[name].ravel() for name in net.parameters])

    value, gradient = both()

    def moved(change):
        net.flat = at + change
        return both()[0]

    ways = rng.normal(size=(DIRECTIONS, ATTEMPTS, at.size)) / np.sqrt(at.size)
    for some in ways:
        pairs = [(way, np.abs(gradient * way).sum()) for way in some]
        compare(pairs, moved, lambda way: gradient @ way, "a direction")
    first = 0
    for name, array in net.parameters.items():
        part = np.abs(gradient[first : first + array.size])
        units = [np.eye(1, at.size, first + i)[0] for i in np.argsort(-part)[:ATTEMPTS]]
        # Below that differences are rounding, of gradients and of the loss.
        scale = max(part.max(), 1e-3 * np.abs(gradient).max(), 1e-3 * abs(value))
        compare([(unit, scale) for unit in units], moved, lambda way: gradient @ way, name)
        first += array.size


@every_network
def test_products_with_the_jacobian_match_central_differences(seed):
    net, X, u, rng = stand(seed)
    pulled = net.vjp(X, u)

    def moved(change):
        return float((u * side_by_side(net.predict(X + change))).sum())

    ways = rng.normal(size=(ATTEMPTS, *X.shape)) / np.sqrt(X.size)
    pairs = [(way, np.abs(pulled * way).sum()) for way in ways]
    compare(pairs, moved, lambda way: (pulled * way).sum(), "vjp")
    compare(pairs, moved, lambda way: (u * net.jvp(X, way)).sum(), "jvp")


@every_network
def test_the_parameters_vjp_matches_central_differences(seed):
    net, X, u, rng = stand(seed)
    found = net.parameter_vjp(X, u)
    pulled, at = np.concatenate([found[name].ravel() for name in net.parameters]), net.flat

    def moved(change):
        net.flat = at + change
        return float((u * side_by_side(net.predict(X))).sum())

    ways = rng.normal(size=(ATTEMPTS, at.size)) / np.sqrt(at.size)
    compare([(way, np.abs(pulled * way).sum()) for way in ways], moved, lambda way: pulled @ way, "parameter_vjp")


@every_network
def test_jacobians_are_made_of_products(seed):
    net, X, u, rng = stand(seed)
    v = rng.normal(size=X.shape)
    J = net.jacobian(X, "reverse")
    scale = 1e-13 * max(1.0, np.abs(J).max()) * J.shape[1] * J.shape[2]
    assert np.abs(net.jacobian(X, "forward") - J).max() <= scale
    assert np.abs(np.einsum("roi,ri->ro", J, v) - net.jvp(X, v)).max() <= scale
    assert np.abs(np.einsum("roi,ro->ri", J, u) - net.vjp(X, u)).max() <= scale
    for output in range(net.outputs):
        assert np.abs(net.input_gradient(X, output) - J[:, output]).max() <= scale


def test_every_gate_comes_up_in_three_networks_or_more():
    found = Counter(kind for seed in range(COUNT) for kind in {n.layer.kind for n in network(seed).graph.nodes})
    assert {name: found[name] for name in GATE_CASES if found[name] < 3} == {}


def test_shared_layers_and_several_inputs_and_outputs_come_up_in_three_networks_or_more():
    graphs = [network(seed).graph for seed in range(COUNT)]
    assert sum(any(node.shares for node in graph.nodes) for graph in graphs) >= 3
    assert sum(len(graph.parts) > 1 for graph in graphs) >= 3
    assert sum(len(graph.heads) > 1 for graph in graphs) >= 3


# The checker can fail


def test_the_checker_sees_a_wrong_derivative():
    with pytest.raises(AssertionError, match="is off by"):
        compare([(np.ones(1), 1.0)], lambda change: float(np.sin(change[0])), lambda way: 1.0 + 1e-6, "a sine")


def test_the_checker_sees_nothing_but_kinks():
    with pytest.raises(pytest.fail.Exception, match="has a kink wherever"):
        compare([(np.ones(1), 1.0)], lambda change: abs(float(change[0]) - 1e-7), lambda way: 1.0, "an edge")
