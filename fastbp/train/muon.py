"""Muon as settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from fastbp.spec.checks import flag, from_zero, positive
from fastbp.train.optimizers import Optimizer


@dataclass(frozen=True)
class Muon(Optimizer):
    """Steps of hidden weights along an orthogonal matrix, and AdamW for all else (Jordan et al., 2024).

    m ← m + (1 - μ)(g - m),  u = m + (1 - μ)(g - m),  p ← p (1 - η' λ) - η' √max(1, O / I) o, where o is what five
    turns of Newton and Schulz's iteration make of u: with u = U Σ Vᵀ nearly U Vᵀ. So do the weights of all linear
    layers but those of outputs, I inputs times O outputs, and of what members share; biases, outputs, tables,
    norms, what a member has of its own and the like take AdamW's steps with η.

    Parameters
    ----------
    lr : float, > 0
        η, of AdamW's steps.
    muon_lr : float, > 0
        η', of the steps of hidden weights; schedules and `lr_factors` multiply both.
    momentum : float, 0 <= μ < 1
    betas : (float, float), each 0 <= β < 1
        AdamW's.
    eps : float, > 0
        AdamW's.
    weight_decay : float, >= 0
        λ of both.
    decay_all : bool
        Whether biases, norms and scales decay, too.
    """

    kind: ClassVar[str] = "muon"
    update: ClassVar[str] = "p ← p (1 - η' λ) - η' √max(1, O / I) o, o ≈ U Vᵀ of the mean U Σ Vᵀ; AdamW for all else"
    turns: ClassVar[bool] = True
    rates: ClassVar[tuple[str, ...]] = ("lr", "muon_lr")
    lr: float = 1e-3
    muon_lr: float = 0.02
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    decay_all: bool = False

    def __post_init__(self) -> None:
        self._check_decay()
        self._check("muon_lr", positive)
        self._check("momentum", from_zero, 1.0)
        self._check_betas()
        self._check("eps", positive)
        self._check("decay_all", flag)

    def own(self) -> dict[str, float]:
        ratio = self.muon_lr / self.lr
        return {**self._beta_fields(), "eps": self.eps, "momentum": self.momentum, "ratio": ratio}

    def slowed(self, lr: float) -> Muon:
        return replace(self, lr=lr, muon_lr=self.muon_lr * (lr / self.lr))
