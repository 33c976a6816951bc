"""The loss of a network with several outputs: the weighted sum of one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from fastbp.errors import ConfigError, ConfigTypeError, DataTypeError, brief
from fastbp.spec.catalogue import loss_of
from fastbp.spec.checks import from_zero
from fastbp.spec.losses import Loss, Targets


@dataclass(frozen=True)
class JointLoss(Loss):
    """ℓ = Σ_o w_o ℓ_o over the outputs of a network.

    Parameters
    ----------
    losses : list of str or Loss
        One for each output, in order.
    weights : list of float, >= 0, optional
        Weight of each, by default 1.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> x = fb.Input(3)
    >>> h = fb.tanh(fb.Linear(16)(x))
    >>> net = fb.Network(inputs=x, outputs=[fb.Linear(4)(h), fb.Linear(1)(h)], seed=0)
    >>> trainer = fb.Trainer(net, loss=fb.JointLoss(["cross_entropy", "mse"], weights=[1.0, 0.5]))
    >>> X = np.random.default_rng(0).normal(size=(64, 3))
    >>> classes, numbers = trainer.net.predict(X)
    >>> classes.shape, numbers.shape
    ((64, 4), (64, 1))
    >>> history = trainer.fit(X, (np.arange(64) % 4, X[:, :1]), epochs=2)
    """

    kind: ClassVar[str] = "joint"
    losses: Any
    weights: Any = None
    reduction: str = field(default="mean", init=False, repr=False)  # the same for all losses

    def __post_init__(self) -> None:
        if isinstance(self.losses, str) or not isinstance(self.losses, Sequence):
            raise ConfigTypeError("losses", "must be a list of losses, one for each output", f"`{brief(self.losses)}`")
        if len(self.losses) < 2:
            raise ConfigError("losses", "must be at least two, one for each output", f"`{brief(self.losses)}`")
        losses = tuple(loss_of(loss, f"losses[{i}]") for i, loss in enumerate(self.losses))
        weights = [1.0] * len(losses) if self.weights is None else self.weights
        if isinstance(weights, str) or not isinstance(weights, Sequence | np.ndarray) or len(weights) != len(losses):
            raise ConfigError("weights", f"must have a number for each of {len(losses)} losses", f"`{brief(weights)}`")
        for i, loss in enumerate(losses):
            if isinstance(loss, JointLoss):
                raise ConfigError(f"losses[{i}]", "must be the loss of one output, not a joint one")
            if loss.reduction != losses[0].reduction:
                raise ConfigError(
                    "losses", "must all have the same reduction", f"`{losses[0].reduction}` and `{loss.reduction}`"
                )
        object.__setattr__(self, "losses", losses)
        counts = tuple(from_zero(f"weights[{i}]", w) for i, w in enumerate(weights))
        if not any(counts):
            raise ConfigError("weights", "must have one above 0", "only zeros")
        object.__setattr__(self, "weights", counts)
        object.__setattr__(self, "reduction", losses[0].reduction)

    def settings(self) -> dict[str, Any]:
        return {"losses": self.losses, "weights": self.weights}

    @property
    def parts(self) -> tuple[tuple[Loss, float], ...]:
        return tuple(zip(self.losses, self.weights, strict=True))

    @property
    def simple(self) -> bool:
        return False

    def targets(
        self, name: str, value: Any, rows: int, outputs: Any, dtype: np.dtype[Any], sample_weight: Any = None
    ) -> Targets:
        count = len(self.losses)
        if not isinstance(value, tuple | list) or len(value) != count:
            got = f"`{len(value)}`" if isinstance(value, tuple | list) else f"`{type(value).__name__}`"
            raise DataTypeError(name, f"must be a tuple with the targets of each of {count} outputs", got)
        found = []
        for i, (loss, y, width) in enumerate(zip(self.losses, value, outputs, strict=True)):
            plain = loss.targets(f"{name}[{i}]", y, rows, width, dtype)
            if plain.weights is not None or plain.normalisers is not None:
                raise ConfigError(
                    f"losses[{i}]",
                    "must weight all rows alike with several outputs",
                    f"`{brief(loss)}`",
                    hint="give `sample_weight`",
                )
            if sample_weight is not None:
                plain = loss.targets(f"{name}[{i}]", y, rows, width, dtype, sample_weight)
            found.append(plain)
        return Targets("", found[0].array, found[0].weights, found[0].normalisers, tuple(found))


def loss_for_outputs(value: Any, splits: Sequence[int]) -> Loss:
    """The loss of a network with these outputs."""
    several = len(splits) > 1
    given = value
    if isinstance(value, list | tuple) and several and len(value) == len(splits):
        value = JointLoss(value)
    listed = isinstance(value, list | tuple) and several
    if listed or len((loss := loss_of(value)).parts) != len(splits):
        wanted = f"a list of {len(splits)} losses, one for each output" if several else "one loss"
        raise ConfigError("loss", f"must be {wanted}", f"`{brief(given)}`")
    for (part, _), width in zip(loss.parts, splits, strict=True):
        part.check_outputs(width)
    return loss
