"""Layer specs: what a user says a network is made of. They hold settings only, no arrays and no code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.spec.checks import between, chance, flag, small, whole
from fastbp.spec.initial import Init, init_spec

Draws = dict[str, tuple[Init, tuple[int, ...], int, int]]  # part -> how, shape, inputs and outputs it is scaled by


@dataclass(frozen=True)
class Layer:
    """What all layers have in common: a name in files, how many features come out for how many that go in, and which
    parameters they have.
    """

    kind: ClassVar[str] = ""
    decays: ClassVar[tuple[str, ...]] = ()  # parameters that weight decay is meant for
    arity: ClassVar[tuple[int, int | None]] = (1, 1)  # the fewest and the most signals that go in

    @property
    def op(self) -> str:
        """The layer's line in the registry."""
        return self.kind

    def __call__(self, *signals: Any, name: str | None = None) -> Any:
        """What this layer makes of a signal, such as an `fb.Input`, in a network that is being put together.

        The same layer called again has the same parameters; their gradients add.

        Parameters
        ----------
        name : str, optional
            What the layer's parameters are called by, in the place of its number.
        """
        from fastbp.spec.signals import applied

        return applied(self, signals, name)

    def outputs(self, inputs: int) -> int:
        """Features that come out; may refuse a number that cannot go in."""
        return inputs

    def of(self, widths: Sequence[int], names: Sequence[str]) -> int:
        """Features that come out for these signals."""
        self.check_count(widths)
        return self.outputs(widths[0])

    def check_count(self, signals: Sequence[Any]) -> None:
        """Refuse more or fewer signals than go in."""
        least, most = self.arity
        if len(signals) < least or (most is not None and len(signals) > most):
            wanted = f"{least}" if most == least else f"at least {least}"
            word = "signal" if wanted == "1" else "signals"
            raise ConfigError(f"`{type(self).__name__}` must have {wanted} {word} to go in, got `{len(signals)}`")

    def draws(self, inputs: int) -> Draws:
        """Every parameter: how it begins, its natural shape, and the fans its size depends on."""
        return {}

    def states(self, inputs: int) -> dict[str, tuple[tuple[int, ...], float]]:
        """What is learned but has no gradient: shape and first value."""
        return {}

    def settings(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return dict(self.__dict__)

    def plain(self) -> dict[str, Any]:
        """Its settings as JSON can hold them, initialisers as [name, scale]."""
        return {k: [v.name, v.scale] if isinstance(v, Init) else v for k, v in self.settings().items()}

    @classmethod
    def from_plain(cls, settings: dict[str, Any]) -> Layer:
        """The layer of settings that `plain` gave."""
        made = {k: Init(*v) if k in ("init", "bias_init") and isinstance(v, list) else v for k, v in settings.items()}
        return cls(**made)

    def _check(self, name: str, check: Callable[..., Any], *limits: Any) -> None:
        """Replace one argument by what a check makes of it."""
        checked = check(f"{type(self).__name__}.{name}", getattr(self, name), *limits)
        object.__setattr__(self, name, checked)


ZEROS, ONES, NORMAL = Init("zeros"), Init("ones"), Init("normal")


@dataclass(frozen=True, repr=False)
class Linear(Layer):
    """Every output is a weighted sum of all inputs: z = x W + b.

    Parameters
    ----------
    features : int, >= 1
        Outputs O; the inputs I are those of the layer before.
    bias : bool
        Whether b is added.
    init : str or Init
        How W is drawn, by default as PyTorch draws it: uniform between ±1/√I.
    bias_init : str or Init
        How b is drawn, by default the same.
    ntk : bool
        The NTK parametrisation z = (x / √I) W + b, in which W is drawn with variance 1 and b is 0 by default: steps of
        one size do the same to layers of every width (Jacot et al., 2018).
    """

    kind: ClassVar[str] = "linear"
    decays: ClassVar[tuple[str, ...]] = ("weight",)
    features: int
    bias: bool = True
    init: Any = None
    bias_init: Any = None
    ntk: bool = False

    def __post_init__(self) -> None:
        self._check("features", whole, 1)
        self._check("bias", flag)
        self._check("ntk", flag)
        for name in ("init", "bias_init"):
            if getattr(self, name) is not None:
                self._check(name, init_spec)

    def __repr__(self) -> str:
        rest = "".join(f", {k}={getattr(self, k)!r}" for k in ("init", "bias_init", "ntk") if getattr(self, k))
        return f"Linear(features={self.features}, bias={self.bias}{rest})"

    def outputs(self, inputs: int) -> int:
        return int(self.features)

    def draws(self, inputs: int) -> Draws:
        weight = self.init or Init("normal" if self.ntk else "torch")
        bias = self.bias_init or Init("zeros" if self.ntk else "torch")
        out: Draws = {"weight": (weight, (inputs, self.features), inputs, self.features)}
        if self.bias:
            out["bias"] = (bias, (self.features,), inputs, self.features)
        return out


@dataclass(frozen=True)
class Dropout(Layer):
    """While training, each feature is 0 with probability p and is divided by 1 - p otherwise.

    Parameters
    ----------
    p : float, 0 <= p < 1
    """

    kind: ClassVar[str] = "dropout"
    p: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", chance("Dropout.p", self.p))


@dataclass(frozen=True)
class Scale(Layer):
    """A learned diagonal: y = s ∘ x, one number a feature, 1 at first."""

    kind: ClassVar[str] = "scale"
    init: Any = ONES

    def __post_init__(self) -> None:
        self._check("init", init_spec)

    def draws(self, inputs: int) -> Draws:
        return {"weight": (self.init, (inputs,), inputs, inputs)}


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Each row is brought to mean 0 and variance 1: y = γ ∘ (x - mean x) / √(var x + ε) + β (Ba et al., 2016).

    Parameters
    ----------
    eps : float, > 0
    affine : bool
        Whether γ, 1 at first, and β, 0 at first, are learned.
    bias : bool
        Whether β is, where γ is.
    """

    kind: ClassVar[str] = "layer_norm"
    eps: float = 1e-5
    affine: bool = True
    bias: bool = True

    def __post_init__(self) -> None:
        self._check("eps", small)
        self._check("affine", flag)
        self._check("bias", flag)

    def draws(self, inputs: int) -> Draws:
        out: Draws = {}
        if self.affine:
            out["weight"] = (ONES, (inputs,), inputs, inputs)
            if self.bias:
                out["bias"] = (ZEROS, (inputs,), inputs, inputs)
        return out


@dataclass(frozen=True)
class RMSNorm(Layer):
    """Each row is brought to mean square 1: y = γ ∘ x / √(mean x² + ε) (Zhang and Sennrich, 2019).

    Parameters
    ----------
    eps : float, > 0, optional
        By default the distance from 1 to the next number of the network's dtype, as in PyTorch.
    affine : bool
        Whether γ, 1 at first, is learned.
    """

    kind: ClassVar[str] = "rms_norm"
    eps: float | None = None
    affine: bool = True

    def __post_init__(self) -> None:
        if self.eps is not None:
            self._check("eps", small)
        self._check("affine", flag)

    def draws(self, inputs: int) -> Draws:
        return {"weight": (ONES, (inputs,), inputs, inputs)} if self.affine else {}


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Each feature is brought to mean 0 and variance 1 over the batch: y = γ ∘ (x - mean) / √(var + ε) + β.

    While training mean and variance are the batch's (a batch of one row puts out β); otherwise they are running ones,
    which every batch moves by a part `momentum` towards its own, the variance being divided by B - 1 there.

    Parameters
    ----------
    eps : float, > 0
    momentum : float, 0 <= momentum <= 1
    affine : bool
        Whether γ, 1 at first, and β, 0 at first, are learned.
    """

    kind: ClassVar[str] = "batch_norm"
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True

    def __post_init__(self) -> None:
        self._check("eps", small)
        self._check("momentum", between, 0.0, 1.0)
        self._check("affine", flag)

    def draws(self, inputs: int) -> Draws:
        if not self.affine:
            return {}
        shape = (inputs,)
        return {"weight": (ONES, shape, inputs, inputs), "bias": (ZEROS, shape, inputs, inputs)}

    def states(self, inputs: int) -> dict[str, tuple[tuple[int, ...], float]]:
        return {"running_mean": ((inputs,), 0.0), "running_var": ((inputs,), 1.0)}


@dataclass(frozen=True)
class Embedding(Layer):
    """Columns of X that hold category codes become rows of learned tables; it can only be the first layer.

    Outputs are the other columns, in order, then the tables' rows in the order of `columns`. A code is a whole number
    from 0. Only rows of categories that occur in a step have a gradient, are updated and decay.

    Parameters
    ----------
    columns : dict of int to (int, int)
        Column of X -> (categories, numbers in a row of its table).
    init : str or Init
        How tables are drawn, by default normal with variance 1, as PyTorch's.

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.Network([fb.Embedding({1: (3, 2)}), fb.Linear(1)], inputs=4, seed=0)
    >>> net.parameters
    Parameters({'0.column1': (3, 2), '1.weight': (5, 1), '1.bias': (1,)})
    """

    kind: ClassVar[str] = "embedding"
    columns: Any
    init: Any = NORMAL

    def __post_init__(self) -> None:
        if not isinstance(self.columns, Mapping) or not self.columns:
            raise ConfigTypeError(
                f"`Embedding.columns` must be a dict of column to (categories, width), got `{brief(self.columns)}`"
            )
        columns: dict[int, tuple[int, int]] = {}
        for key, value in self.columns.items():
            # keys of a file are strings
            digits = isinstance(key, str) and key.isdecimal()
            column = whole("Embedding.columns", int(key) if digits else key, 0)
            if column in columns:
                raise ConfigError(f"`Embedding.columns` must name a column once, got `{column}` twice")
            where = f"Embedding.columns[{column}]"
            if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
                raise ConfigTypeError(f"`{where}` must be (categories, width), got `{brief(value)}`")
            columns[column] = whole(f"{where}[0]", value[0], 1), whole(f"{where}[1]", value[1], 1)
        object.__setattr__(self, "columns", columns)
        self._check("init", init_spec)

    def __hash__(self) -> int:
        return hash((tuple(self.columns.items()), self.init))

    @property
    def decays(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"column{column}" for column in self.columns)

    def outputs(self, inputs: int) -> int:
        for column in self.columns:
            if column >= inputs:
                raise ConfigError(f"`Embedding.columns` must be below {inputs}, the inputs, got `{column}`")
        return inputs - len(self.columns) + sum(int(width) for _, width in self.columns.values())

    def draws(self, inputs: int) -> Draws:
        return {f"column{column}": (self.init, shape, *shape) for column, shape in self.columns.items()}

    def settings(self) -> dict[str, Any]:
        columns = {str(column): list(shape) for column, shape in self.columns.items()}
        return {"columns": columns, "init": self.init}
