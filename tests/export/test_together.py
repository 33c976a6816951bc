"""What members say together, in gates: `fastbp.train.averages` says the same."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.graph import Graph
from fastbp.autodiff.program import Program
from fastbp.autodiff.tracer import Tracer
from fastbp.export.model import model_of
from fastbp.export.together import together
from fastbp.spec.catalogue import LOSSES, loss_of
from fastbp.train.averages import Average, outputs_of

WEIGHTS = [1.0, 0.25, 3.0]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("outputs", [1, 2, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_means_and_deviations_are_those_of_ensembles(name, outputs, temperature):
    loss = loss_of(name)
    if loss.outputs_per_target > outputs or (name == "multi_margin" and outputs == 1):
        return
    probable = "probabilities" in loss.metrics
    if temperature != 1.0 and not probable:
        return
    nets = [fb.mlp([2, outputs], dtype="float64", seed=seed) for seed in range(3)]
    ensemble = fb.Ensemble(nets, WEIGHTS, loss)
    ensemble = ensemble.tempered(temperature) if probable else ensemble
    z = np.random.default_rng(0).normal(size=(3, 1, outputs))
    average = Average(loss)
    for one, weight in zip(z, WEIGHTS, strict=True):
        average.add(one, weight)
    average.temper(temperature)
    gates = Graph("float64")
    arguments = [gates.argument((1, outputs)) for _ in nets]
    (said,) = together(model_of(ensemble), [[Tracer(gates, number)] for number in arguments])
    wanted = [average.predictions]
    results = [said.means.number]
    deviations = loss.deviations(outputs_of(loss, average.mean, outputs))
    assert (deviations is None) == (said.deviations is None)
    if said.deviations is not None:
        wanted.append(deviations)
        results.append(said.deviations.number)
    for found, own in zip(Program(gates, arguments, results)(list(z)), wanted, strict=True):
        np.testing.assert_allclose(found, own, rtol=1e-13)


def test_members_that_agree_and_are_sure_have_deviations_that_are_numbers():
    rows = 64
    nets = [fb.mlp([2, 2], dtype="float64", seed=seed) for seed in range(3)]
    ensemble = fb.Ensemble(nets, WEIGHTS, "gaussian_nll")
    z = np.stack([np.random.default_rng(0).normal(size=rows) * 1e3, np.full(rows, -80.0)], axis=1)
    weights = np.array(WEIGHTS) / sum(WEIGHTS)
    means = sum(weight * z[:, 0] for weight in weights)
    assert (sum(weight * (z[:, 0] ** 2 + np.exp(-80.0)) for weight in weights) < means**2).any()  # by rounding
    gates = Graph("float64")
    arguments = [gates.argument((rows, 2)) for _ in nets]
    (said,) = together(model_of(ensemble), [[Tracer(gates, number)] for number in arguments])
    (found,) = Program(gates, arguments, [said.deviations.number])([z] * 3)
    assert ((found > 0.0) & (found < 1e-3)).all()
