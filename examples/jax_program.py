"""A network within a JAX program: `jit`, `grad` and `vmap` go through it, its derivatives are ours.

`as_jax` gives a function of JAX arrays that calls back to the network, and says with `custom_vjp` that its pullback is
`net.vjp`. Here the network has learned how a cart on a track answers to a force, and the program is a plan: forces for
fifty steps in a `lax.scan`, the cost of where they lead, and its gradient through all fifty networks, by which the
forces are made better.

    python examples/jax_program.py [--epochs 100] [--steps 300] [--seed 0]
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import fastbp as fb

Array = NDArray[Any]
HORIZON, SECONDS, GOAL = 50, 0.1, 1.0


def as_jax(net: fb.Network) -> Any:
    """The network as a function of JAX: rows of any shape (..., inputs) to (..., outputs)."""

    def said(x: Any) -> Array:
        rows = np.asarray(x, net.dtype)
        return net.predict(rows.reshape(-1, net.inputs)).reshape(*rows.shape[:-1], net.outputs)

    def pulled(x: Any, u: Any) -> Array:
        rows, cotangents = np.asarray(x, net.dtype), np.asarray(u, net.dtype)
        return net.vjp(rows.reshape(-1, net.inputs), cotangents.reshape(-1, net.outputs)).reshape(rows.shape)

    def called(x: Any) -> Any:
        shape = jax.ShapeDtypeStruct((*x.shape[:-1], net.outputs), net.dtype)
        return jax.pure_callback(said, shape, x, vmap_method="broadcast_all")

    f = jax.custom_vjp(called)

    def forward(x: Any) -> Any:
        return f(x), x

    def backward(x: Any, u: Any) -> Any:
        return (jax.pure_callback(pulled, jax.ShapeDtypeStruct(x.shape, net.dtype), x, u, vmap_method="broadcast_all"),)

    f.defvjp(forward, backward)
    return f


def cart(rows: Array) -> Array:
    """Position and speed after a step, of a cart with friction that grows with speed: rows are x, v and force."""
    x, v, force = rows.T
    after = v + SECONDS * (force - 0.5 * v * np.abs(v) - 0.2 * np.tanh(3.0 * v))
    return np.stack([x + SECONDS * after, after], axis=1)


def learned(epochs: int, seed: int) -> fb.Network:
    """A network of how state and force change the state."""
    X = np.random.default_rng(seed).uniform([-2.0, -2.0, -2.0], [2.0, 2.0, 2.0], size=(4096, 3))
    change = cart(X) - X[:, :2]
    x = fb.Input(3)
    h = fb.Tanh()(fb.Linear(32)(fb.Tanh()(fb.Linear(32)(x))))
    net = fb.Network(inputs=x, outputs=x[:, :2] + 0.1 * fb.Linear(2)(h), seed=seed)
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=3e-3), batch_size=64, schedule=fb.Cosine())
    trainer.fit(X, X[:, :2] + change, epochs=epochs)
    return net


def planned(net: fb.Network, steps: int) -> tuple[Array, list[float]]:
    """Forces that bring the cart from 0 to the goal and to rest there, and the cost as they got better."""
    f = as_jax(net)

    def cost(forces: Any) -> Any:
        def step(state: Any, force: Any) -> Any:
            after = f(jnp.concatenate([state, force[None]]))
            return after, after

        last, _ = jax.lax.scan(step, jnp.zeros(2, net.dtype), forces)
        return 100.0 * ((last[0] - GOAL) ** 2 + last[1] ** 2) + (forces**2).mean()

    better = jax.jit(jax.value_and_grad(cost))
    forces, moment, square, costs = jnp.zeros(HORIZON, net.dtype), 0.0, 0.0, []
    for t in range(1, steps + 1):  # Adam
        value, slope = better(forces)
        moment, square = 0.9 * moment + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        forces = forces - 0.03 * (moment / (1 - 0.9**t)) / (jnp.sqrt(square / (1 - 0.999**t)) + 1e-8)
        costs.append(float(value))
    return np.asarray(forces), costs


def driven(forces: Array) -> Array:
    """Where the true cart is after these forces."""
    state = np.zeros(2)
    for force in forces:
        state = cart(np.array([[*state, force]]))[0]
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    net = learned(chosen.epochs, chosen.seed)
    forces, costs = planned(net, chosen.steps)
    x, v = driven(forces)
    print(f"cost of the plan {costs[0]:.3f} at first, {costs[-1]:.3f} after {chosen.steps} steps")
    print(f"the true cart ends at {x:.3f} of {GOAL}, with a speed of {v:.3f}")


if __name__ == "__main__":
    main()
