"""The mathematics of fastbp in plain NumPy: oracle of the tests, honest baseline of the benches.

Rows are examples. Letters: B batch rows, I inputs, O outputs, N features, K classes. The cotangent of
`x` (how the loss moves with it) is `dx`, its tangent `tx`, so a vjp takes `dy` to `dx` and a jvp takes
`tx` to `ty`; they are adjoint: <dy, ty> = <dx, tx>.

**Linear.** With a column x, weights Wᵀ (O, I) and the cotangent u = dz of z = Wᵀx + b,
    ∂z_k/∂W_ji = x_j [k = i]   so  Σ_k u_k ∂z_k/∂W_ji = u_i x_j : the outer product u xᵀ, one per example.
Summed over the rows of a batch, and stored (I, O) as W is, that is dW = xᵀ dz; likewise
∂z_k/∂x_j = W_jk gives dx = dz Wᵀ, and ∂z_k/∂b_i = [k = i] gives db = Σ_b dz_b.

**Elementwise.** y = φ(x) has the Jacobian diag(φ'(x)), so dx = dy ∘ φ'(x) and ty = tx ∘ φ'(x). Each φ'
here is a function of the output y, so only y is kept:
    relu      φ' = H(x) = 1 if x > 0 else 0 = 1 if y > 0 else 0   (0 at the kink)
    tanh      φ' = 1 - y²
    sigmoid   φ' = y (1 - y), from 1/σ = 1 + exp(-x): -σ'/σ² = -exp(-x) = 1 - 1/σ

**Cross-entropy.** loss = log Σ_k exp(z_k) - z_y, and ∂/∂z_k log Σ exp = exp(z_k) / Σ exp = p_k, so
dz = p - y with y the one-hot label; the mean over the batch divides it by B.

**The recurrence.** With u_L = dz of the last product, each layer below receives
    δ_l = (δ_{l+1} W_{l+1}ᵀ) ∘ φ'(y_l)   and its weights receive   dW_l = x_lᵀ δ_l.
One walk back over the layers therefore gives every gradient for about twice the price of the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
State = dict[str, Any]
Optimizer = Callable[[Array, Array, State], tuple[Array, State]]

INIT, SHUFFLE, DROPOUT = 0, 1, 2  # the purpose, last word of every Philox counter
LOW = 0xFFFFFFFF


def philox4x32(counter: npt.ArrayLike, key: tuple[int, int]) -> Array:
    """Philox4x32-10: four random words for every counter, by ten rounds of multiply and mix.

    A round, with (hi, lo) the halves of the 64-bit products a = 0xD2511F53 c0 and b = 0xCD9E8D57 c2, is
    (c0, c1, c2, c3) <- (hi_b ^ c1 ^ k0, lo_b, hi_a ^ c3 ^ k1, lo_a); then k += (0x9E3779B9, 0xBB67AE85).

    Parameters
    ----------
    counter : (..., 4) integers in [0, 2**32)
    key : two integers in [0, 2**32)

    Returns
    -------
    (..., 4) uint32

    Examples
    --------
    >>> [f"{int(word):08x}" for word in philox4x32([0, 0, 0, 0], (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    words = np.asarray(counter).astype(np.uint64)
    c0, c1, c2, c3 = (words[..., i] for i in range(4))
    half, low = np.uint64(32), np.uint64(LOW)
    for turn in range(10):
        k0 = np.uint64((key[0] + turn * 0x9E3779B9) & LOW)
        k1 = np.uint64((key[1] + turn * 0xBB67AE85) & LOW)
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (b >> half) ^ c1 ^ k0, b & low, (a >> half) ^ c3 ^ k1, a & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def philox_stream(count: int, seed: int, purpose: int, c1: int = 0, c2: int = 0) -> Array:
    """Return words 0 .. count - 1 of one stream: word j is philox(j // 4, c1, c2, purpose)[j % 4]."""
    counter = np.zeros((-(-count // 4), 4), np.uint64)
    counter[:, 0] = np.arange(len(counter))
    counter[:, 1:] = c1, c2, purpose
    return philox4x32(counter, _halves(seed)).reshape(-1)[:count]


def _halves(number: int) -> tuple[int, int]:
    """The low and the high 32 bits."""
    return number & LOW, number >> 32 & LOW


def uniform_init(
    shape: tuple[int, ...], bound: float, seed: int, tensor: int, dtype: npt.DTypeLike = np.float32
) -> Array:
    """Draw one parameter tensor uniformly from (-bound, bound).

    Element j, row-major, is (2u - 1) bound with u = (word_j + 1/2) / 2**32, in float64, cast last.

    Parameters
    ----------
    shape : the natural shape, (I, O) of a weight or (O,) of a bias
    bound : float, > 0; 1/sqrt(I) for a linear layer
    tensor : 2 node for a weight, 2 node + 1 for a bias, `node` the index of the layer

    Examples
    --------
    >>> [round(float(w), 4) for w in uniform_init((3,), 1.0, seed=0, tensor=0)]
    [-0.2019, 0.761, 0.4714]
    """
    words = philox_stream(int(np.prod(shape)), seed, INIT, c2=tensor)
    u = (words + 0.5) * 2.0**-32
    return np.asarray(((2.0 * u - 1.0) * bound).reshape(shape), dtype)


def linear_init(
    inputs: int, outputs: int, node: int, seed: int = 0, dtype: npt.DTypeLike = np.float32
) -> tuple[str, Array, Array]:
    """Make the layer ("linear", W, b) at index `node`, W and b uniform in ±1/sqrt(inputs) as in PyTorch."""
    bound = 1.0 / float(inputs) ** 0.5
    weight = uniform_init((inputs, outputs), bound, seed, 2 * node, dtype)
    return "linear", weight, uniform_init((outputs,), bound, seed, 2 * node + 1, dtype)


def permutation(n: int, seed: int, epoch: int) -> Array:
    """Return the order of n rows in an epoch, by Fisher-Yates from the last row down.

    For i = n-1 .. 1 swap entries i and j = floor(word (i + 1) / 2**32), word number n - 1 - i of the stream.

    Examples
    --------
    >>> permutation(5, seed=0, epoch=0).tolist()
    [3, 1, 2, 4, 0]
    """
    words = philox_stream(max(n - 1, 0), seed, SHUFFLE, c1=epoch)
    partner = (words * np.arange(n, 1, -1, dtype=np.uint64)) >> np.uint64(32)
    order = list(range(n))
    for i, j in zip(range(n - 1, 0, -1), partner.tolist(), strict=True):
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


def dropout_mask(rows: int, columns: int, p: float, seed: int, step: int, node: int) -> Array:
    """Say which elements dropout keeps: (rows, columns) bool, each True with probability 1 - p.

    Element (r, c) is kept if mix(mix(r ^ k0) ^ k1 ^ c) >= round(p 2**32), (k0, k1) the first words of
    philox(step low, step high, node, DROPOUT).

    Examples
    --------
    >>> dropout_mask(2, 4, p=0.5, seed=0, step=0, node=1).astype(int).tolist()
    [[0, 1, 0, 1], [0, 1, 1, 1]]
    """
    k0, k1 = philox4x32([*_halves(step), node, DROPOUT], _halves(seed))[:2]
    row_keys = _mix(np.arange(rows, dtype=np.uint32) ^ k0) ^ k1
    u = _mix(row_keys[:, None] ^ np.arange(columns, dtype=np.uint32))
    return u >= np.uint64(round(p * 2**32))


def _mix(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Scramble words: a bijection of uint32, so different columns of a row never share a draw."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def dropout_forward(x: Array, kept: Array, p: float) -> Array:
    """Scale what is kept, zero the rest: y = x ∘ kept / (1 - p), with x (B, N) and 0 <= p < 1."""
    return np.asarray(x * (kept * x.dtype.type(1.0 / (1.0 - p))))


def dropout_vjp(dy: Array, kept: Array, p: float) -> Array:
    """Pull back through the same mask: dx = dy ∘ kept / (1 - p)."""
    return dropout_forward(dy, kept, p)


def linear_forward(x: Array, W: Array, b: Array) -> Array:
    """z = x W + b, with x (B, I), W (I, O), b (O,) and z (B, O)."""
    z: Array = x @ W
    z += b
    return z


def linear_vjp(dz: Array, x: Array, W: Array) -> tuple[Array, Array, Array]:
    """Pull dz (B, O) back to (dx, dW, db) = (dz Wᵀ, xᵀ dz, Σ_b dz_b).

    Examples
    --------
    One example, so dW is the outer product of x and u = dz:

    >>> x, W, u = np.array([[2.0, 3.0]]), np.array([[1.0, 0.0], [0.0, 10.0]]), np.array([[1.0, -1.0]])
    >>> dx, dW, db = linear_vjp(u, x, W)
    >>> dx.tolist(), dW.tolist(), db.tolist()
    ([[1.0, -10.0]], [[2.0, -2.0], [3.0, -3.0]], [1.0, -1.0])
    """
    return dz @ W.T, x.T @ dz, dz.sum(axis=0)


def linear_jvp(tx: Array, W: Array) -> Array:
    """Push an input tangent tx (B, I) forward: tz = tx W."""
    return tx @ W


def identity_forward(x: Array) -> Array:
    """y = x."""
    return x


def identity_vjp(dy: Array, y: Array) -> Array:
    """dx = dy."""
    return dy


def relu_forward(x: Array) -> Array:
    """y = 0 if x <= 0 else x; a NaN travels, as np.maximum lets it."""
    return np.maximum(x, 0)


def relu_vjp(dy: Array, y: Array) -> Array:
    """dx = dy ∘ H(y), H(y) = 1 if y > 0 else 0."""
    return np.asarray(dy * (y > 0))


def tanh_forward(x: Array) -> Array:
    """y = tanh x."""
    return np.asarray(np.tanh(x))


def tanh_vjp(dy: Array, y: Array) -> Array:
    """dx = dy ∘ (1 - y²)."""
    return np.asarray(dy * (1 - y * y))


def sigmoid_forward(x: Array) -> Array:
    """y = 1 / (1 + exp(-x)), as exp(min(x, 0)) / (1 + exp(-|x|)), which cannot overflow."""
    return np.asarray(np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))))


def sigmoid_vjp(dy: Array, y: Array) -> Array:
    """dx = dy ∘ y (1 - y)."""
    return np.asarray(dy * (y * (1 - y)))


# A diagonal Jacobian is its own transpose: a tangent is pushed just as a cotangent is pulled, ty = tx ∘ φ'.
identity_jvp, relu_jvp, tanh_jvp, sigmoid_jvp = identity_vjp, relu_vjp, tanh_vjp, sigmoid_vjp
dropout_jvp = dropout_vjp

ACTIVATIONS = {
    "identity": (identity_forward, identity_vjp, identity_jvp),
    "relu": (relu_forward, relu_vjp, relu_jvp),
    "tanh": (tanh_forward, tanh_vjp, tanh_jvp),
    "sigmoid": (sigmoid_forward, sigmoid_vjp, sigmoid_jvp),
}


def cross_entropy_rows(z: Array, labels: Array) -> Array:
    """Return the loss of each row, log Σ_k exp(z_bk) - z_b[y_b]; z (B, K), labels (B,) integers in [0, K)."""
    return _log_softmax_loss(z, labels)[0]


def cross_entropy(z: Array, labels: Array) -> tuple[float, Array]:
    """Return loss = mean_b (log Σ_k exp(z_bk) - z_b[y_b]) and dz = (p - onehot(y)) / B.

    Parameters
    ----------
    z : (B, K) logits
    labels : (B,) integers in [0, K)

    Examples
    --------
    >>> loss, dz = cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 6), dz.tolist()                # log 4, and p - y with p = 1/4
    (1.386294, [[0.25, 0.25, -0.75, 0.25]])
    """
    rows, dz = _log_softmax_loss(z, labels)
    dz[np.arange(len(z)), labels] -= 1
    dz /= len(z)
    return float(rows.mean(dtype=np.float64)), dz


def _log_softmax_loss(z: Array, labels: Array) -> tuple[Array, Array]:
    """Row losses and p; z is shifted by its row maximum so that no exp overflows."""
    shifted = z - z.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1)
    p /= total[:, None]
    return np.log(total) - shifted[np.arange(len(z)), labels], p


def mse_rows(z: Array, y: Array) -> Array:
    """Return the loss of each row, Σ_n (z_bn - y_bn)² / N; z and y (B, N)."""
    return np.asarray(np.square(z - _like(y, z)).mean(axis=1))


def mse(z: Array, y: Array) -> tuple[float, Array]:
    """Return loss = Σ (z - y)² / (B N), the mean over all elements, and dz = 2 (z - y) / (B N).

    Examples
    --------
    >>> loss, dz = mse(np.array([[1.0, 3.0]]), np.array([[0.0, 0.0]]))
    >>> loss, dz.tolist()
    (5.0, [[1.0, 3.0]])
    """
    return float(mse_rows(z, y).mean(dtype=np.float64)), (z - _like(y, z)) * (2.0 / z.size)


def _like(y: Array, z: Array) -> Array:
    """Targets with the shape and dtype of the outputs, so that (B,) against (B, 1) cannot broadcast."""
    return np.asarray(y, z.dtype).reshape(z.shape)


def sgd(theta: Array, g: Array, state: State, lr: float, momentum: float = 0.0) -> tuple[Array, State]:
    """One step of gradient descent: m <- momentum m + g, theta <- theta - lr m.

    Parameters
    ----------
    theta, g : arrays of one shape and dtype, which the results keep
    state : {} before the first step, then what the last step returned

    Examples
    --------
    >>> theta, state = np.array([1.0]), {}
    >>> for _ in range(2):
    ...     theta, state = sgd(theta, 2 * theta, state, lr=0.25, momentum=0.5)
    >>> theta.tolist(), state["m"].tolist()
    ([0.0], [2.0])
    """
    if momentum == 0:
        return theta - float(lr) * g, {}
    m = momentum * state["m"] + g if state else g.copy()
    return theta - float(lr) * m, {"m": m}


def adam(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> tuple[Array, State]:
    """One step of Adam, as in torch.optim.

    m <- β₁m + (1-β₁)g, v <- β₂v + (1-β₂)g², theta <- theta - lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + eps),
    t the number of this step, from 1. `state` holds t, m, v and is {} before the first step.

    Examples
    --------
    >>> theta, state = adam(np.array([1.0, 1.0]), np.array([1e-3, -7.0]), {}, lr=0.5)
    >>> theta.round(4).tolist()                    # the first step is lr sign(g)
    [0.5, 1.5]
    """
    beta1, beta2 = betas
    t = state.get("t", 0) + 1
    m = (1 - beta1) * g
    v = g * g
    v *= 1 - beta2
    if state:
        m += beta1 * state["m"]
        v += beta2 * state["v"]
    root = np.sqrt(v)
    root /= (1 - beta2**t) ** 0.5
    root += eps
    move = np.divide(m, root, out=root)
    move *= float(lr) / (1 - beta1**t)
    return theta - move, {"t": t, "m": m, "v": v}


def adamw(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> tuple[Array, State]:
    """One step of AdamW: theta <- theta (1 - lr weight_decay), biases too, then the step of Adam."""
    return adam(theta * (1 - float(lr) * weight_decay), g, state, lr, betas, eps)


LOSSES = {"cross_entropy": cross_entropy, "mse": mse}
BLOCK = 32768  # parameters an optimiser visits at a time: its temporaries stay in L2, which halves its time


class MLP:
    """A stack of layers trained by hand-written backpropagation.

    Parameters
    ----------
    layers : ("linear", W, b), ("dropout", p), ("relu",), ("tanh",), ("sigmoid",) or ("identity",), in order
    loss : "cross_entropy" or "mse"

    Attributes
    ----------
    theta : every parameter in one vector, in layer order, W before b
    parameters : name -> view of `theta`, named "0.weight", "0.bias" after the index of the layer
    steps_done : optimiser steps so far; it selects the dropout masks and the place in the epoch

    Examples
    --------
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
                t = ACTIVATIONS[layer[0]][2](t, values[node + 1])
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
                x = ACTIVATIONS[layer[0]][0](x)
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

        Training stops at its first product, whose dx nobody needs; a vjp goes on to the inputs, bottom = -1.
        """
        u = np.asarray(u, self.theta.dtype)
        for node in range(len(self.layers) - 1, max(bottom, 0) - 1, -1):
            layer, x, y = self.layers[node], values[node], values[node + 1]
            if layer[0] == "linear":
                np.matmul(x.T, u, out=self._gradients[f"{node}.weight"])
                u.sum(axis=0, out=self._gradients[f"{node}.bias"])
                u = u if node == bottom else u @ self.parameters[f"{node}.weight"].T
            elif layer[0] != "dropout":
                u = ACTIVATIONS[layer[0]][1](u, y)
            elif node in kept:
                u = dropout_vjp(u, kept[node], layer[1])
        return u
