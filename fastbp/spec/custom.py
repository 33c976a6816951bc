"""Custom activations and losses: a function or a text, which `formulas` traces and makes kernels of.

That loads the compiler, so it is imported where there is a formula; layers and losses by name do without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from fastbp.spec.activations import Activation
from fastbp.spec.losses import Loss


@dataclass(frozen=True, repr=False)
class Custom(Activation):
    """y = f(x), elementwise, for a custom function; see `fb.activation`.

    Parameters
    ----------
    formula : str
        Such as "x * tanh(log(1 + exp(x)))".
    """

    kind: ClassVar[str] = "custom"
    formula: Any  # type: ignore[misc]

    def traced(self, x: Any) -> Any:
        from fastbp.spec.formulas import applied

        return applied(self.formula, ("x",), x)

    def __post_init__(self) -> None:
        from fastbp.spec.formulas import formula_of

        object.__setattr__(self, "formula", formula_of("activation", self.formula, ("x",)))

    def __repr__(self) -> str:
        shown = repr(self.formula) if isinstance(self.formula, str) else f"<{len(self.formula) - 1} gates>"
        return f"activation({shown})"

    def plain(self) -> dict[str, Any]:
        return {"formula": self.formula if isinstance(self.formula, str) else [list(entry) for entry in self.formula]}

    settings = plain


@dataclass(frozen=True, repr=False)
class CustomLoss(Loss):
    """ℓ = Σ_n f(z_n, t_n) / N for a custom function; see `fb.loss`."""

    kind: ClassVar[str] = "custom"
    formula: Any  # type: ignore[misc]

    def __post_init__(self) -> None:
        from fastbp.spec.formulas import formula_of

        super().__post_init__()
        object.__setattr__(self, "formula", formula_of("loss", self.formula, ("z", "t")))

    def __repr__(self) -> str:
        shown = repr(self.formula) if isinstance(self.formula, str) else f"<{len(self.formula) - 2} gates>"
        return f"loss({shown})"

    @property
    def named(self) -> Any:
        return self.formula

    @property
    def kernel(self) -> str:
        from fastbp.spec.formulas import loss_kernel

        return loss_kernel(self.formula)

    def of_rows(self, z: Any, t: Any) -> Any:
        from fastbp.spec.formulas import applied

        return applied(self.formula, ("z", "t"), z, t) * (1.0 / z.shape[1])


def activation(formula: Callable[[Any], Any] | str) -> Custom:
    """A custom activation, differentiated gate by gate and compiled as one formula.

    Parameters
    ----------
    formula : callable or str
        A function of one number x, such as ``lambda x: x * fb.sigmoid(2.0 * x)``, made of arithmetic, NumPy's functions
        and `fb.sigmoid`, `fb.relu` and the like; or the same as text, "x * sigmoid(2 * x)".

    Examples
    --------
    >>> import fastbp as fb
    >>> mish = fb.activation(lambda x: x * fb.tanh(fb.softplus(x)))
    >>> net = fb.Network([fb.Linear(8), mish, fb.Linear(1)], inputs=2, seed=0)
    >>> net.predict([[0.0, 1.0]]).shape
    (1, 1)
    """
    return Custom(formula)


def loss(formula: Callable[[Any, Any], Any] | str, reduction: str = "mean") -> CustomLoss:
    """A custom loss, differentiated gate by gate and compiled as one formula: the mean over outputs and rows.

    Parameters
    ----------
    formula : callable or str
        A function of two numbers, output and target, such as ``lambda z, t: np.abs(z - t) ** 3``;
        or the same as text, "abs(z - t) ** 3".
    reduction : {"mean", "sum"}
        Over the rows, as for other losses.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> quartic = fb.loss(lambda z, t: (z - t) ** 4)
    >>> net = fb.mlp([2, 8, 1], seed=0)
    >>> net.evaluate(np.zeros((3, 2)), np.ones((3, 1)), quartic) > 0.0
    True
    """
    return CustomLoss(formula, reduction=reduction)
