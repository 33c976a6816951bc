"""The contenders: one small class each, all with the face of `Contender`.

Each is what an experienced user of that library would write to train this net as fast as it goes, and
lives alone in its process. All start from the same weights and take the same batches X[s B : (s+1) B], s
counting up and round again; only fastbp's timed run shuffles its rows, the rivals are spared that work.
"""

from __future__ import annotations

import functools
import importlib
import math
import os
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import residual
from bench.cases import Case

Array = npt.NDArray[Any]


class Contender:
    """A way to train a net.

    Attributes
    ----------
    name : str
    losses : list of float
        The loss of each step of the last `follow`, each before its update.
    loss : float
        The loss of the last step, before its update.
    """

    name = ""
    module = ""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.losses: list[float] = []

    @classmethod
    def available(cls) -> bool:
        """Whether its library is installed."""
        return find_spec(cls.module) is not None

    def versions(self) -> dict[str, str]:
        """The versions that its speed depends on."""
        return {self.module: version(self.module)}

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        """Start anew from weights [W, b, W, b, ...] on the data set X, y."""
        raise NotImplementedError

    def run(self, steps: int) -> None:
        """Train for that many steps: this is what is timed."""
        raise NotImplementedError

    @property
    def loss(self) -> float:
        raise NotImplementedError

    def follow(self, steps: int) -> None:
        """Train for that many steps on the batches in their order and keep their losses."""
        self.losses = []
        for _ in range(steps):
            self.run(1)
            self.losses.append(self.loss)

    def parameters(self) -> list[Array]:
        """Return [W, b, W, b, ...], W in its natural (I, O) shape."""
        raise NotImplementedError


class Fastbp(Contender):
    """`Trainer.run`, shuffling included; on batches in a given order, `Trainer.step`."""

    name = "fastbp"
    module = "fastbp"

    def versions(self) -> dict[str, str]:
        fb = importlib.import_module("fastbp")
        return {"fastbp": str(getattr(fb, "__version__", "unknown")), "numba": version("numba")}

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        fb = importlib.import_module("fastbp")
        if case.residual:
            self.net, layers = residual.of_fastbp(case)
        else:
            self.net = fb.mlp(list(case.sizes), activation="relu", seed=0)
            # The activations count as layers too, so the linear ones are numbers 0, 2, 4 ...
            layers = [str(2 * layer) for layer in range(len(case.layers))]
        self.names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
        for name, weight in zip(self.names, weights, strict=True):
            self.net.parameters[name] = weight
        self.trainer = fb.Trainer(
            self.net,
            loss=case.loss,
            optimizer=fb.Adam(lr=case.lr),
            batch_size=case.batch,
            threads=self.threads,
        )
        self.X, self.y, self.batch = X, y, case.batch

    def run(self, steps: int) -> None:
        self.history = self.trainer.run(self.X, self.y, steps=steps)

    @property
    def loss(self) -> float:
        return float(self.history.loss[-1])

    def follow(self, steps: int) -> None:
        starts = np.arange(steps) * self.batch % len(self.X)
        self.losses = [float(self.trainer.step(self.X[s : s + self.batch], self.y[s : s + self.batch])) for s in starts]

    def parameters(self) -> list[Array]:
        return [np.asarray(self.net.parameters[name]) for name in self.names]


class Numpy(Contender):
    """`fastbp.reference.MLP`: the same mathematics in plain NumPy."""

    name = "numpy"
    module = "numpy"

    @classmethod
    def available(cls) -> bool:
        return find_spec("fastbp") is not None and find_spec("fastbp.reference") is not None

    def versions(self) -> dict[str, str]:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return {"numpy": np.__version__, "numpy's BLAS": f"{blas['name']} {blas['version']}"}

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        reference = importlib.import_module("fastbp.reference")
        layers: list[Any] = []
        for W, b in zip(weights[::2], weights[1::2], strict=True):
            layers += [("linear", W, b), ("relu",)]
        plain = not case.residual
        self.net = reference.MLP(layers[:-1], loss=case.loss) if plain else residual.of_numpy(weights, case.loss)
        self.optimizer = functools.partial(reference.adam, lr=case.lr)
        self.X, self.y, self.batch, self.start = X, y, case.batch, 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            rows = slice(self.start, self.start + self.batch)
            self.last = self.net.step(self.X[rows], self.y[rows], self.optimizer)
            self.start = (self.start + self.batch) % len(self.X)

    @property
    def loss(self) -> float:
        return float(self.last)

    def parameters(self) -> list[Array]:
        return [np.array(array) for array in self.net.parameters.values()]


