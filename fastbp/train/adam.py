"""Adam and its relatives as settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastbp.spec.checks import flag, from_zero, positive
from fastbp.train.optimizers import Optimizer


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: steps of the size η, whatever the gradient's scale (Kingma and Ba, 2015).

    m ← β1 m + (1 - β1) g,  v ← β2 v + (1 - β2) g²,  p ← p - η m̂ / (√v̂ + ε), with m̂ = m / (1 - β1ᵗ), v̂ = v / (1 - β2ᵗ).

    Parameters
    ----------
    lr : float, > 0
    betas : (float, float), each 0 <= β < 1
    eps : float, > 0
    weight_decay, decoupled, decay_all : as for SGD
    amsgrad : bool
        Whether to use the largest v so far instead of v (Reddi et al., 2018).
    """

    kind: ClassVar[str] = "adam"
    update: ClassVar[str] = "p ← p - η m̂ / (√v̂ + ε)"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False
    decoupled: bool = False
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check_betas()
        self._check("eps", positive)
        self._check("amsgrad", flag)

    @property
    def kernel(self) -> str:
        return "adam_amsgrad" if self.amsgrad else "adam"

    def own(self) -> dict[str, float]:
        return {**self._beta_fields(), "eps": self.eps}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: p ← p (1 - η λ) before each step (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    lr, betas, eps, amsgrad : as for Adam
    weight_decay : float, >= 0
        λ.
    decay_all : bool
        Whether biases, norms and scales decay, too, as in PyTorch.
    """

    kind: ClassVar[str] = "adamw"
    update: ClassVar[str] = "p ← p (1 - η λ) - η m̂ / (√v̂ + ε)"
    weight_decay: float = 0.01
    decoupled: bool = True


@dataclass(frozen=True)
class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat, 2016).

    p ← p - η (μ' m / (1 - Π μ') + (1 - μ) g / (1 - Π μ)) / (√v̂ + ε), with μ = β1 (1 - ½ 0.96 ** (t ψ)), μ' that of
    t + 1 and Π over all steps so far.

    Parameters
    ----------
    lr : float, > 0
    betas : (float, float), each 0 <= β < 1
    eps : float, > 0
    momentum_decay : float, >= 0
        ψ.
    weight_decay, decoupled, decay_all : as for SGD
    """

    kind: ClassVar[str] = "nadam"
    update: ClassVar[str] = "p ← p - η (μ' m / (1 - Π μ') + (1 - μ) g / (1 - Π μ)) / (√v̂ + ε)"
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum_decay: float = 4e-3
    weight_decay: float = 0.0
    decoupled: bool = False
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check_betas()
        self._check("eps", positive)
        self._check("momentum_decay", from_zero)

    def own(self) -> dict[str, float]:
        return {**self._beta_fields(), "eps": self.eps, "momentum_decay": self.momentum_decay}


@dataclass(frozen=True)
class RAdam(Optimizer):
    """Adam with a rectified step while the variance is uncertain (Liu et al., 2020).

    Parameters
    ----------
    lr : float, > 0
    betas : (float, float), each 0 <= β < 1
    eps : float, > 0
    weight_decay, decoupled, decay_all : as for SGD
    """

    kind: ClassVar[str] = "radam"
    update: ClassVar[str] = "p ← p - η r m̂ / (√v̂ + ε), r the rectification; p ← p - η m̂ while it is not defined"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check_betas()
        self._check("eps", positive)

    def own(self) -> dict[str, float]:
        return {**self._beta_fields(), "eps": self.eps}


@dataclass(frozen=True)
class Lion(Optimizer):
    """Steps of one size in every direction: p ← p (1 - η λ) - η sign(β1 m + (1 - β1) g) (Chen et al., 2023).

    m ← β2 m + (1 - β2) g; the learning rate should be 3 to 10 times smaller than AdamW's, λ as much larger.

    Parameters
    ----------
    lr : float, > 0
    betas : (float, float), each 0 <= β < 1
    weight_decay : float, >= 0
        λ, decoupled.
    decay_all : bool
        Whether biases, norms and scales decay, too.
    """

    kind: ClassVar[str] = "lion"
    update: ClassVar[str] = "p ← p - η sign(β1 m + (1 - β1) g), m ← β2 m + (1 - β2) g"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check_betas()

    def own(self) -> dict[str, float]:
        return self._beta_fields()
