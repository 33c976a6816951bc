"""A network of linear layers, activations and dropout, trained by hand-written backpropagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp.reference.activations import ACTIVATIONS
from fastbp.reference.classification import binary_cross_entropy, cross_entropy, multi_margin
from fastbp.reference.layers import dropout_forward, dropout_vjp, linear_forward, linear_jvp
from fastbp.reference.random import dropout_mask, permutation
from fastbp.reference.regression import gaussian_nll, half_mse, huber, log_cosh, mae, mse, poisson, quantile

Array = npt.NDArray[Any]
State = dict[str, Any]
Optimizer = Callable[[Array, Array, State], tuple[Array, State]]

LOSSES: dict[str, Callable[..., tuple[float, Array]]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "multi_margin": multi_margin,
    "mse": mse,
    "half_mse": half_mse,
    "mae": mae,
    "huber": huber,
    "quantile": quantile,
    "log_cosh": log_cosh,
    "poisson": poisson,
    "gaussian_nll": gaussian_nll,
}
BLOCK = 32768  # parameters an optimiser visits at a time: its temporaries stay in L2, which halves its time


class MLP:
    """A stack of layers trained by hand-written backpropagation.

    Parameters
    ----------
    layers : ("linear", W, b), ("dropout", p) or a name in ACTIVATIONS and its parameters, as ("leaky_relu", 0.01)
    loss : a name in LOSSES

    Attributes
    ----------
    theta : every parameter in one vector, in layer order, W before b
    parameters : name -> view of `theta`, named "0.weight", "0.bias" after the index of the layer
    steps_done : optimiser steps so far; it selects the dropout masks and the place in the epoch

    Examples
    --------
    >>> from fastbp.reference import adam, linear_init
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> net = MLP([linear_init(2, 8, 0, dtype=float), ("tanh",), linear_init(8, 2, 2, dtype=float)])
    >>> losses = net.run(X, np.array([0, 1, 1, 0]), 61, 4, 0, lambda *now: adam(*now, lr=0.03))
    >>> [round(loss, 2) for loss in losses[::20]]
    [0.7, 0.46, 0.04, 0.01]
    """

    def __init__(self, layers: Sequence[tuple[Any, ...]], loss: str = "cross_entropy") -> None:
        self.layers = list(layers)
        self.loss = loss
        self.steps_done = 0
        self._first_linear = [layer[0] for layer in self.layers].index("linear")
        named = {
            f"{node}.{kind}": np.asarray(array)
            for node, layer in enumerate(self.layers)
            if layer[0] == "linear"
            for kind, array in zip(("weight", "bias"), layer[1:], strict=True)
        }
        self.theta: Array = np.concatenate([array.ravel() for array in named.values()])
        self.gradient = np.zeros_like(self.theta)
        self.parameters: dict[str, Array] = {}
        self._gradients: dict[str, Array] = {}
        end = 0
        for name, array in named.items():
            part, end = slice(end, end + array.size), end + array.size
            self.parameters[name] = self.theta[part].reshape(array.shape)
            self._gradients[name] = self.gradient[part].reshape(array.shape)
        self._blocks = [slice(i, i + BLOCK) for i in range(0, end, BLOCK)]
        self._states: list[State] = [{} for _ in self._blocks]

    def forward(self, X: Array, step: int | None = None, seed: int = 0) -> Array:
        """Return the outputs for X (B, I), with the dropout masks of `step`, or without dropout if None."""
        return self._forward(X, step, seed)[0][-1]

    def loss_and_gradients(
        self, X: Array, y: Array, step: int | None = None, seed: int = 0
    ) -> tuple[float, dict[str, Array]]:
        """Return the mean loss of the batch and name -> its gradient, in the shape of the parameter."""
        loss = self._backpropagate(X, y, step, seed)
        return loss, {name: g.copy() for name, g in self._gradients.items()}

    def vjp(self, X: Array, u: Array) -> tuple[Array, dict[str, Array]]:
        """Pull u (B, K) back through forward(X): dX = Jᵀu, and name -> the cotangent of that parameter."""
        values, kept = self._forward(X, None, 0)
        dX = self._backward(values, kept, u, bottom=-1)
        return dX, {name: g.copy() for name, g in self._gradients.items()}

    def jvp(self, X: Array, v: Array) -> Array:
        """Push v, a tangent of X (B, I), through forward(X): J v, shape (B, K)."""
        values, _ = self._forward(X, None, 0)
        t = np.asarray(v, self.theta.dtype)
        for node, layer in enumerate(self.layers):
            if layer[0] == "linear":
                t = linear_jvp(t, self.parameters[f"{node}.weight"])
            elif layer[0] != "dropout":
                phi = ACTIVATIONS[layer[0]]
                t = phi.jvp(t, values[node + 1] if phi.saved == "y" else values[node], *layer[1:])
        return t

    def step(self, X: Array, y: Array, optimizer: Optimizer, seed: int = 0) -> float:
        """Take one optimiser step on this batch and return the loss before it.

        `optimizer(theta, g, state)` is `adam`, say, or a lambda that gives it a learning rate.
        """
        loss = self._backpropagate(X, y, self.steps_done, seed)
        for i, part in enumerate(self._blocks):
            updated = optimizer(self.theta[part], self.gradient[part], self._states[i])
            self.theta[part], self._states[i] = updated
        self.steps_done += 1
        return loss

    def run(self, X: Array, y: Array, steps: int, batch_size: int, seed: int, optimizer: Optimizer) -> list[float]:
        """Take `steps` steps over shuffled batches and return their losses.

        Step t trains on batch t mod S of epoch t // S, S = ceil(rows / batch_size); the last batch of an
        epoch may be short, and its mean is over its own rows.
        """
        X, y = np.asarray(X, self.theta.dtype), np.asarray(y)
        batches = -(-len(X) // batch_size)
        losses: list[float] = []
        order = None
        for t in range(self.steps_done, self.steps_done + steps):
            epoch, batch = divmod(t, batches)
            if order is None or batch == 0:
                order = permutation(len(X), seed, epoch)
            rows = order[batch * batch_size : (batch + 1) * batch_size]
            losses.append(self.step(X[rows], y[rows], optimizer, seed))
        return losses

    def _forward(self, X: Array, step: int | None, seed: int) -> tuple[list[Array], dict[int, Array]]:
        """The input of every layer and the outputs, and the masks by layer."""
        values, kept = [np.asarray(X, self.theta.dtype)], {}
        for node, layer in enumerate(self.layers):
            x = values[-1]
            if layer[0] == "linear":
                x = linear_forward(x, self.parameters[f"{node}.weight"], self.parameters[f"{node}.bias"])
            elif layer[0] != "dropout":
                x = ACTIVATIONS[layer[0]].forward(x, *layer[1:])
            elif step is not None:
                kept[node] = dropout_mask(x.shape[0], x.shape[1], layer[1], seed, step, node)
                x = dropout_forward(x, kept[node], layer[1])
            values.append(x)
        return values, kept

    def _backpropagate(self, X: Array, y: Array, step: int | None, seed: int) -> float:
        """Forward, loss and the walk back, which leaves the gradients in `self.gradient`."""
        values, kept = self._forward(X, step, seed)
        loss, dz = LOSSES[self.loss](values[-1], y)
        self._backward(values, kept, dz, bottom=self._first_linear)
        return loss

    def _backward(self, values: list[Array], kept: dict[int, Array], u: Array, bottom: int) -> Array:
        """The δ recurrence from the outputs down: u is the cotangent of each layer's output in turn.

        Training stops at the first product, whose dx is not needed; a vjp goes on to the inputs, bottom = -1.
        """
        u = np.asarray(u, self.theta.dtype)
        for node in range(len(self.layers) - 1, max(bottom, 0) - 1, -1):
            layer, x = self.layers[node], values[node]
            if layer[0] == "linear":
                np.matmul(x.T, u, out=self._gradients[f"{node}.weight"])
                u.sum(axis=0, out=self._gradients[f"{node}.bias"])
                u = u if node == bottom else u @ self.parameters[f"{node}.weight"].T
            elif layer[0] != "dropout":
                phi = ACTIVATIONS[layer[0]]
                u = phi.vjp(u, values[node + 1] if phi.saved == "y" else x, *layer[1:])
            elif node in kept:
                u = dropout_vjp(u, kept[node], layer[1])
        return u
