"""Initial parameters: a pure function of the seed, with the same bits on every machine.

Every tensor has a stream of numbers u₀, u₁, ... in (0, 1) of its own. The uniform initialisers take one for each
element, in row-major order. The normal ones take them in pairs (Box and Muller, 1958):

    r = √(-2 log u₂ᵢ)    z₂ᵢ = r cos 2πu₂ᵢ₊₁    z₂ᵢ₊₁ = r sin 2πu₂ᵢ₊₁

so an element depends on its own place only, except in an orthogonal matrix. A truncated number is drawn again from its
place in another stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.compiler import kernel_address, sweep
from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.numerics.exact import log, turns
from fastbp.numerics.philox import uniform, uniform_at
from fastbp.spec.checks import positive, real

Array = NDArray[np.float64]

CUT = 2.0  # largest magnitude of a truncated normal number, where none is said
CHUNK = 1 << 15  # numbers converted at a time, so that temporaries stay in cache


@dataclass(frozen=True)
class Init:
    """How a tensor is drawn: an initialiser by name, and its scale where it has one.

    Parameters
    ----------
    name : str
        One of `INITIALISERS`.
    scale : float, optional
        See `INITIALISERS`, which has its default, too.

    Examples
    --------
    >>> init_spec("init", "he_normal")
    Init(name='he_normal', scale=1.0)
    >>> draw(Init("glorot_uniform", 2.0), (2, 3), fan_in=2, fan_out=3, seed=0, tensor=0).round(3).tolist()
    [[-0.442, 1.667, 1.033], [0.462, 2.069, -0.604]]
    """

    name: str
    scale: float | None = None


@dataclass(frozen=True)
class Initialiser:
    """An initialiser: its distribution (I the fan in, O the fan out, c the scale), meaning and default of c."""

    formula: str
    scale: str = ""
    default: float | None = None


_GAIN = "gain, above 0"

INITIALISERS: dict[str, Initialiser] = {
    "torch": Initialiser("uniform between ±1/√I, as PyTorch's Linear draws weights and biases"),
    "he_normal": Initialiser("normal, standard deviation c √(2 / I)", _GAIN, 1.0),
    "he_uniform": Initialiser("uniform between ±c √(6 / I)", _GAIN, 1.0),
    "glorot_normal": Initialiser("normal, standard deviation c √(2 / (I + O))", _GAIN, 1.0),
    "glorot_uniform": Initialiser("uniform between ±c √(6 / (I + O))", _GAIN, 1.0),
    "lecun_normal": Initialiser("normal, standard deviation c √(1 / I)", _GAIN, 1.0),
    "lecun_uniform": Initialiser("uniform between ±c √(3 / I)", _GAIN, 1.0),
    "normal": Initialiser("normal, standard deviation c", "standard deviation, above 0", 1.0),
    "uniform": Initialiser("uniform between ±c", "bound, above 0", 0.05),
    "truncated_normal": Initialiser(
        "normal, standard deviation c before all beyond ±2c is drawn again", "standard deviation, above 0", 0.02
    ),
    "truncated_normal_3": Initialiser("the same, but beyond ±3c", "standard deviation, above 0", 0.02),
    "orthogonal": Initialiser("c times orthonormal rows, or columns where these are fewer", _GAIN, 1.0),
    "signs": Initialiser("-1 or 1, as likely as each other"),
    "zeros": Initialiser("0"),
    "ones": Initialiser("1"),
    "constant": Initialiser("c", "value, which must be given"),
}


def init_spec(where: str, value: Any) -> Init:
    """Check the name of an initialiser, or an `Init`, and fill in its scale.

    Examples
    --------
    >>> init_spec("Linear.weight_init", "he_norml")
    Traceback (most recent call last):
    fastbp.errors.ConfigError: `Linear.weight_init` must be one of `torch`, `he_normal`, ..., got `he_norml`
    hint: did you mean `he_normal`?
    """
    init = Init(value) if isinstance(value, str) else value
    if not isinstance(init, Init):
        raise ConfigTypeError(where, "must be the name of an initialiser or a `fb.Init`", f"`{brief(value)}`")
    if not isinstance(init.name, str) or init.name not in INITIALISERS:
        raise not_one_of(where, init.name, INITIALISERS)
    known = INITIALISERS[init.name]
    if init.scale is None:
        if init.name == "constant":
            raise ConfigError(where, "must have a value if it is `constant`", "`None`")
        return Init(init.name, known.default)
    if not known.scale:
        raise ConfigError(where, f"must have no scale if it is `{init.name}`", f"`{init.scale}`")
    check = real if init.name == "constant" else positive
    return Init(init.name, check(f"{where}.scale", init.scale))


def draw(init: Init, shape: tuple[int, ...], fan_in: int, fan_out: int, seed: int, tensor: int) -> Array:
    """Draw a tensor: a pure function of its arguments.

    Parameters
    ----------
    init : Init
    shape : tuple of int
    fan_in, fan_out : int
        I and O of the formulas; each element of a weight of shape (I, O) is one of the I an output sums over.
    seed : int, below 2**64
    tensor : int, below 2**32
        Number of the tensor in the network.

    Returns
    -------
    array of float64
    """
    scale = init_spec("init", init).scale
    c = 1.0 if scale is None else scale
    return _DRAWN[init.name](_Tensor(tuple(shape), fan_in, fan_out, seed, tensor), c).reshape(shape)


@dataclass(frozen=True)
class _Tensor:
    """A tensor to be drawn by any initialiser."""

    shape: tuple[int, ...]
    fan_in: int
    fan_out: int
    seed: int
    number: int

    def uniform(self, bound: float) -> Array:
        """Uniform between ±bound."""
        return np.asarray((2.0 * uniform(prod(self.shape), self.seed, self.number) - 1.0) * bound)

    def normal(self) -> Array:
        """Standard normal."""
        count = prod(self.shape)
        u = uniform(count + count % 2, self.seed, self.number)
        for i in range(0, len(u), CHUNK):
            part = u[i : i + CHUNK]
            part[0::2], part[1::2] = _pair(part[0::2], part[1::2])
        return u[:count]

    def truncated(self, cut: float = CUT) -> Array:
        """Standard normal, drawn again while its magnitude is above the cut."""
        z = self.normal()
        far = np.flatnonzero(np.abs(z) > cut)
        attempt = 0
        while far.size:
            attempt += 1
            first = far - (far & 1)
            u, v = (uniform_at(i, self.seed, self.number, attempt) for i in (first, first + 1))
            even, odd = _pair(u, v)
            z[far] = np.where(far & 1, odd, even)
            far = far[np.abs(z[far]) > cut]
        return z

    def orthogonal(self) -> Array:
        """Normal numbers, their rows made orthonormal, or their columns where these are fewer."""
        if len(self.shape) != 2:
            raise ConfigError(f"`orthogonal` needs a matrix, got shape `{self.shape}`")
        z = self.normal().reshape(self.shape)
        rows = z if z.shape[0] <= z.shape[1] else z.T
        count, width = rows.shape
        lines = -(-width // 8) | 1  # an odd number: rows 4 KiB apart would share cache sets of L1
        matrix = np.zeros((count, 8 * lines))
        matrix[:, :width] = rows
        function = kernel_address("orthonormalise", "float64")
        sweep("invoke", "float64")(function, matrix.ctypes.data, 0, lines, count, 0.0)
        rows[...] = matrix[:, :width]
        return z


def _pair(u: Array, v: Array) -> tuple[Array, Array]:
    """Two independent standard normal numbers of two independent uniform ones."""
    r = np.sqrt(-2.0 * log(u))
    cosine, sine = turns(v)
    return r * cosine, r * sine


_DRAWN: dict[str, Callable[[_Tensor, float], Array]] = {
    "torch": lambda t, c: t.uniform(1.0 / sqrt(t.fan_in)),
    "he_normal": lambda t, c: c * sqrt(2.0 / t.fan_in) * t.normal(),
    "he_uniform": lambda t, c: t.uniform(c * sqrt(6.0 / t.fan_in)),
    "glorot_normal": lambda t, c: c * sqrt(2.0 / (t.fan_in + t.fan_out)) * t.normal(),
    "glorot_uniform": lambda t, c: t.uniform(c * sqrt(6.0 / (t.fan_in + t.fan_out))),
    "lecun_normal": lambda t, c: c * sqrt(1.0 / t.fan_in) * t.normal(),
    "lecun_uniform": lambda t, c: t.uniform(c * sqrt(3.0 / t.fan_in)),
    "normal": lambda t, c: c * t.normal(),
    "uniform": lambda t, c: t.uniform(c),
    "truncated_normal": lambda t, c: c * t.truncated(),
    "truncated_normal_3": lambda t, c: c * t.truncated(3.0),
    "orthogonal": lambda t, c: c * t.orthogonal(),
    "signs": lambda t, c: np.where(t.uniform(1.0) < 0.0, -1.0, 1.0),
    "zeros": lambda t, c: np.zeros(t.shape),
    "ones": lambda t, c: np.ones(t.shape),
    "constant": lambda t, c: np.full(t.shape, c),
}


def tensor_of(node: int, part: int) -> int:
    """The stream of a part: two per node; further parts use later numbers."""
    return 2 * node + part % 2 + (part // 2 << 20)
