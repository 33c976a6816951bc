"""The kernels one by one, under pytest-benchmark: `python -m pytest bench --benchmark-enable`.

Each is called as a plan calls it, on one thread. Outputs are compared with NumPy's before anything is timed;
`extra_info` says GFLOP/s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.engine.blocks import Block
from fastbp.engine.compiler import kernel_address, sweep
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.update import Update
from fastbp.spec.catalogue import loss_of
from fastbp.spec.losses import Targets

SHAPES = [(64, 17, 64), (64, 784, 128), (256, 256, 256), (128, 1024, 1024)]  # rows, inputs, outputs


class Layer:
    """A plan of one Linear layer, whose kernels can be called one at a time."""

    def __init__(self, rows: int, inputs: int, outputs: int, dtype: str = "float32") -> None:
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((rows, inputs)).astype(dtype)
        self.T = rng.standard_normal((rows, outputs)).astype(dtype)
        # A layer before it makes it need the cotangent of its input.
        self.net = fb.Network([fb.Linear(inputs), fb.Linear(outputs)], inputs=inputs, seed=0, dtype=dtype)
        slots = self.net.parameters.block.slots
        moments = (Block(slots, self.net.dtype), Block(slots, self.net.dtype))
        update = Update("adam", fb.Adam().numbers(), moments)
        self.plan = BatchPlan(
            self.net.graph,
            self.net.parameters.block,
            self.net.states.block,
            1,
            batch=rows,
            loss=loss_of("mse"),
            update=update,
            training=False,
        )
        self.plan.refresh(self.net.parameters.version)
        self.plan.bind(self.X, Targets("mse", self.T), 0)
        self.plan.steps(1, 1, 1)  # fills every buffer
        self.rows, self.zero = rows, self.plan.zero
        self.invoke = sweep("invoke", dtype)

    def op(self, kernel: str, which: int = 0) -> Callable[[], None]:
        """Call the `which`-th op of this kernel on all rows."""
        address = kernel_address(kernel, self.net.dtype.name)
        index = [i for i, op in enumerate(self.plan.ops.records) if op.name == kernel][which]
        op, me = self.plan.ops.address_of(index), self.plan.head.team.workers
        return lambda: self.invoke(address, op, me, 0, self.rows, self.zero)

    def tiles(self) -> Callable[[], None]:
        """Reduce and update every weight tile of the second layer."""
        address = kernel_address("weights", self.net.dtype.name)
        me, table = self.plan.head.team.workers, self.plan.tasks[0]
        wanted = self.plan.layers.address_of(0)
        mine = [t for t, tile in enumerate(table.records) if tile.layer == wanted]

        def run() -> None:
            for t in mine:
                self.invoke(address, table.address_of(t), me, 0, self.rows, self.zero)

        return run


def timed(benchmark: Any, kernel: Callable[[], None], flops: float) -> None:
    """Time a kernel and note its rate."""
    benchmark(kernel)
    if benchmark.stats:
        benchmark.extra_info["GFLOP/s"] = round(flops / benchmark.stats.stats.median / 1e9, 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_product(benchmark: Any, shape: tuple[int, int, int]) -> None:
    layer = Layer(*shape)
    hidden = layer.X @ layer.net.parameters["0.weight"] + layer.net.parameters["0.bias"]
    expected = hidden @ layer.net.parameters["1.weight"] + layer.net.parameters["1.bias"]
    assert np.allclose(layer.net.predict(layer.X), expected, rtol=1e-4, atol=1e-4)
    rows, inputs, outputs = shape
    timed(benchmark, layer.op("product", 1), 2.0 * rows * inputs * outputs)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward_product(benchmark: Any, shape: tuple[int, int, int]) -> None:
    layer = Layer(*shape)
    u = layer.T
    expected = (u @ layer.net.parameters["1.weight"].T) @ layer.net.parameters["0.weight"].T
    assert np.allclose(layer.net.vjp(layer.X, u), expected, rtol=1e-3, atol=1e-3)
    rows, inputs, outputs = shape
    timed(benchmark, layer.op("product", 2), 2.0 * rows * inputs * outputs)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weight_product_with_adam(benchmark: Any, shape: tuple[int, int, int]) -> None:
    layer = Layer(*shape)
    _, gradients = layer.net.loss_and_gradients(layer.X, layer.T, loss="mse")
    hidden = layer.X @ layer.net.parameters["0.weight"] + layer.net.parameters["0.bias"]
    _, dz = reference.mse(layer.net.predict(layer.X), layer.T)
    assert np.allclose(gradients["1.weight"], hidden.T @ dz, rtol=1e-3, atol=1e-5)
    rows, inputs, outputs = shape
    timed(benchmark, layer.tiles(), 2.0 * rows * inputs * outputs)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_activation(benchmark: Any, name: str) -> None:
    net = fb.Network([{"tanh": fb.Tanh, "sigmoid": fb.Sigmoid}[name]()], inputs=256)
    X = np.random.default_rng(0).standard_normal((4096, 256), dtype=np.float32)
    out = np.empty_like(X)
    assert np.allclose(net.predict(X), reference.ACTIVATIONS[name][0](X), rtol=1e-6, atol=1e-6)
    benchmark(lambda: net.predict(X, out=out, threads=1))