class Torch(Contender):
    """PyTorch eager: `nn.Sequential`, fused Adam, batches that are views of one tensor."""

    name = "torch"
    module = "torch"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.torch = importlib.import_module("torch")
        self.torch.set_num_threads(threads)
        # Dead relus leave Adam's m in the subnormals, which are tens of times slower.
        self.torch.set_flush_denormal(True)

    def versions(self) -> dict[str, str]:
        backends = self.torch.backends
        parts = [name for name in ("mkl", "mkldnn", "openmp") if getattr(backends, name).is_available()]
        return {"torch": version("torch"), "torch's BLAS": "+".join(parts) or "unknown"}

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        torch = self.torch
        layers: list[Any] = []
        for inputs, outputs in case.layers:
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        self.model = residual.of_torch(case) if case.residual else torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, weight in zip(self.model.parameters(), weights, strict=True):
                parameter.copy_(torch.tensor(weight.T))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=case.lr, fused=True)
        self.criterion = torch.nn.functional.mse_loss if case.loss == "mse" else torch.nn.functional.cross_entropy
        self.X, self.y, self.batch, self.start = torch.tensor(X), torch.tensor(y), case.batch, 0

    def run(self, steps: int) -> None:
        model, optimizer, criterion = self.model, self.optimizer, self.criterion
        X, y, batch, start, rows = self.X, self.y, self.batch, self.start, len(self.X)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = criterion(model(X[start : start + batch]), y[start : start + batch])
            loss.backward()
            optimizer.step()
            start = (start + batch) % rows
        self.start, self.last = start, loss.detach()

    @property
    def loss(self) -> float:
        return float(self.last)

    def parameters(self) -> list[Array]:
        return [np.array(parameter.detach().numpy().T) for parameter in self.model.parameters()]


class Jax(Contender):
    """JAX: the whole loop is one jitted `lax.scan`, its state donated, Adam written out."""

    name = "jax"
    module = "jax"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        # XLA counts the CPUs it may run on once, when it is imported, and has no public setting.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        os.environ["JAX_PLATFORMS"] = "cpu"
        self.jax = importlib.import_module("jax")
        self.jnp = importlib.import_module("jax.numpy")
        self.case: Case | None = None

    def versions(self) -> dict[str, str]:
        return {"jax": version("jax"), "jaxlib": version("jaxlib")}

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        jnp = self.jnp
        if case != self.case:
            self.case = case
            scan = functools.partial(self._scan, case)
            self.program = self.jax.jit(scan, static_argnums=3, donate_argnums=0)
        self.X = jnp.asarray(X.reshape(-1, case.batch, X.shape[1]))
        self.y = jnp.asarray(y.reshape(-1, case.batch, *y.shape[1:]))
        p = [jnp.array(weight) for weight in weights]
        self.state = (
            p,
            [jnp.zeros_like(a) for a in p],
            [jnp.zeros_like(a) for a in p],
            jnp.array(0, jnp.int32),
        )

    def _loss(self, p: list[Any], x: Any, y: Any, kind: str) -> Any:
        jax, jnp = self.jax, self.jnp
        if self.case is not None and self.case.residual:
            x = residual.in_jax(p, x, jax.nn.relu)
        else:
            for layer in range(0, len(p), 2):
                x = x @ p[layer] + p[layer + 1]
                if layer + 2 < len(p):
                    x = jax.nn.relu(x)
        if kind == "mse":
            return jnp.mean((x - y) ** 2)
        return jnp.mean(jax.nn.logsumexp(x, axis=1) - jnp.take_along_axis(x, y[:, None], axis=1)[:, 0])

    def _scan(self, case: Case, state: Any, X: Any, y: Any, steps: int) -> Any:
        jax, jnp = self.jax, self.jnp

        def step(state: Any, _: Any) -> Any:
            p, m, v, t = state
            loss, g = jax.value_and_grad(self._loss)(p, X[t % len(X)], y[t % len(X)], case.loss)
            t = t + 1
            m = [0.9 * m + 0.1 * g for m, g in zip(m, g, strict=True)]
            v = [0.999 * v + 0.001 * g * g for v, g in zip(v, g, strict=True)]
            # 1 - 0.999**t in float32 would lose four digits.
            size = case.lr / -jnp.expm1(t * math.log(0.9))
            root = jnp.sqrt(-jnp.expm1(t * math.log(0.999)))
            p = [p - size * m / (jnp.sqrt(v) / root + 1e-8) for p, m, v in zip(p, m, v, strict=True)]
            return (p, m, v, t), loss

        return jax.lax.scan(step, state, length=steps)

    def run(self, steps: int) -> None:
        self.state, history = self.program(self.state, self.X, self.y, steps)
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


CONTENDERS: dict[str, type[Contender]] = {c.name: c for c in (Fastbp, Numpy, Torch, Jax)}
