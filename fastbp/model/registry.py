"""Every op there is, one line each: what a user calls it, its kernels, its twin in NumPy, its formula.

The lowering takes kernel names from here, and so do the tests, which climb the whole ladder for every line. A kernel
that no line names is plumbing and stands in PLUMBING.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Op:
    """One op.

    Attributes
    ----------
    family : {"linear", "elementwise", "noise", "loss", "optimizer"}
    forward, vjp, jvp : str
        Names of kernels; a loss has its vjp in its forward kernel, an optimiser has neither vjp nor jvp.
    formula, derivative : str
    twin : str
        Prefix of the functions in `fastbp.reference`.
    """

    family: str
    forward: str
    vjp: str
    jvp: str
    formula: str
    derivative: str
    twin: str


OPS: dict[str, Op] = {
    "linear": Op(
        "linear",
        "product",
        "product weights",
        "product",
        "z = x W + b",
        "dx = dz Wᵀ, dW = xᵀ dz, db = Σ dz",
        "linear",
    ),
    "identity": Op("elementwise", "", "", "", "y = z", "dz = dy", "identity"),
    "relu": Op(
        "elementwise",
        "relu_forward",
        "relu_vjp",
        "relu_vjp",
        "y = 0 if z <= 0 else z",
        "dz = dy H(z)",
        "relu",
    ),
    "tanh": Op("elementwise", "tanh_forward", "tanh_vjp", "tanh_vjp", "y = tanh z", "dz = dy (1 - y²)", "tanh"),
    "sigmoid": Op(
        "elementwise",
        "sigmoid_forward",
        "sigmoid_vjp",
        "sigmoid_vjp",
        "y = 1 / (1 + exp(-z))",
        "dz = dy y (1 - y)",
        "sigmoid",
    ),
    "dropout": Op("noise", "dropout", "dropout", "dropout", "y = m x / (1 - p)", "dx = m dy / (1 - p)", "dropout"),
    "cross_entropy": Op(
        "loss",
        "cross_entropy",
        "cross_entropy",
        "",
        "L = log Σ exp(z) - z_y",
        "dz = (p - y) / B",
        "cross_entropy",
    ),
    "mse": Op("loss", "mse", "mse", "", "L = Σ (z - t)² / N", "dz = 2 (z - t) / (B N)", "mse"),
    "sgd": Op("optimizer", "sgd", "", "", "m ← μ m + g, p ← p - η m", "", "sgd"),
    "adam": Op("optimizer", "adam", "", "", "p ← p - η m̂ / (√v̂ + ε)", "", "adam"),
    "adamw": Op("optimizer", "adam", "", "", "p ← p (1 - η λ) - η m̂ / (√v̂ + ε)", "", "adamw"),
}

PLUMBING = (
    "begin",  # the sweeps themselves
    "begin_batch",
    "work",
    "gather",  # between the user's rows and panels
    "scatter",
    "transpose_weights",
    "keep_gradients",  # in the place of an optimiser, when a user asks for gradients
    "scan_reals",  # looks at arrays before they are used
    "scan_labels",
)
