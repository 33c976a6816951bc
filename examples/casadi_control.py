"""Optimal control with CasADi: a pole is swung up by a plan that ipopt makes through a learned network.

What a torque does to a pole is learned from single steps at random. `fb.export.onnx` writes the network, CasADi reads
it as expressions, so that its own exact derivatives, second ones too, go through every layer. Newton's method then
finds the torque that holds the pole aslant, and ipopt, in a problem of multiple shooting with the network as the
dynamics, the torques that bring it up and keep it there. What comes of them is said by the true equations.

    python examples/casadi_control.py [--epochs 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray

import fastbp as fb

Array = NDArray[Any]
STEPS, SECONDS, TORQUE = 60, 0.05, 4.0  # of the plan; the motor alone holds the pole up to an angle of 0.58


def pole(rows: Array) -> Array:
    """Angle and spin after a step by Runge and Kutta; rows are angle (0 stands), spin and torque."""

    def change(state: Array) -> Array:
        return np.stack([state[:, 1], 7.35 * np.sin(state[:, 0]) + rows[:, 2] - 0.1 * state[:, 1]], axis=1)

    state = rows[:, :2]
    a = change(state)
    b = change(state + 0.5 * SECONDS * a)
    c = change(state + 0.5 * SECONDS * b)
    d = change(state + SECONDS * c)
    return state + SECONDS / 6.0 * (a + 2.0 * b + 2.0 * c + d)


def learned(epochs: int, seed: int) -> fb.Network:
    """A network of how angle and spin change within a step."""
    low, high = np.array([-4.5, -8.0, -TORQUE]), np.array([4.5, 8.0, TORQUE])
    X = np.random.default_rng(seed).uniform(low, high, size=(8192, 3))
    x = fb.Input(3)
    h = fb.Tanh()(fb.Linear(32)(fb.Tanh()(fb.Linear(32)(x))))
    net = fb.Network(inputs=x, outputs=x[:, :2] + 0.1 * fb.Linear(2)(h), seed=seed, dtype="float64")
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=3e-3), batch_size=64, schedule=fb.Cosine())
    trainer.fit(X, pole(X), epochs=epochs)
    return net


def by_onnx(net: fb.Network) -> Any:
    """The network as a function of CasADi, of one row."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pole.onnx"
        fb.export.onnx(net, file)
        read = ca.GraphBuilder(str(file))
        read.bind_dim("rows", 1)
        return read.create("pole", {"symbolic": True})


def held(f: Any, angle: float) -> float:
    """The torque that keeps the pole at an angle, by Newton's method."""
    torque = ca.MX.sym("torque")
    spin = f(ca.horzcat(angle, 0.0, torque))[1]
    newton = ca.rootfinder("newton", "newton", {"x": torque, "g": spin})
    return float(newton(x0=0.0)["x"])


def planned(f: Any) -> tuple[Array, Any]:
    """Torques that bring the pole from hanging to standing, and ipopt's statistics."""
    problem = ca.Opti()
    state, torque = problem.variable(2, STEPS + 1), problem.variable(1, STEPS)
    for t in range(STEPS):
        row = ca.horzcat(state[0, t], state[1, t], torque[0, t])
        problem.subject_to(state[:, t + 1] == f(row).T)
    problem.subject_to(state[:, 0] == ca.DM([math.pi, 0.0]))
    problem.subject_to(state[:, STEPS] == ca.DM([0.0, 0.0]))
    problem.subject_to(problem.bounded(-TORQUE, torque, TORQUE))
    problem.minimize(ca.sumsqr(torque) * SECONDS)
    problem.set_initial(state[0, :], np.linspace(math.pi, 0.0, STEPS + 1))
    problem.solver("ipopt", {"print_time": False}, {"print_level": 0, "sb": "yes"})
    found = problem.solve()
    return np.atleast_1d(found.value(torque)), found.stats()


def swung(torques: Array) -> Array:
    """Angle and spin after these torques, by the true equations."""
    state = np.array([math.pi, 0.0])
    for torque in torques:
        state = pole(np.array([[*state, torque]]))[0]
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    net = learned(chosen.epochs, chosen.seed)
    f = by_onnx(net)
    row = np.array([1.0, -0.5, 0.25])
    print(f"CasADi and predict differ by {np.abs(np.array(f(row)).ravel() - net.predict(row)).max():.0e}")
    print(f"torque that holds it at 0.5 rad {held(f, 0.5):.3f}, by the true equations {-7.35 * math.sin(0.5):.3f}")
    torques, stats = planned(f)
    angle, spin = swung(torques)
    said = f"{stats['return_status']} after {stats['iter_count']} iterations"
    print(f"ipopt: {said}, largest torque {abs(torques).max():.2f}")
    print(f"the true pole ends at an angle of {angle:.3f}, with a spin of {spin:.3f}")


if __name__ == "__main__":
    main()
