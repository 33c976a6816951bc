"""Every op, one line each: family, kernels, NumPy twin, formula and derivative.

Lowering, tests and `docs/ops.md` read this table. A kernel that neither a line nor an optimiser's rule names is listed
in PLUMBING.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Op:
    """One op.

    Attributes
    ----------
    family : str
        What lowers it: a rule of `lowering.rules`, or "loss".
    forward, vjp, jvp : str
        Names of kernels; a loss has its vjp in its forward kernel.
    formula, derivative : str
    twin : str
        Prefix of the functions in `fastbp.reference`.
    saves : {"output", "input"}
        What an elementwise op's vjp reads.
    """

    family: str
    forward: str
    vjp: str
    jvp: str
    formula: str
    derivative: str
    twin: str
    saves: str = "output"


OPS: dict[str, Op] = {
    "linear": Op(
        "linear",
        "product coded_product multiply_forward",
        "product weights coded_weights columns multiply_forward",
        "product multiply_forward",
        "z = x W + b",
        "dx = dz Wᵀ, dW = xᵀ dz, db = Σ dz",
        "linear",
    ),
    "identity": Op("identity", "", "", "", "y = z", "dz = dy", "identity"),
}


def _activation(name: str, saves: str, formula: str, derivative: str) -> None:
    pull = f"{name}_vjp"
    OPS[name] = Op("elementwise", f"{name}_forward", pull, pull, formula, derivative, name, saves)


_activation("relu", "output", "y = 0 if z <= 0 else z", "dz = dy H(z)")
_activation("leaky_relu", "output", "y = z if z > 0 else a z", "dz = dy (1 if z > 0 else a)")
_activation("elu", "input", "y = z if z > 0 else a (exp(z) - 1)", "dz = dy (1 if z > 0 else a exp(z))")
_activation("selu", "input", "y = λ (z if z > 0 else a (exp(z) - 1))", "dz = dy λ (1 if z > 0 else a exp(z))")
_activation("gelu", "input", "y = z Φ(z)", "dz = dy (Φ(z) + z exp(-z²/2) / √(2π))")
_activation(
    "gelu_tanh",
    "input",
    "y = z (1 + tanh u) / 2, u = √(2/π) (z + 0.044715 z³)",
    "dz = dy (1 + tanh u + z (1 - tanh² u) u') / 2",
)
_activation("silu", "input", "y = z σ(z)", "dz = dy σ(z) (1 + z (1 - σ(z)))")
_activation("mish", "input", "y = z τ, τ = tanh(log(1 + exp(z)))", "dz = dy (τ + z σ(z) (1 - τ²))")
_activation("softplus", "output", "y = log(1 + exp(β z)) / β", "dz = dy (1 - exp(-β y))")
_activation("softsign", "input", "y = z / (1 + |z|)", "dz = dy / (1 + |z|)²")
_activation("sigmoid", "output", "y = 1 / (1 + exp(-z))", "dz = dy y (1 - y)")
_activation("hard_sigmoid", "output", "y = min(max(z + 3, 0), 6) / 6", "dz = dy / 6 if 0 < y < 1 else 0")
_activation("tanh", "output", "y = tanh z", "dz = dy (1 - y²)")
_activation("hardtanh", "output", "y = min(max(z, low), high)", "dz = dy if low < y < high else 0")

OPS |= {
    "custom": Op("custom", "", "", "", "y = f(x), f a user's", "dx = dy f'(x), from the table of gates", "custom"),
    "member_scale": Op(
        "scale",
        "scale",
        "scale columns",
        "scale",
        "y_k = s_k x_k of member k",
        "dx_k = dy_k s_k, ds_k = Σ dy_k x_k",
        "scale",
    ),
    "member_linear": Op(
        "linear",
        "product",
        "product weights columns",
        "product",
        "z_k = x_k W_k + b_k of member k",
        "dx_k = dz_k W_kᵀ, dW_k = x_kᵀ dz_k, db_k = Σ dz_k",
        "linear",
    ),
    "adapted_linear": Op(
        "adapted_linear",
        "scale product",
        "scale product weights columns",
        "scale product",
        "z_k = s_k ((r_k x_k) W) + b_k of member k",
        "dx_k = r_k ((dz_k s_k) Wᵀ), dW = Σ_k (r_k x_k)ᵀ (dz_k s_k), dr_k = Σ x_k dx_k / r_k, ds_k = Σ dz_k v_k",
        "adapted_linear",
    ),
    "members": Op(
        "members",
        "branch_add branch_times log_softmax_forward softplus_forward branch_log_add_exp branch_affine branch_subtract",
        "branch_times branch_exp_difference branch_add branch_product log_softmax_vjp",
        "branch_times branch_exp_difference branch_add branch_product log_softmax_jvp",
        "y = Σ z_k / K; of probabilities y = log Σ softmax(z_k) / K",
        "dz_k = dy / K; of probabilities dz_k = p_k (u - Σ u p_k) / K, u = dy exp(-y)",
        "members",
    ),
    "prelu": Op(
        "prelu",
        "prelu",
        "prelu prelu_columns",
        "prelu",
        "y = z if z > 0 else a z",
        "dz = dy (1 if z > 0 else a), da = Σ dy min(z, 0)",
        "prelu",
    ),
    "parametric": Op(
        "parametric",
        "parametric branch_subtract",
        "parametric columns",
        "parametric",
        "y = z + a (φ(z) - z), φ an activation",
        "dz = dy + a (dy φ'(z) - dy), da = Σ dy (φ(z) - z)",
        "parametric",
    ),
    "softmax": Op(
        "softmax",
        "softmax_forward",
        "softmax_vjp",
        "softmax_vjp",
        "y = exp(z) / Σ exp(z)",
        "dz = y (dy - Σ dy y)",
        "softmax",
    ),
    "log_softmax": Op(
        "softmax",
        "log_softmax_forward",
        "log_softmax_vjp",
        "log_softmax_jvp",
        "y = z - log Σ exp(z)",
        "dz = dy - exp(y) Σ dy",
        "log_softmax",
    ),
    "scale": Op("scale", "scale", "scale columns", "scale", "y = s x", "dx = dy s, ds = Σ dy x", "scale"),
    "add": Op("pair", "branch_add", "branch_add", "branch_add", "z = x + y", "dx = dz, dy = dz", "add"),
    "subtract": Op(
        "pair",
        "branch_subtract",
        "branch_times",
        "branch_subtract",
        "z = x - y",
        "dx = dz, dy = -dz",
        "subtract",
    ),
    "multiply": Op(
        "pair", "branch_product", "branch_product", "branch_product", "z = x y", "dx = dz y, dy = dz x", "multiply"
    ),
    "divide": Op(
        "pair",
        "branch_divide",
        "branch_divide branch_minus_product",
        "branch_divide",
        "z = x / y",
        "dx = dz / y, dy = -dx z",
        "divide",
    ),
    "affine": Op("affine", "branch_affine", "branch_times", "branch_times", "y = a x + b", "dx = a dy", "affine"),
    "reciprocal": Op(
        "reciprocal",
        "branch_over",
        "branch_over_slope branch_product",
        "branch_over_slope",
        "y = a / x",
        "dx = -a dy / x²",
        "reciprocal",
    ),
    "concat": Op(
        "concat", "branch_copy", "branch_copy", "branch_copy", "z = [x, y]", "dx, dy = their columns of dz", "concat"
    ),
    "slice": Op(
        "slice",
        "branch_copy",
        "branch_clear branch_copy",
        "branch_copy",
        "y = x[:, start:stop]",
        "dx = dy in those columns, 0 in others",
        "slice",
    ),
    "sum": Op("sum", "branch_row_sum", "branch_repeat", "branch_row_sum", "y = Σ x", "dx = dy", "sum"),
    "mean": Op("sum", "branch_row_sum", "branch_repeat", "branch_row_sum", "y = Σ x / N", "dx = dy / N", "mean"),
    "repeat": Op("repeat", "branch_repeat", "branch_row_sum", "branch_repeat", "y = x, N times", "dx = Σ dy", "repeat"),
    "dropout": Op("noise", "dropout", "dropout", "dropout", "y = m x / (1 - p)", "dx = m dy / (1 - p)", "dropout"),
    "layer_norm": Op(
        "row_norm",
        "layer_norm_forward",
        "layer_norm_vjp columns",
        "layer_norm_jvp",
        "y = γ n + β, n = (x - mean x) r, r = 1 / √(var x + ε)",
        "dx = r (u - mean u - n mean(u n)), u = dy γ, dγ = Σ dy n, dβ = Σ dy",
        "layer_norm",
    ),
    "rms_norm": Op(
        "row_norm",
        "rms_norm_forward",
        "rms_norm_vjp columns",
        "rms_norm_jvp",
        "y = γ n, n = x r, r = 1 / √(mean x² + ε)",
        "dx = r (u - n mean(u n)), u = dy γ, dγ = Σ dy n",
        "rms_norm",
    ),
    "batch_norm": Op(
        "batch_norm",
        "batch_norm_statistics batch_norm_forward",
        "batch_norm_sums batch_norm_vjp batch_norm_slope batch_norm_columns columns",
        "batch_norm_slope",
        "y = γ n + β, n = (x - mean) r, r = 1 / √(var + ε), over the batch",
        "dx = γ r (dy - (dβ + n dγ) / B), dγ = Σ dy n, dβ = Σ dy",
        "batch_norm",
    ),
    "embedding": Op(
        "embedding",
        "embedding_forward",
        "embedding_vjp embedding_rows embedding_update",
        "embedding_jvp",
        "y = [x of other columns, T[codes]]",
        "dT[v] = Σ dy of the rows with code v",
        "embedding",
    ),
    "piecewise_linear": Op(
        "bins",
        "piecewise_linear_forward",
        "piecewise_linear_vjp",
        "piecewise_linear_jvp",
        "y = [x, e of each bin], e = (x - b) / w, 0 before and 1 behind the bin",
        "dx = dy + de / w of the bin that x is in",
        "piecewise_linear",
    ),
    "pbld": Op(
        "pbld",
        "branch_repeat scale wave_cosine product branch_copy",
        "branch_clear branch_copy product branch_product scale branch_row_sum branch_add weights columns",
        "branch_repeat scale branch_product product branch_copy",
        "y = [h W + β of each column, x], h = cos(2π w x + b)",
        "dx = dx + 2π Σ dz w, dw = 2π Σ dz x, db = Σ dz, dz = -sin(2π w x + b) dy Wᵀ, dW = hᵀ dy, dβ = Σ dy",
        "pbld",
    ),
    "cosine": Op(
        "cosine",
        "branch_repeat scale wave_cosine branch_copy",
        "branch_clear branch_copy branch_product scale branch_row_sum branch_add columns",
        "branch_repeat scale branch_product branch_copy",
        "y = [h a + c of each column, x], h = cos(2π (w x + b))",
        "dx = dx + Σ dz w, dw = Σ dz x, db = Σ dz, dz = -2π sin(2π (w x + b)) a dy, da = Σ dy h, dc = Σ dy",
        "cosine",
    ),
    "periodic": Op(
        "periodic",
        "branch_repeat scale wave_cosine branch_times product branch_add relu_forward branch_copy",
        "branch_clear branch_copy relu_vjp product branch_product branch_add scale branch_row_sum weights columns",
        "branch_repeat scale branch_product product branch_add relu_vjp branch_copy",
        "y = [max(0, z) of each column, x of others], z = cos(u) A + sin(u) B + β, u = 2π w x",
        "dw = 2π Σ du x, du = cos(u) dz Bᵀ - sin(u) dz Aᵀ, dA = cos(u)ᵀ dz, dB = sin(u)ᵀ dz, dβ = Σ dz, dz = dy H(z)",
        "periodic",
    ),
    "piecewise_linear_embedding": Op(
        "piecewise_linear_embedding",
        "branch_repeat scale piecewise_linear_forward product branch_add branch_copy",
        "branch_clear branch_copy product piecewise_linear_vjp scale branch_row_sum branch_add weights columns",
        "branch_repeat scale piecewise_linear_jvp product branch_add branch_copy",
        "y = [w x + b + e V of each column, x of others], e as in `piecewise_linear`",
        "dx = Σ dz w + dz Vᵀ / the width of the bin that x is in, dw = Σ dz x, db = Σ dz, dV = eᵀ dz",
        "piecewise_linear_embedding",
    ),
}


def _loss(name: str, formula: str, derivative: str, kernels: str = "") -> None:
    OPS[name] = Op("loss", kernels or name, kernels or name, "", formula, derivative, name)


_loss(
    "cross_entropy",
    "ℓ = Σ q (log Σ exp(z) - z), q the target",
    "dz = p Σ q - q, p = softmax(z)",
    "cross_entropy cross_entropy_smoothed cross_entropy_probabilities",
)
_loss(
    "binary_cross_entropy",
    "ℓ = Σ ((1 - t) z + w log(1 + exp(-z))) / N, w = 1 + (c - 1) t",
    "dz = ((1 - t) - w σ(-z)) / N",
)
_loss("mse", "ℓ = Σ (z - t)² / N", "dz = 2 (z - t) / N")
_loss("half_mse", "ℓ = ½ Σ (z - t)²", "dz = z - t")
_loss("mae", "ℓ = Σ |z - t| / N", "dz = sign(z - t) / N")
_loss("huber", "ℓ = Σ (e²/2 if |e| <= δ else δ (|e| - δ/2)) / N, e = z - t", "dz = clip(e, ±δ) / N")
_loss("quantile", "ℓ = Σ max(q (t - z), (q - 1) (t - z)) / N", "dz = (-q if z < t, 1 - q if z > t, 0 else) / N")
_loss("log_cosh", "ℓ = Σ log cosh(z - t) / N", "dz = tanh(z - t) / N")
_loss("poisson", "ℓ = Σ (exp(z) - t z) / N", "dz = (exp(z) - t) / N")
_loss(
    "gaussian_nll",
    "ℓ = Σ ½ (s + (t - m)² exp(-s)) / N, z = (m, s)",
    "dm = (m - t) exp(-s) / N, ds = ½ (1 - (t - m)² exp(-s)) / N",
)
_loss(
    "multi_margin",
    "ℓ = Σ max(0, μ - z_y + z_k)ᵉ / K over k ≠ y",
    "dz_k = e max(0, μ - z_y + z_k)ᵉ⁻¹ / K, dz_y = -Σ dz_k",
)


PLUMBING = (
    "begin",  # the sweeps themselves
    "begin_batch",
    "work",
    "gate_groups",
    "gather",  # between users' rows and panels
    "gather_coded",
    "scatter",
    "gather_repeated",  # for whole Jacobians
    "unit_rows",
    "scatter_columns",
    "transpose_weights",
    "keep_gradients",  # instead of an optimiser, to keep gradients
    "join_losses",  # of several outputs
    "dot",  # a loss with a given gradient, for the parameters' vjp
    "taken",  # sums of all ranks, instead of a rank's own
    "embedding_taken",
    "batch_norm_totals",
    "batch_norm_squares",
    "norm",  # of kept gradients
    "update",
    "muon_momentum",  # orthogonal directions
    "muon_begin",
    "muon_gram",
    "muon_factor",
    "muon_product",
    "muon_end",
    "rest",  # checks for values that are not finite
    "attempt",
    "scan_reals",  # checks of arrays before use
    "scan_labels",
    "orthonormalise",  # for an initialiser
)
