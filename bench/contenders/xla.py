"""JAX, jitted: the whole loop in `lax.scan`, a step at a time, and predictions."""

from __future__ import annotations

import functools
import importlib
import math
import os
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.calls import Call
from bench.cases import Case
from bench.contenders import residual
from bench.contenders.face import Contender, Predictor, Trainer, portions_of

Array = npt.NDArray[Any]


class OfJax(Contender):
    """What all of JAX share."""

    modules = ("jax", "jaxlib")

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        # XLA counts the CPUs it may run on once, when it is imported, and has no public setting.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        os.environ["JAX_PLATFORMS"] = "cpu"
        self.jax = importlib.import_module("jax")
        self.jnp = importlib.import_module("jax.numpy")

    def outputs(self, p: list[Any], x: Any, blocks: bool = False) -> Any:
        """The outputs for parameters [W, b, W, b, ...]."""
        relu = self.jax.nn.relu
        if blocks:
            return residual.in_jax(p, x, relu)
        for layer in range(0, len(p), 2):
            x = x @ p[layer] + p[layer + 1]
            if layer + 2 < len(p):
                x = relu(x)
        return x


class ScanTrainer(OfJax, Trainer):
    """The whole loop is one jitted `lax.scan`, its state donated, Adam written out."""

    name = "jax"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.case: Case | None = None

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        jnp, shape = self.jnp, replace(case, lr=0.0)  # the rate is an argument
        if shape != self.case:
            self.case = shape
            self.program = self.compiled(shape)
        self.rate = jnp.float32(case.lr)
        self.X = jnp.asarray(X.reshape(-1, case.batch, X.shape[1]))
        self.y = jnp.asarray(y.reshape(-1, case.batch, *y.shape[1:]))
        p = [jnp.array(weight) for weight in weights]
        self.state = (
            p,
            [jnp.zeros_like(a) for a in p],
            [jnp.zeros_like(a) for a in p],
            jnp.array(0, jnp.int32),
        )

    def compiled(self, case: Case) -> Any:
        return self.jax.jit(functools.partial(self._scan, case), static_argnums=4, donate_argnums=0)

    def _loss(self, p: list[Any], x: Any, y: Any, case: Case) -> Any:
        jax, jnp = self.jax, self.jnp
        x = self.outputs(p, x, case.residual)
        if case.loss == "mse":
            return jnp.mean((x - y) ** 2)
        return jnp.mean(jax.nn.logsumexp(x, axis=1) - jnp.take_along_axis(x, y[:, None], axis=1)[:, 0])

    def _step(self, case: Case, state: Any, x: Any, y: Any, rate: Any) -> Any:
        jnp = self.jnp
        p, m, v, t = state
        loss, g = self.jax.value_and_grad(self._loss)(p, x, y, case)
        t = t + 1
        m = [0.9 * m + 0.1 * g for m, g in zip(m, g, strict=True)]
        v = [0.999 * v + 0.001 * g * g for v, g in zip(v, g, strict=True)]
        # 1 - 0.999**t in float32 would lose four digits.
        size = rate / -jnp.expm1(t * math.log(0.9))
        root = jnp.sqrt(-jnp.expm1(t * math.log(0.999)))
        p = [p - size * m / (jnp.sqrt(v) / root + 1e-8) for p, m, v in zip(p, m, v, strict=True)]
        return (p, m, v, t), loss

    def _scan(self, case: Case, state: Any, X: Any, y: Any, rate: Any, steps: int) -> Any:
        def step(state: Any, _: Any) -> Any:
            at = state[3] % len(X)
            return self._step(case, state, X[at], y[at], rate)

        return self.jax.lax.scan(step, state, length=steps)

    def run(self, steps: int) -> None:
        self.state, history = self.program(self.state, self.X, self.y, self.rate, steps)
        self.last = float(history[-1])  # waits for the result
        self.history = history

    @property
    def loss(self) -> float:
        return self.last

    def follow(self, steps: int) -> None:
        self.run(steps)
        self.losses = [float(loss) for loss in self.history]

    def parameters(self) -> list[Array]:
        return [np.asarray(a) for a in self.state[0]]


class StepTrainer(ScanTrainer):
    """A jitted step, its state donated, called from a loop in Python on batches cut beforehand."""

    name = "jax-step"

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        super().prepare(case, weights, X, y)
        self.batches, self.at = list(zip(self.X, self.y, strict=True)), 0

    def compiled(self, case: Case) -> Any:
        return self.jax.jit(functools.partial(self._step, case), donate_argnums=0)

    def run(self, steps: int) -> None:
        program, state, rate, batches, at = self.program, self.state, self.rate, self.batches, self.at
        for _ in range(steps):
            state, loss = program(state, *batches[at], rate)
            at = (at + 1) % len(batches)
        self.state, self.at = state, at
        self.last = float(loss)  # waits for the result

    def follow(self, steps: int) -> None:
        Trainer.follow(self, steps)


class XlaPredictor(OfJax, Predictor):
    """A jitted function with its parameters as constants; it writes into no buffer of the caller's."""

    name = "jax"

    def prepare(self, call: Call, weights: list[Array], X: Array) -> None:
        p = [self.jnp.array(weight) for weight in weights]
        program = self.jax.jit(lambda x: self.outputs(p, x))
        # It has no arrays with strides, so a table that lies by columns is copied in each call.
        self.portions = [x if call.turned else self.jnp.asarray(x) for x in portions_of(call, X)]
        self.predict = lambda x: program(x).block_until_ready()
