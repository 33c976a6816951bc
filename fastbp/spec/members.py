"""Layers of members: k networks in one that share their products and differ by little (Gorishniy et al., 2025).

Behind `Members` each row stands for k rows, one a member. Layers there are the same for all members, unless they have
parameters of which each member has its own: `MemberScale`, `MemberLinear`, `AdaptedLinear`. Training takes the mean of
the members' losses, a prediction is the mean of what they predict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastbp.errors import ConfigError, ConfigTypeError, ShapeError, brief, not_one_of
from fastbp.spec.checks import flag, whole
from fastbp.spec.initial import Init, init_spec
from fastbp.spec.layers import ONES, Draws, Layer

AVERAGES = ("values", "softmax", "sigmoid")
SIGNS, TORCH = Init("signs"), Init("torch")


@dataclass(frozen=True)
class Members(Layer):
    """From here to the output the network is `count` networks, which share the parameters of most layers.

    Each row becomes a row of every member. The loss of a batch is the mean of the members' losses; what the network
    predicts is the mean of what they predict.

    Parameters
    ----------
    count : int, >= 2
        How many members there are.
    average : {"values", "softmax", "sigmoid"}
        Of what a prediction is the mean: of the members' outputs; or, with cross-entropy, of their probabilities, and
        then outputs are the logits of that mean, log Σ_k softmax(z_k) / K. `sigmoid` is for binary cross-entropy.

    Examples
    --------
    >>> import fastbp as fb
    >>> layers = [fb.Members(8), fb.MemberScale(), fb.Linear(16), fb.ReLU(), fb.MemberLinear(1)]
    >>> net = fb.Network(layers, inputs=3)
    >>> net.predict([[0.0, 1.0, 2.0]]).shape, net.members([[0.0, 1.0, 2.0]]).shape
    ((1, 1), (8, 1, 1))
    """

    kind: ClassVar[str] = "members"
    count: int = 32
    average: str = "values"

    def __post_init__(self) -> None:
        self._check("count", whole, 2)
        if self.average not in AVERAGES:
            raise not_one_of("Members.average", self.average, AVERAGES)


def average_for(loss: str, outputs: int) -> str:
    """The `average` that fits a loss of this kind."""
    if loss == "cross_entropy" and outputs > 1:
        return "softmax"
    return "sigmoid" if loss in ("cross_entropy", "binary_cross_entropy") else "values"


def check_average(members: Members, loss: str, outputs: int, where: str = "Members.average") -> None:
    """Refuse an average of something else than what a loss of this kind makes of outputs; a formula's may be any."""
    must = average_for(loss, outputs)
    if loss != "custom" and members.average != must:
        of = "values" if must == "values" else "probabilities"
        raise ConfigError(
            where, f"must be `{must}` with `{loss}`, for predictions to be the mean of {of}", f"`{members.average}`"
        )


@dataclass(frozen=True)
class MemberScale(Layer):
    """A learned diagonal for each member: y_k = s_k ∘ x_k.

    Parameters
    ----------
    init : str or Init
        Initialiser of s, by default -1 or 1 at random.
    chunks : list of int, optional
        Widths of groups of columns, such as those that stand for one column of a table: a member's first numbers are
        the same in all columns of a group. By default each column is one.
    """

    kind: ClassVar[str] = "member_scale"
    own: ClassVar[tuple[str, ...]] = ("weight",)
    decays: ClassVar[tuple[str, ...]] = ("weight",)
    init: Any = SIGNS
    chunks: Any = None

    def __post_init__(self) -> None:
        self._check("init", init_spec)
        _check_chunks(self)

    def outputs(self, inputs: int) -> int:
        _fit_chunks(self, inputs)
        return inputs

    def draws(self, inputs: int) -> Draws:
        return {"weight": (self.init, (inputs,), inputs, inputs)}

    def drawn(self, part: str, shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], Any]) -> Any:
        return _by_chunks(self.chunks, shape, draw)


