"""Magnitudes that ops note bound all that the weight sweep reads: by these a step is known to be finite."""

from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.blocks import Block
from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.kernels.records import TrainedNorm, TrainedTable
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.update import Update
from fastbp.spec.losses import Targets
from tests.model.chains import DTYPES

TRIALS = 16
ROWS, WIDTH = 37, 45  # three lines of float32, six of float64, the last of them not full
LAYERS = {
    "relu": lambda: [fb.ReLU()],
    "tanh": lambda: [fb.Tanh()],
    "softplus": lambda: [fb.Softplus()],
    "scale": lambda: [fb.Scale()],
    "cosine": lambda: [fb.CosineEmbedding(range(5), frequencies=8)],
    "bins": lambda: [
        fb.PiecewiseLinearEmbedding({i: [-9.0, -0.5, 0.0, 0.5, 9.0] for i in range(0, 45, 4)}, features=5)
    ],
    "prelu": lambda: [fb.PReLU()],
    "parametric": lambda: [fb.Parametric(fb.Mish())],
    "layer norm": lambda: [fb.LayerNorm()],
    "rms norm": lambda: [fb.RMSNorm()],
    "batch norm": lambda: [fb.BatchNorm()],
    "dropout": lambda: [fb.Dropout(0.4)],
    "softmax": lambda: [fb.Softmax()],
    "log softmax": lambda: [fb.LogSoftmax()],
}
LOSSES: dict[str, Any] = {  # by the kernel that their targets ask for
    "mse": fb.MSE(),
    "mae": fb.MAE(),
    "huber": fb.Huber(),
    "gaussian_nll": fb.GaussianNLL(),
    "cross_entropy": fb.CrossEntropy(),
    "cross_entropy_smoothed": fb.CrossEntropy(label_smoothing=0.3),
    "cross_entropy_probabilities": fb.CrossEntropy(),
    "multi_margin": fb.MultiMargin(),
}


def planned(layers: list[Any], dtype: str, loss: str, draw: np.random.Generator, training: bool = True) -> BatchPlan:
    """A plan behind one step, on rows of many magnitudes whose largest may be anywhere."""
    inputs, spread, top = 19, 2.0, 1.5
    if loss == "gaussian_nll":  # whose slopes are exponentials
        spread, top = 0.5, -1.0
    last = [fb.Linear(2 * WIDTH if loss == "gaussian_nll" else WIDTH)]
    net = fb.Network([*layers, *last], inputs=inputs, seed=int(draw.integers(100)), dtype=dtype)
    for name in net.parameters:
        shape = net.parameters[name].shape
        net.parameters[name] = draw.normal(size=shape) * 10.0 ** draw.uniform(-3.0, top)
    X = (draw.normal(size=(ROWS, inputs)) * np.exp(spread * draw.normal(size=(ROWS, inputs)))).astype(dtype)
    T: Any = draw.normal(size=(ROWS, WIDTH)).astype(dtype)
    if loss == "cross_entropy_probabilities":
        T = np.exp(T) / np.exp(T).sum(axis=1, keepdims=True)
    elif loss not in ("mse", "mae", "huber", "gaussian_nll"):
        T = draw.integers(WIDTH, size=ROWS)
    slots = net.parameters.block.slots
    update = Update("adam", fb.Adam().numbers(), (Block(slots, net.dtype), Block(slots, net.dtype)))
    blocks = net.parameters.block, net.states.block
    plan = BatchPlan(net.graph, *blocks, 1, batch=ROWS, loss=LOSSES[loss], update=update, training=training)
    plan.refresh(net.parameters.version)
    plan.bind(X, Targets(loss, T), 0)
    plan.steps(1, 1, 1)
    return plan


def largest_in(matrix: Any, panels: int, dtype: str) -> float:
    """The largest magnitude in the rows of panels."""
    real = np.dtype(dtype)
    found = [
        view(matrix.start + panel * matrix.stride, (ROWS * LINE // real.itemsize,), real) for panel in range(panels)
    ]
    return float(np.abs(found).max())


def must_be_bounded(plan: BatchPlan, dtype: str) -> int:
    """Compare the product that is noted with what is there; returns how many layers were looked at."""
    real = np.dtype(dtype)
    words = view(plan.team[0].magnitudes.ctypes.data, (plan.head.magnitudes,), np.int64)
    noted = words.astype(f"u{real.itemsize}").view(real).astype(np.float64)
    looked = 0
    for layer in plan.layers.records:
        if isinstance(layer, TrainedTable):
            continue
        lines = LINE // real.itemsize
        x = largest_in(layer.x, -(-layer.inputs // lines) if layer.inputs > 1 else layer.panels, dtype)
        d = largest_in(layer.d, layer.panels, dtype)
        bound = (x if layer.x_op < 0 else noted[layer.x_op]) * layer.x_scale + layer.x_offset
        assert x * d <= 1.0001 * bound * noted[layer.d_op], f"layer {layer.node}"
        if isinstance(layer, TrainedNorm):  # what running statistics learn
            learned = [
                view(line + p * LINE, (lines,), real)
                for line in (layer.mean, layer.variance)
                for p in range(layer.panels)
            ]
            assert np.abs(learned).max() <= noted[layer.x_op], f"statistics of layer {layer.node}"
        looked += x * d > 0.0
    return looked


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_what_a_layer_notes_bounds_what_its_neighbours_read(name: str, dtype: str) -> None:
    draw, looked = np.random.default_rng(7), 0
    for trial in range(TRIALS):
        layers = [fb.Linear(WIDTH), *LAYERS[name](), fb.Linear(WIDTH), *LAYERS[name](), *LAYERS[name]()]
        looked += must_be_bounded(planned(layers, dtype, "mse", draw, training=trial % 4 > 0), dtype)
    assert looked >= 2 * TRIALS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_what_a_loss_notes_bounds_its_cotangents(loss: str, dtype: str) -> None:
    draw, looked = np.random.default_rng(8), 0
    for _ in range(TRIALS):
        looked += must_be_bounded(planned([fb.Linear(WIDTH), fb.ReLU()], dtype, loss, draw), dtype)
    assert looked > TRIALS
