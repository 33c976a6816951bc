"""Optimisers as settings; their kernels are in `kernels/optimizers/`.

All of them take `weight_decay`, λ, in one of two ways: coupled, as a part of the gradient (L2: g + λ p), or decoupled
(p ← p (1 - η λ) before the step). It applies to weight matrices and embedding tables, and with `decay_all` to biases,
norms, scales and slopes, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.spec.checks import flag, from_zero, positive
from fastbp.spec.elsewhere import KnownWords


@dataclass(frozen=True)
class Optimizer(KnownWords):
    """Base of all optimisers.

    `update` is a step's formula, for readers; its twin in `fastbp.reference` is called `kind`.
    """

    kind: ClassVar[str] = ""
    update: ClassVar[str] = ""
    turns: ClassVar[bool] = False  # whether hidden matrices step along orthogonal ones
    rates: ClassVar[tuple[str, ...]] = ("lr",)
    lr: float

    def _check(self, name: str, check: Any, *limits: Any) -> None:
        checked = check(f"{type(self).__name__}.{name}", getattr(self, name), *limits)
        object.__setattr__(self, name, checked)

    def _check_betas(self) -> None:
        name = type(self).__name__
        try:
            first, second = self.betas  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            got = self.betas  # type: ignore[attr-defined]
            raise ConfigTypeError(f"{name}.betas", "must be two numbers", f"`{brief(got)}`") from None
        betas = from_zero(f"{name}.betas[0]", first, 1.0), from_zero(f"{name}.betas[1]", second, 1.0)
        object.__setattr__(self, "betas", betas)

    def _beta_fields(self) -> dict[str, float]:
        return dict(zip(("beta_1", "beta_2"), self.betas, strict=True))  # type: ignore[attr-defined]

    def _check_decay(self) -> None:
        self._check("lr", positive)
        for name, check in (("weight_decay", from_zero), ("decoupled", flag), ("decay_all", flag)):
            if hasattr(self, name):
                self._check(name, check)

    @property
    def kernel(self) -> str:
        """The kernel that updates lines."""
        return self.kind

    @property
    def moments(self) -> int:
        """Numbers kept for each parameter."""
        from fastbp.kernels.optimizers import RULES

        return RULES[self.kernel].moments

    @property
    def squares(self) -> tuple[int, ...]:
        """Which moments are sums or means of squares, and never below 0."""
        from fastbp.kernels.optimizers import RULES

        return RULES[self.kernel].squares

    def first_moments(self) -> float:
        """Initial value of the moments."""
        return 0.0

    def own(self) -> dict[str, float]:
        """Fields of the kernel's record of settings that only this optimiser has."""
        return {}

    def numbers(self) -> dict[str, float]:
        """All fields of the kernel's record of settings: see `kernels/optimizers/`."""
        return {"decay": getattr(self, "weight_decay", 0.0), "decoupled": float(self.is_decoupled), **self.own()}

    @property
    def is_decoupled(self) -> bool:
        """Whether weight decay is decoupled from the gradient."""
        return bool(getattr(self, "decoupled", True))

    def slowed(self, lr: float) -> Optimizer:
        """The same with this learning rate."""
        return replace(self, lr=lr)

    def settings(self) -> dict[str, Any]:
        """The arguments that recreate this optimiser."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, optionally with momentum: m ← μ m + g, p ← p - η m.

    Parameters
    ----------
    lr : float, > 0
        η.
    momentum : float, 0 <= momentum < 1
        μ; with 0, p ← p - η g.
    nesterov : bool
        Whether the step is η (g + μ m), Nesterov's; needs momentum.
    weight_decay : float, >= 0
        λ.
    decoupled : bool
        Whether weight decay is decoupled from the gradient.
    decay_all : bool
        Whether biases, norms and scales decay, too.
    """

    kind: ClassVar[str] = "sgd"
    update: ClassVar[str] = "m ← μ m + g, p ← p - η m; Nesterov: p ← p - η (g + μ m)"
    lr: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decoupled: bool = False
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check("momentum", from_zero, 1.0)
        self._check("nesterov", flag)
        if self.nesterov and not self.momentum:
            raise ConfigError("SGD.momentum", "must be above 0 with `nesterov`", "`0.0`")

    @property
    def kernel(self) -> str:
        return "nesterov" if self.nesterov else "momentum" if self.momentum else "sgd"

    def own(self) -> dict[str, float]:
        return {"momentum": self.momentum}


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Steps that shrink with the sum of squared gradients: s ← s + g², p ← p - η g / (√s + ε) (Duchi et al., 2011).

    Parameters
    ----------
    lr : float, > 0
    lr_decay : float, >= 0
        δ; η is divided by 1 + (t - 1) δ in step t.
    initial : float, >= 0
        Initial value of s.
    eps : float, > 0
    weight_decay, decoupled, decay_all : as for SGD
    """

    kind: ClassVar[str] = "adagrad"
    update: ClassVar[str] = "s ← s + g², p ← p - η g / (√s + ε)"
    lr: float = 1e-2
    lr_decay: float = 0.0
    initial: float = 0.0
    eps: float = 1e-10
    weight_decay: float = 0.0
    decoupled: bool = False
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check("lr_decay", from_zero)
        self._check("initial", from_zero)
        self._check("eps", positive)

    def first_moments(self) -> float:
        return self.initial

    def own(self) -> dict[str, float]:
        return {"eps": self.eps, "slowing": self.lr_decay}


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """The gradient divided by its running size: v ← α v + (1 - α) g², p ← p - η g / (√v + ε) (Hinton, 2012).

    Parameters
    ----------
    lr : float, > 0
    alpha : float, 0 <= α < 1
    eps : float, > 0
    momentum : float, 0 <= μ < 1
        With it m ← μ m + g / (√v + ε), p ← p - η m.
    centered : bool
        Whether v is the variance: the square of g's running mean is subtracted.
    weight_decay, decoupled, decay_all : as for SGD
    """

    kind: ClassVar[str] = "rmsprop"
    update: ClassVar[str] = "v ← α v + (1 - α) g², m ← μ m + g / (√v + ε), p ← p - η m"
    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    weight_decay: float = 0.0
    decoupled: bool = False
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check("alpha", from_zero, 1.0)
        self._check("eps", positive)
        self._check("momentum", from_zero, 1.0)
        self._check("centered", flag)

    @property
    def kernel(self) -> str:
        return "rmsprop" + "_centered" * self.centered + "_momentum" * bool(self.momentum)

    def own(self) -> dict[str, float]:
        return {"alpha": self.alpha, "eps": self.eps, "momentum": self.momentum}


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Steps in the units of the parameters: d = g √(u + ε) / √(v + ε), p ← p - η d (Zeiler, 2012).

    v and u are the running means of g² and d².

    Parameters
    ----------
    lr : float, > 0
    rho : float, 0 <= ρ < 1
    eps : float, > 0
    weight_decay, decoupled, decay_all : as for SGD
    """

    kind: ClassVar[str] = "adadelta"
    update: ClassVar[str] = "d = g √(u + ε) / √(v + ε), p ← p - η d, u ← ρ u + (1 - ρ) d²"
    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0
    decoupled: bool = False
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check("rho", from_zero, 1.0)
        self._check("eps", positive)

    def own(self) -> dict[str, float]:
        return {"rho": self.rho, "eps": self.eps}
