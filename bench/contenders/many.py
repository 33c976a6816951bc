"""Many nets of the same sizes at once: a pack, a loop over PyTorch's, and JAX with the nets as an axis of its arrays.

Weights are [W, b, W, b, ...] with an axis in front, one net after another; a step is a step of each, and the loss is
the mean of theirs. To be compared, all nets take the same batches; while they are timed, those of a pack and of JAX
have each an order of its own.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.cases import Many
from bench.contenders.face import Trainer
from bench.contenders.ours import names_of_chain, own_versions
from bench.contenders.torch import OfTorch, TorchTrainer
from bench.contenders.xla import ScanTrainer

Array = npt.NDArray[Any]


class PackTrainer(Trainer):
    """`Pack.run`; on batches in a given order, `Pack.step`."""

    name = "fastbp"
    modules = ("fastbp",)

    def versions(self) -> dict[str, str]:
        return own_versions()

    def prepare(self, case: Many, weights: list[Array], X: Array, y: Array) -> None:  # type: ignore[override]
        fb = importlib.import_module("fastbp")
        self.names = names_of_chain(len(case.layers))
        nets = [fb.mlp(list(case.sizes), activation="relu", seed=0) for _ in range(case.members)]
        for i, net in enumerate(nets):
            for name, weight in zip(self.names, weights, strict=True):
                net.parameters[name] = weight[i]
        own = {"loss": case.loss, "optimizer": fb.Adam(lr=case.lr), "batch_size": case.batch, "threads": self.threads}
        self.pack = fb.Pack(nets, **own)
        self.X, self.y, self.batch = X, y, case.batch

    def run(self, steps: int) -> None:
        self.last = self.pack.run(self.X, self.y, steps=steps)

    @property
    def loss(self) -> float:
        return float(np.mean(self.last))

    def follow(self, steps: int) -> None:
        starts = np.arange(steps) * self.batch % len(self.X)
        found = [self.pack.step(self.X[s : s + self.batch], self.y[s : s + self.batch]) for s in starts]
        self.losses = [float(np.mean(losses)) for losses in found]

    def parameters(self) -> list[Array]:
        return [np.stack([np.asarray(net.parameters[name]) for net in self.pack.members]) for name in self.names]


class LoopTrainer(OfTorch, Trainer):
    """One net of PyTorch after another."""

    name = "torch"

    def prepare(self, case: Many, weights: list[Array], X: Array, y: Array) -> None:  # type: ignore[override]
        self.each = [TorchTrainer(self.threads) for _ in range(case.members)]
        for i, one in enumerate(self.each):
            one.prepare(case, [weight[i] for weight in weights], X, y)

    def run(self, steps: int) -> None:
        for one in self.each:
            one.run(steps)

    @property
    def loss(self) -> float:
        return float(np.mean([one.loss for one in self.each]))

    def parameters(self) -> list[Array]:
        return [np.stack(found) for found in zip(*(one.parameters() for one in self.each), strict=True)]


class VmapTrainer(ScanTrainer):
    """`jax.vmap` over the nets, in the same `lax.scan` as one net: the sum of their losses has the gradient of each.

    As in a pack every net has an order of its own of the rows, here one for all epochs.
    """

    name = "jax"

    def prepare(self, case: Many, weights: list[Array], X: Array, y: Array) -> None:  # type: ignore[override]
        super().prepare(case, weights, X, y)
        random, jnp = np.random.default_rng(0), self.jnp
        self.given = np.arange(len(X), dtype=np.int32).reshape(-1, 1, case.batch)
        orders = np.stack([random.permutation(len(X)).reshape(-1, case.batch) for _ in range(case.members)], axis=1)
        self.X, self.y = jnp.asarray(X), (jnp.asarray(y), jnp.asarray(orders, jnp.int32))

    def _loss(self, p: list[Any], x: Any, y: Any, case: Any) -> Any:
        return self.jax.vmap(super()._loss, in_axes=(0, 0, 0, None))(p, x, y, case).sum()

    def _scan(self, case: Any, state: Any, X: Any, y: Any, rate: Any, steps: int) -> Any:
        targets, order = y

        def step(state: Any, _: Any) -> Any:
            rows = order[state[3] % len(order)]
            return self._step(case, state, X[rows], targets[rows], rate)

        return self.jax.lax.scan(step, state, length=steps)

    def follow(self, steps: int) -> None:
        own = self.y[1]
        self.y = self.y[0], self.jnp.asarray(np.broadcast_to(self.given, own.shape))
        super().follow(steps)
        self.y = self.y[0], own
        self.losses = [loss / self.case.members for loss in self.losses]  # type: ignore[union-attr]

    @property
    def loss(self) -> float:
        return self.last / self.case.members  # type: ignore[union-attr]
