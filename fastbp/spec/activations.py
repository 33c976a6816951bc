"""Activations as layer specs, with bounds on values and derivatives that show whether gradients can overflow."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

from fastbp.errors import ConfigError, not_one_of
from fastbp.spec.checks import flag, from_zero, positive, real
from fastbp.spec.initial import Init
from fastbp.spec.layers import Draws, Layer


@dataclass(frozen=True)
class Activation(Layer):
    """y = φ(z), number by number.

    `growth`, `offset` and `slope` bound it: |φ(z)| <= growth |z| + offset and |φ'| <= slope. `formula` is φ as text, in
    x and the two `constants`, a and b: second derivatives are taken of it. `variants` are further names, with settings.
    """

    formula: ClassVar[str]
    variants: ClassVar[dict[str, dict[str, Any]]] = {}

    growth: ClassVar[float] = 1.0
    offset: ClassVar[float] = 1.0
    slope: ClassVar[float] = 1.2

    def constants(self) -> tuple[float, float]:
        """The two settings that its kernels read."""
        return 0.0, 0.0

    def traced(self, x: Any) -> Any:
        """φ of traced values."""
        from fastbp.autodiff.expression import parse

        return parse(self.formula, ("x", "a", "b"))(x, *self.constants())


@dataclass(frozen=True)
class Identity(Activation):
    """y = z."""

    kind: ClassVar[str] = "identity"
    formula: ClassVar[str] = "x"


@dataclass(frozen=True)
class ReLU(Activation):
    """y = 0 if z <= 0 else z."""

    kind: ClassVar[str] = "relu"
    formula: ClassVar[str] = "relu(x)"


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """y = z if z > 0 else a z.

    Parameters
    ----------
    negative_slope : float, >= 0
        a.
    """

    kind: ClassVar[str] = "leaky_relu"
    formula: ClassVar[str] = "where(x > 0, x, a * x)"
    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        self._check("negative_slope", from_zero)

    def constants(self) -> tuple[float, float]:
        return self.negative_slope, 0.0

    @property
    def growth(self) -> float:  # type: ignore[override]
        return max(1.0, self.negative_slope)

    slope = growth


@dataclass(frozen=True)
class PReLU(Layer):
    """y = z if z > 0 else a z, and a is learned (He et al., 2015).

    Parameters
    ----------
    per_feature : bool
        Whether every feature has its own a; otherwise all share one.
    init : float
        Initial value of a.
    """

    kind: ClassVar[str] = "prelu"
    per_feature: bool = False
    init: float = 0.25

    def __post_init__(self) -> None:
        self._check("per_feature", flag)
        self._check("init", real)

    def draws(self, inputs: int) -> Draws:
        count = inputs if self.per_feature else 1
        return {"weight": (Init("constant", self.init), (count,), inputs, inputs)}


@dataclass(frozen=True, repr=False)
class Parametric(Layer):
    """y = z + a (φ(z) - z), φ an activation, and each feature learns how much a it has of it.

    Parameters
    ----------
    activation : str or Activation
        φ: a name, a formula, or an activation such as ``fb.ELU(0.5)``.
    init : float
        Initial value of a: with 1 it begins as φ, with 0 as nothing.

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.Network([fb.Linear(4), fb.Parametric(fb.Mish()), fb.Linear(1)], inputs=2, seed=0)
    >>> net.parameters["1.weight"]
    array([1., 1., 1., 1.], dtype=float32)
    """

    kind: ClassVar[str] = "parametric"
    activation: Any = "selu"
    init: float = 1.0

    def __post_init__(self) -> None:
        from fastbp.spec.catalogue import activation_in

        object.__setattr__(self, "activation", activation_in("Parametric.activation", self.activation))
        self._check("init", real)

    def __repr__(self) -> str:
        return f"Parametric({self.activation!r}, init={self.init!r})"

    def draws(self, inputs: int) -> Draws:
        return {"weight": (Init("constant", self.init), (inputs,), inputs, inputs)}

    def plain(self) -> dict[str, Any]:
        own = self.activation.plain()
        return {"activation": {"name": self.activation.kind, **own} if own else self.activation.kind, "init": self.init}

    settings = plain


@dataclass(frozen=True)
class ELU(Activation):
    """y = z if z > 0 else a (exp(z) - 1) (Clevert et al., 2016).

    Parameters
    ----------
    alpha : float, >= 0
        a.
    """

    kind: ClassVar[str] = "elu"
    formula: ClassVar[str] = "where(x > 0, x, a * expm1(minimum(x, 0)))"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        self._check("alpha", from_zero)

    def constants(self) -> tuple[float, float]:
        return self.alpha, 0.0

    @property
    def offset(self) -> float:  # type: ignore[override]
        return max(1.0, self.alpha)

    slope = offset


@dataclass(frozen=True)
class SELU(Activation):
    """y = λ elu(z) with the λ and a that keep mean 0 and variance 1 from layer to layer (Klambauer et al., 2017)."""

    kind: ClassVar[str] = "selu"
    formula: ClassVar[str] = "1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * expm1(minimum(x, 0)))"
    growth: ClassVar[float] = 1.1
    offset: ClassVar[float] = 2.0
    slope: ClassVar[float] = 2.0


@dataclass(frozen=True)
class GELU(Activation):
    """y = z Φ(z), Φ the distribution of the standard normal (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    approximate : {"none", "tanh"}
        With "tanh" y = z (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2, as in many published networks.
    """

    kind: ClassVar[str] = "gelu"
    variants: ClassVar[dict[str, dict[str, Any]]] = {"gelu_tanh": {"approximate": "tanh"}}
    approximate: str = "none"

    def __post_init__(self) -> None:
        if not isinstance(self.approximate, str) or self.approximate not in ("none", "tanh"):
            raise not_one_of("GELU.approximate", self.approximate, ("none", "tanh"))

    @property
    def op(self) -> str:
        return "gelu" if self.approximate == "none" else "gelu_tanh"

    @property
    def formula(self) -> str:  # type: ignore[override]
        if self.approximate == "none":
            return "x * (0.5 + 0.5 * erf(x * sqrt(0.5)))"
        return "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))"


@dataclass(frozen=True)
class SiLU(Activation):
    """y = z / (1 + exp(-z)), also called swish."""

    kind: ClassVar[str] = "silu"
    formula: ClassVar[str] = "x * sigmoid(x)"


@dataclass(frozen=True)
class Mish(Activation):
    """y = z tanh(log(1 + exp(z))) (Misra, 2019)."""

    kind: ClassVar[str] = "mish"
    formula: ClassVar[str] = "x * tanh(softplus(x))"


@dataclass(frozen=True)
class Softplus(Activation):
    """y = log(1 + exp(β z)) / β.

    Parameters
    ----------
    beta : float, > 0
    """

    kind: ClassVar[str] = "softplus"
    formula: ClassVar[str] = "softplus(a * x) / a"
    beta: float = 1.0

    def __post_init__(self) -> None:
        self._check("beta", positive)

    def constants(self) -> tuple[float, float]:
        return self.beta, 0.0

    @property
    def offset(self) -> float:  # type: ignore[override]
        return max(1.0, log(2.0) / self.beta)


@dataclass(frozen=True)
class Softsign(Activation):
    """y = z / (1 + |z|)."""

    kind: ClassVar[str] = "softsign"
    formula: ClassVar[str] = "x / (1 + abs(x))"


@dataclass(frozen=True)
class Sigmoid(Activation):
    """y = 1 / (1 + exp(-z))."""

    kind: ClassVar[str] = "sigmoid"
    formula: ClassVar[str] = "sigmoid(x)"


@dataclass(frozen=True)
class HardSigmoid(Activation):
    """y = min(max(z + 3, 0), 6) / 6."""

    kind: ClassVar[str] = "hard_sigmoid"
    formula: ClassVar[str] = "minimum(maximum(x + 3, 0), 6) / 6"


@dataclass(frozen=True)
class Tanh(Activation):
    """y = tanh(z)."""

    kind: ClassVar[str] = "tanh"
    formula: ClassVar[str] = "tanh(x)"


@dataclass(frozen=True)
class Hardtanh(Activation):
    """y = min(max(z, low), high).

    Parameters
    ----------
    min_val, max_val : float, min_val < max_val
    """

    kind: ClassVar[str] = "hardtanh"
    formula: ClassVar[str] = "minimum(maximum(x, a), b)"
    min_val: float = -1.0
    max_val: float = 1.0

    def __post_init__(self) -> None:
        self._check("min_val", real)
        self._check("max_val", real)
        if self.min_val >= self.max_val:
            raise ConfigError("Hardtanh.max_val", f"must be above `min_val`, {self.min_val}", f"`{self.max_val}`")

    def constants(self) -> tuple[float, float]:
        return self.min_val, self.max_val

    @property
    def offset(self) -> float:  # type: ignore[override]
        return max(1.0, abs(self.min_val), abs(self.max_val))


@dataclass(frozen=True)
class Softmax(Layer):
    """y = exp(z) / Σ exp(z) over the features of a row: probabilities, for a loss other than cross-entropy."""

    kind: ClassVar[str] = "softmax"


@dataclass(frozen=True)
class LogSoftmax(Layer):
    """y = z - log Σ exp(z) over the features of a row."""

    kind: ClassVar[str] = "log_softmax"
