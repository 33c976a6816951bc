"""A hundred random trainings against torch: layers, losses, optimisers, schedules and settings, mixed at random."""

from collections import Counter

import numpy as np
import pytest

import fastbp as fb
from tests.model.chains import DTYPES
from tests.train.random_runs import features, random_runs

torch = pytest.importorskip("torch")

from tests.train import in_torch  # noqa: E402
from tests.train.torch_training import Training  # noqa: E402

# After 200 steps, relative to the largest number of an array and to 1.
TOLERANCE = {"float32": 2e-4, "float64": 1e-9}
STEPS, COUNT, SEED = 200, 100, 1
RUNS = random_runs(COUNT, SEED)

LAYERS = """
    linear, linear no bias, batch_norm, batch_norm no affine, layer_norm, layer_norm no affine, layer_norm no bias,
    rms_norm, rms_norm no affine, embedding, dropout, identity, relu, leaky_relu, prelu, prelu per_feature, elu, selu,
    gelu, gelu_tanh, silu, mish, softplus, softsign, sigmoid, hard_sigmoid, tanh, hardtanh, softmax, log_softmax
"""
LOSSES = """
    cross_entropy, labels, probabilities, label_smoothing, class_weights, ignore_index, binary_cross_entropy,
    pos_weight, mse, mae, huber, poisson, gaussian_nll, multi_margin 1, multi_margin 2, mean of losses, sum of losses,
    sample_weight
"""
RULES = """
    sgd sgd, sgd momentum, sgd nesterov, adagrad adagrad, lr_decay, initial, rmsprop rmsprop, rmsprop rmsprop_momentum,
    rmsprop rmsprop_centered, rmsprop rmsprop_centered_momentum, adam adam, adam adam_amsgrad, adamw adam,
    adamw adam_amsgrad, nadam nadam, radam radam, adadelta adadelta, L2 decay of weights, L2 decay of all,
    decoupled decay of weights, decoupled decay of all, clip_norm, clip_value, accumulate, lr_factors, decay_factors,
    frozen, ema
"""
SCHEDULES = """
    schedule constant, schedule step, schedule multi_step, schedule exponential, schedule polynomial, schedule cosine,
    schedule cosine_restarts, schedule one_cycle, schedule cos_log4, schedule flat_cosine, warmup
"""


@pytest.fixture(autouse=True)
def torch_at_its_best():
    """Small networks are slow on many threads; numbers of an optimiser of its own have the default dtype."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


def assert_close(actual, expected, dtype, name):
    largest = max(1.0, np.abs(expected).max(initial=0.0))
    off = np.abs(np.asarray(actual, np.float64) - expected).max(initial=0.0)
    assert off <= TOLERANCE[dtype] * largest, f"{name} is off by {off:.2g} of {largest:.2g}"


def assert_same(arrays, expected, dtype):
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        assert_close(arrays[name], array, dtype, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", range(COUNT))
def test_random_training_follows_torch(number, dtype):
    run = RUNS[number]
    net = run.network(dtype)
    model, start = in_torch.module(net), net.flat
    training = Training(run, model, dtype, STEPS)
    expected = training.train()
    trainer = fb.Trainer(net, loss=run.loss, **run.words)
    history = trainer.run(run.X, run.y, steps=STEPS, sample_weight=run.sample_weight)
    assert_same(net.parameters, in_torch.natural(model), dtype)
    assert_same(net.states, in_torch.running(model), dtype)
    if expected.averaged is not None:
        assert_same(trainer.averaged.parameters, in_torch.natural(expected.averaged), dtype)
    assert_close(history.loss, np.array(expected.losses), dtype, "loss")
    with torch.no_grad():
        assert_close(net.predict(run.X), model.eval()(training.X).numpy(), dtype, "prediction")
    assert np.abs(net.flat - start).max() > 20 * TOLERANCE[dtype]  # there was something to follow


def test_everything_comes_up_in_three_networks_or_more():
    found = Counter(feature for run in RUNS for feature in features(run))
    wanted = [name.strip() for part in (LAYERS, LOSSES, RULES, SCHEDULES) for name in part.split(",")]
    assert {name: found[name] for name in wanted if found[name] < 3} == {}
