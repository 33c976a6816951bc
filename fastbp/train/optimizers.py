"""Optimisers as settings; their kernels are in `kernels/optimizers.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.model.layers import real


def _positive(where: str, value: Any) -> float:
    number = real(where, value)
    if number <= 0.0:
        raise ConfigError(f"`{where}` must be above 0, got `{number}`")
    return number


def _from_zero(where: str, value: Any, below: float | None = None) -> float:
    number = real(where, value)
    if number < 0.0 or (below is not None and number >= below):
        limit = f" and below {below:g}" if below is not None else ""
        raise ConfigError(f"`{where}` must be at least 0{limit}, got `{number}`")
    return number


@dataclass(frozen=True)
class Optimizer:
    """What all optimisers have in common: a kernel, settings it reads, and numbers it keeps for each parameter."""

    kernel: ClassVar[str]
    lr: float

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def settings(self) -> list[float]:
        """What the kernel's SETTINGS hold."""
        raise TypeError(f"{type(self).__name__} is no optimiser")

    @property
    def moments(self) -> int:
        """Numbers kept for each parameter."""
        raise TypeError(f"{type(self).__name__} is no optimiser")


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with momentum if asked for: m ← μ m + g, p ← p - η m.

    Parameters
    ----------
    lr : float, > 0
        η.
    momentum : float, 0 <= momentum < 1
        μ; with 0, p ← p - η g.
    """

    kernel: ClassVar[str] = "sgd"
    lr: float = 1e-3
    momentum: float = 0.0

    def __post_init__(self) -> None:
        self._set("lr", _positive("SGD.lr", self.lr))
        self._set("momentum", _from_zero("SGD.momentum", self.momentum, 1.0))

    def settings(self) -> list[float]:
        return [self.momentum]

    @property
    def moments(self) -> int:
        return 1 if self.momentum else 0


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: steps of the size η, whatever the gradient's scale (Kingma and Ba, 2015).

    m ← β1 m + (1 - β1) g,  v ← β2 v + (1 - β2) g²,  p ← p - η m̂ / (√v̂ + ε), with m̂ = m / (1 - β1ᵗ), v̂ = v / (1 - β2ᵗ).

    Parameters
    ----------
    lr : float, > 0
    betas : (float, float), each 0 <= β < 1
    eps : float, > 0
    """

    kernel: ClassVar[str] = "adam"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        name = type(self).__name__
        self._set("lr", _positive(f"{name}.lr", self.lr))
        try:
            first, second = self.betas
        except (TypeError, ValueError):
            raise ConfigTypeError(f"`{name}.betas` must be two numbers, got `{self.betas!r}`") from None
        betas = _from_zero(f"{name}.betas[0]", first, 1.0), _from_zero(f"{name}.betas[1]", second, 1.0)
        self._set("betas", betas)
        self._set("eps", _positive(f"{name}.eps", self.eps))

    @property
    def decay(self) -> float:
        """Decoupled weight decay."""
        return 0.0

    def settings(self) -> list[float]:
        return [*self.betas, self.eps, self.decay]

    @property
    def moments(self) -> int:
        return 2


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: p ← p (1 - η λ) before each step, biases too (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    lr, betas, eps : as for Adam
    weight_decay : float, >= 0
        λ.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("weight_decay", _from_zero("AdamW.weight_decay", self.weight_decay))

    @property
    def decay(self) -> float:
        return self.weight_decay
