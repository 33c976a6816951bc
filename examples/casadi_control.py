"""Optimal control with CasADi: a pole is swung up by a plan that ipopt makes through a learned network.

What a torque does to a pole is learned from single steps at random. CasADi takes the network in two ways. From ONNX,
`fb.export.onnx`, it is expressions, so that CasADi's own exact derivatives, second ones too, go through every layer.
From C, `fb.export.c`, it is machine code with the bits of `predict` and our Jacobian, if there is a compiler. Newton's
method then finds the torque that holds the pole aslant, and ipopt, in a problem of multiple shooting with the network
as the dynamics, the torques that bring it up and to rest. What comes of them is said by the true equations.

    python examples/casadi_control.py [--epochs 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import tempfile
import time
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


def by_onnx(net: fb.Network, folder: Path) -> Any:
    """The network as a function of CasADi that is made of expressions, of one row."""
    fb.export.onnx(net, folder / "pole.onnx")
    read = ca.GraphBuilder(str(folder / "pole.onnx"))
    read.bind_dim("rows", 1)
    return read.create("pole", {"symbolic": True})


def by_c(net: fb.Network, folder: Path) -> Any:
    """The network as a function of CasADi that calls machine code."""
    source, library = folder / "pole.c", folder / "pole.so"
    fb.export.c(net, source, casadi=True)
    command = ["cc", "-O3", "-ffp-contract=off", "-fPIC", "-shared", str(source), "-o", str(library), "-lm"]
    subprocess.run(command, check=True)
    return ca.external("pole", str(library))


def held(f: Any, angle: float) -> float:
    """The torque that keeps the pole at an angle, by Newton's method."""
    torque = ca.MX.sym("torque")
    spin = f(ca.horzcat(angle, 0.0, torque))[1]
    newton = ca.rootfinder("newton", "newton", {"x": torque, "g": spin})
    return float(newton(x0=0.0)["x"])


def planned(f: Any, second: bool = True) -> tuple[Array, Any]:
    """Torques that bring the pole from hanging to standing, and ipopt's statistics."""
    problem = ca.Opti()
    state, torque = problem.variable(2, STEPS + 1), problem.variable(1, STEPS)
    for t in range(STEPS):
        row = ca.horzcat(state[0, t], state[1, t], torque[0, t])
        problem.subject_to(state[:, t + 1] == ca.vec(f(row)))
    problem.subject_to(state[:, 0] == ca.DM([math.pi, 0.0]))
    problem.subject_to(state[:, STEPS] == ca.DM([0.0, 0.0]))
    problem.subject_to(problem.bounded(-TORQUE, torque, TORQUE))
    problem.minimize(ca.sumsqr(torque) * SECONDS)
    problem.set_initial(state[0, :], np.linspace(math.pi, 0.0, STEPS + 1))
    how = {} if second else {"hessian_approximation": "limited-memory"}
    problem.solver("ipopt", {"print_time": False}, {"print_level": 0, "sb": "yes", **how})
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
    row = np.array([1.0, -0.5, 0.25])
    print("      off predict  torque at 0.5 rad  iterations  seconds  largest torque  angle and spin at the end")
    with tempfile.TemporaryDirectory() as folder:
        for name, way in (("ONNX", by_onnx), ("C", by_c)):
            if name == "C" and shutil.which("cc") is None:
                continue
            f = way(net, Path(folder))
            off = np.abs(np.array(f(row)).ravel() - net.predict(row)).max()
            begun = time.perf_counter()
            torques, stats = planned(f, second=name == "ONNX")
            seconds = time.perf_counter() - begun
            angle, spin = swung(torques)
            print(f"{name:5}{off:12.0e}{held(f, 0.5):19.3f}{stats['iter_count']:12}{seconds:9.2f}", end="")
            print(f"{abs(torques).max():16.2f}{angle:18.3f}{spin:9.3f}")
    print(f"true{-7.35 * math.sin(0.5):32.3f}{0.0:56.3f}{0.0:9.3f}")


if __name__ == "__main__":
    main()