@dataclass(frozen=True)
class MemberLinear(Layer):
    """A linear layer of its own for each member: z_k = x_k W_k + b_k.

    Parameters
    ----------
    features : int, >= 1
        Outputs O; the inputs I are those of the layer before.
    bias : bool
        Whether b is added.
    init, bias_init : str or Init
        Initialisers of W and b, by default uniform between ±1/√I.
    """

    kind: ClassVar[str] = "member_linear"
    own: ClassVar[tuple[str, ...]] = ("weight", "bias")
    decays: ClassVar[tuple[str, ...]] = ("weight",)
    features: int
    bias: bool = True
    init: Any = TORCH
    bias_init: Any = TORCH

    def __post_init__(self) -> None:
        self._check("features", whole, 1)
        self._check("bias", flag)
        self._check("init", init_spec)
        self._check("bias_init", init_spec)

    def outputs(self, inputs: int) -> int:
        return int(self.features)

    def draws(self, inputs: int) -> Draws:
        out: Draws = {"weight": (self.init, (inputs, self.features), inputs, self.features)}
        if self.bias:
            out["bias"] = (self.bias_init, (self.features,), inputs, self.features)
        return out


def members_at(where: str, layer: Layer, counts: Sequence[int], width: int, before: Sequence[Layer]) -> int:
    """For how many members a layer is computed that reads what is for so many, behind other layers."""
    kind, count = type(layer).__name__, max(counts)
    if isinstance(layer, Members):
        if any(isinstance(other, Members) for other in before):
            raise ConfigError(where, "is a second Members, of which a network must have one")
        return layer.count
    if count == 1 and layer.own:
        raise ConfigError(where, f"is a {kind}, which must stand behind `Members`")
    if count > 1 and layer.states(width):
        raise ConfigError(where, f"is a {kind}, which must stand before `Members`, as it keeps statistics of its rows")
    return count


def _check_chunks(layer: Any) -> None:
    where = f"{type(layer).__name__}.chunks"
    if layer.chunks is None:
        return
    if isinstance(layer.chunks, str) or not isinstance(layer.chunks, Sequence | np.ndarray) or not len(layer.chunks):
        raise ConfigTypeError(where, "must be a list of whole numbers", f"`{brief(layer.chunks)}`")
    chunks = tuple(whole(f"{where}[{i}]", width, 1) for i, width in enumerate(layer.chunks))
    object.__setattr__(layer, "chunks", chunks if any(width > 1 for width in chunks) else None)


def _fit_chunks(layer: Any, inputs: int) -> None:
    if layer.chunks is not None and sum(layer.chunks) != inputs:
        raise ShapeError(
            f"{type(layer).__name__}.chunks", f"must add up to {inputs}, the inputs", f"`{sum(layer.chunks)}`"
        )


def _by_chunks(chunks: Any, shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], Any]) -> Any:
    """Numbers that are the same in all columns of a chunk."""
    if chunks is None:
        return draw(shape)
    return np.repeat(draw((*shape[:-1], len(chunks))), chunks, axis=-1)


@dataclass(frozen=True)
class AdaptedLinear(Layer):
    """A linear layer that members share, with adapters of each: z_k = s_k ∘ ((r_k ∘ x_k) W) + b_k (Wen et al., 2020).

    Parameters
    ----------
    features : int, >= 1
        Outputs O; the inputs I are those of the layer before.
    bias : bool
        Whether b is added; all members begin with the same.
    adapter : str or Init
        Initialiser of r, by default 1; in TabM the first layer's is -1 or 1 at random. s is 1 at first.
    chunks : list of int, optional
        As of `MemberScale`, for r.
    init, bias_init : str or Init
        Initialisers of W and b, by default uniform between ±1/√I.
    """

    kind: ClassVar[str] = "adapted_linear"
    own: ClassVar[tuple[str, ...]] = ("bias", "r", "s")
    decays: ClassVar[tuple[str, ...]] = ("weight", "r", "s")
    features: int
    bias: bool = True
    adapter: Any = ONES
    chunks: Any = None
    init: Any = TORCH
    bias_init: Any = TORCH

    def __post_init__(self) -> None:
        self._check("features", whole, 1)
        self._check("bias", flag)
        for name in ("adapter", "init", "bias_init"):
            self._check(name, init_spec)
        _check_chunks(self)

    def outputs(self, inputs: int) -> int:
        _fit_chunks(self, inputs)
        return int(self.features)

    def draws(self, inputs: int) -> Draws:
        fans = inputs, self.features
        out: Draws = {"weight": (self.init, fans, *fans)}
        if self.bias:
            out["bias"] = (self.bias_init, (self.features,), *fans)
        return out | {"r": (self.adapter, (inputs,), *fans), "s": (ONES, (self.features,), *fans)}

    def drawn(self, part: str, shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], Any]) -> Any:
        if part == "bias":
            return np.broadcast_to(draw(shape[1:]), shape)
        return _by_chunks(self.chunks, shape, draw) if part == "r" else draw(shape)
