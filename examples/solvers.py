"""SciPy's solvers on networks: an implicit integrator and an optimiser with constraints take their Jacobians.

A reaction of two substances is learned from rates at random concentrations. In a tube, where they diffuse too, the
equations are stiff: `solve_ivp` integrates them with Radau, whose Newton steps need the Jacobian of the right-hand
side, and one call of `net.jacobian` gives that of all points of the tube. An arm of three joints is learned from where
its hand was, and `minimize` finds the least turn that brings the hand to a point, with the network as a constraint.

    python examples/solvers.py [--epochs 300] [--seed 0]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import fastbp as fb

Array = NDArray[Any]
POINTS, SPREAD, SECONDS = 64, (0.02, 0.01), 6.0  # of the tube; how fast each substance diffuses
LENGTHS = np.array([1.0, 0.7, 0.4])  # of the arm's parts
TARGET = np.array([0.6, 1.3])
WAYS = "with net.jacobian", "with differences"


def reaction(c: Array) -> Array:
    """Rates of the Brusselator: x' = 1 + x² y - 2.7 x, y' = 1.7 x - x² y."""
    x, y = c[..., 0], c[..., 1]
    return np.stack([1.0 + x * x * y - 2.7 * x, 1.7 * x - x * x * y], axis=-1)


class Counted:
    """A network that counts the rows of its calls."""

    def __init__(self, net: fb.Network) -> None:
        self.net, self.rows = net, 0

    def predict(self, X: Array) -> Array:
        self.rows += X.size // self.net.inputs
        return self.net.predict(X)

    def jacobian(self, X: Array) -> Array:
        self.rows += X.size // self.net.inputs
        return self.net.jacobian(X)


class Tube:
    """Reaction and diffusion in a tube with closed ends; numbers are those of both substances, point by point."""

    def __init__(self, rates: Any, slopes: Any = None) -> None:
        self.rates, self.slopes = rates, slopes
        line = np.diag(np.ones(POINTS - 1), 1) + np.diag(np.ones(POINTS - 1), -1)
        line -= np.diag(line.sum(axis=1))
        self.diffusion = np.kron(line * (POINTS - 1) ** 2, np.diag(SPREAD))
        point = 2 * np.arange(POINTS)[:, None, None]
        self.blocks = point + np.array([[0], [1]]), point + np.array([[0, 1]])

    def change(self, t: float, z: Array) -> Array:
        changed: Array = self.diffusion @ z + self.rates(z.reshape(POINTS, 2)).ravel()
        return changed

    def jacobian(self, t: float, z: Array) -> Array:
        out = self.diffusion.copy()
        out[self.blocks] += self.slopes(z.reshape(POINTS, 2))
        return out


def hand(angles: Array) -> Array:
    """Where the arm ends, each angle counted from the part before."""
    turned = np.cumsum(angles, axis=-1)
    return np.stack([(LENGTHS * np.cos(turned)).sum(-1), (LENGTHS * np.sin(turned)).sum(-1)], axis=-1)


def learned(f: Any, low: Array, high: Array, epochs: int, seed: int, rows: int = 4096) -> fb.Network:
    """A network of a function on a box."""
    X = np.random.default_rng(seed).uniform(low, high, size=(rows, len(low)))
    y = f(X)
    spread = y.std(axis=0)
    net = fb.Network(
        [fb.Linear(64), fb.Tanh(), fb.Linear(64), fb.Tanh(), fb.Linear(y.shape[1])], len(low), seed, "float64"
    )
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=3e-3), batch_size=64, schedule=fb.Cosine())
    trainer.fit(X / high, y / spread, epochs=epochs)
    # Units go into the first and the last layer, so that the network is of the numbers as they are.
    net.parameters["0.weight"] = net.parameters["0.weight"] / high[:, None]
    net.parameters["4.weight"] = net.parameters["4.weight"] * spread
    net.parameters["4.bias"] = net.parameters["4.bias"] * spread
    return net


def integrate(net: fb.Network) -> None:
    """The tube with the network in it, by an implicit method."""
    place = np.linspace(0.0, 1.0, POINTS)
    start = np.stack([1.0 + np.sin(2.0 * np.pi * place), np.full(POINTS, 3.0)], axis=1).ravel()
    settings = {"method": "Radau", "rtol": 1e-6, "atol": 1e-8}
    true = solve_ivp(Tube(reaction).change, (0.0, SECONDS), start, **settings).y[:, -1]
    print(f"{'tube':20}{'rows of the network':>22}{'seconds':>10}{'away from the true one':>26}")
    for name in WAYS:
        net.jacobian(start.reshape(POINTS, 2))  # the first call makes its plan
        counted = Counted(net)
        tube = Tube(counted.predict, counted.jacobian)
        begun = time.perf_counter()
        jac = tube.jacobian if name == WAYS[0] else None
        found = solve_ivp(tube.change, (0.0, SECONDS), start, jac=jac, **settings)
        seconds = time.perf_counter() - begun
        print(f"{name:20}{counted.rows:22}{seconds:10.2f}{np.abs(found.y[:, -1] - true).max():26.4f}")


def reach(net: fb.Network) -> None:
    """The least turn from a pose that brings the hand to the target."""
    pose = np.array([0.2, 0.4, 0.4])
    print(f"\n{'arm':20}{'rows of the network':>22}{'away from the target':>36}")
    for name in WAYS:
        counted = Counted(net)
        at_target: dict[str, Any] = {"type": "eq", "fun": lambda a, of=counted: of.predict(a) - TARGET}
        if name == WAYS[0]:
            at_target["jac"] = counted.jacobian
        found = minimize(
            lambda a: ((a - pose) ** 2).sum(),
            pose,
            jac=lambda a: 2.0 * (a - pose),
            method="SLSQP",
            constraints=at_target,
        )
        print(f"{name:20}{counted.rows:22}{np.abs(hand(found.x) - TARGET).max():36.4f}")
    print(f"turns {', '.join(f'{turn:.3f}' for turn in found.x - pose)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    integrate(learned(reaction, np.zeros(2), np.array([3.5, 3.5]), chosen.epochs, chosen.seed))
    reach(learned(hand, np.full(3, -2.0), np.full(3, 2.0), chosen.epochs, chosen.seed))


if __name__ == "__main__":
    main()
