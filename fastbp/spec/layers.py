"""Layer specs: settings only, no arrays and no code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.spec.checks import between, chance, flag, small, whole
from fastbp.spec.elsewhere import KnownWords
from fastbp.spec.initial import Init, init_spec

Draws = dict[str, tuple[Init, tuple[int, ...], int, int]]  # part -> initialiser, shape, fan in, fan out
INITS = ("init", "bias_init", "adapter")  # arguments of layers that are initialisers


@dataclass(frozen=True)
class Layer(KnownWords):
    """Base of all layers: name in files, output features by input features, and parameters."""

    kind: ClassVar[str] = ""
    decays: ClassVar[tuple[str, ...]] = ()  # parameters with weight decay
    own: ClassVar[tuple[str, ...]] = ()  # parameters of which each member has its own: see `members.py`
    arity: ClassVar[tuple[int, int | None]] = (1, 1)  # least and greatest number of input signals

    @property
    def op(self) -> str:
        """The layer's line in the registry."""
        return self.kind

    def __call__(self, *signals: Any, name: str | None = None) -> Any:
        """Apply this layer to a signal, such as an `fb.Input`, to build a network.

        Calling the same layer again shares its parameters; their gradients add.

        Parameters
        ----------
        name : str, optional
            Prefix of the layer's parameters, instead of its number.
        """
        from fastbp.spec.signals import applied

        return applied(self, signals, name)

    def outputs(self, inputs: int) -> int:
        """Output features; may refuse a number of input features."""
        return inputs

    def of(self, widths: Sequence[int], names: Sequence[str]) -> int:
        """Output features for these signals."""
        self.check_count(widths)
        return self.outputs(widths[0])

    def check_count(self, signals: Sequence[Any]) -> None:
        """Refuse a wrong number of signals."""
        least, most = self.arity
        if len(signals) < least or (most is not None and len(signals) > most):
            wanted = f"{least}" if most == least else f"at least {least}"
            word = "signal" if wanted == "1" else "signals"
            raise ConfigError(type(self).__name__, f"must have {wanted} input {word}", f"`{len(signals)}`")

    def draws(self, inputs: int) -> Draws:
        """Every parameter: initialiser, natural shape, and the fans that set its scale."""
        return {}

    def drawn(self, part: str, shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], Any]) -> Any:
        """The first numbers of a parameter, from `draw` of a shape."""
        return draw(shape)

    def states(self, inputs: int) -> dict[str, tuple[tuple[int, ...], float]]:
        """Running statistics: shape and initial value."""
        return {}

    def check_dtype(self, dtype: Any) -> None:
        """Refuse settings that a network's numbers cannot hold."""

    def settings(self) -> dict[str, Any]:
        """The arguments that recreate this layer."""
        return dict(self.__dict__)

    def plain(self) -> dict[str, Any]:
        """Its settings as JSON data, initialisers as [name, scale]."""
        return {k: [v.name, v.scale] if isinstance(v, Init) else v for k, v in self.settings().items()}

    @classmethod
    def from_plain(cls, settings: dict[str, Any]) -> Layer:
        """The layer from the result of `plain`."""
        made = {k: Init(*v) if k in INITS and isinstance(v, list) else v for k, v in settings.items()}
        return cls(**made)

    def _check(self, name: str, check: Callable[..., Any], *limits: Any) -> None:
        """Replace one argument by its checked value."""
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
        Initialiser of W, by default as in PyTorch: uniform between ±1/√I. "std" is completed by rows of data, at the
        beginning of the first training or by `fb.initialize`.
    bias_init : str or Init
        Initialiser of b, by default the same. "he5" is completed by rows of data.
    ntk : bool
        The NTK parametrisation z = (x / √I) W + b, in which W is drawn with variance 1 and b is 0 by default, so
        that one learning rate suits layers of every width (Jacot et al., 2018).
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
        if type(self.bias) is int and self.bias > 1:
            hint = f"`fb.Linear({self.bias})` takes outputs only: its inputs are those of the layer before"
            raise ConfigTypeError("Linear.bias", "must be True or False", f"`{self.bias}`", hint)
        self._check("bias", flag)
        self._check("ntk", flag)
        for name, part in (("init", "weight"), ("bias_init", "bias")):
            if getattr(self, name) is not None:
                self._check(name, init_spec, part)

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
    """A learned diagonal: y = s ∘ x, one number per feature, initially 1."""

    kind: ClassVar[str] = "scale"
    init: Any = ONES

    def __post_init__(self) -> None:
        self._check("init", init_spec)

    def draws(self, inputs: int) -> Draws:
        return {"weight": (self.init, (inputs,), inputs, inputs)}


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Normalises each row to mean 0 and variance 1: y = γ ∘ (x - mean x) / √(var x + ε) + β (Ba et al., 2016).

    Parameters
    ----------
    eps : float, > 0
    affine : bool
        Whether γ, initially 1, and β, initially 0, are learned.
    bias : bool
        Whether β is learned along with γ.
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
    """Normalises each row to mean square 1: y = γ ∘ x / √(mean x² + ε) (Zhang and Sennrich, 2019).

    Parameters
    ----------
    eps : float, > 0, optional
        By default the distance from 1 to the next number of the network's dtype, as in PyTorch.
    affine : bool
        Whether γ, initially 1, is learned.
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
    """Normalises each feature to mean 0 and variance 1 over the batch: y = γ ∘ (x - mean) / √(var + ε) + β.

    In training, mean and variance are the batch's (the output of one row is β); otherwise they are running averages,
    which every batch moves by the fraction `momentum` towards its own, there with the unbiased variance; a batch of one
    row, which has none, moves the mean alone.

    Parameters
    ----------
    eps : float, > 0
    momentum : float, 0 <= momentum <= 1
    affine : bool
        Whether γ, initially 1, and β, initially 0, are learned.
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
    """Replaces columns of category codes in X by rows of learned tables; must be the first layer.

    Outputs are the other columns, in order, then the tables' rows in the order of `columns`. A code is a whole number
    from 0. Only rows of categories that occur in a step have a gradient, are updated and decay.

    Parameters
    ----------
    columns : dict of int to (int, int)
        Column of X -> (categories, numbers in a row of its table).
    init : str or Init
        Initialiser of tables, by default normal with variance 1, as in PyTorch.

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
                "Embedding.columns", "must be a dict of column to (categories, width)", f"`{brief(self.columns)}`"
            )
        columns: dict[int, tuple[int, int]] = {}
        for key, value in self.columns.items():
            # keys of a file are strings
            digits = isinstance(key, str) and key.isdecimal()
            column = whole("Embedding.columns", int(key) if digits else key, 0)
            if column in columns:
                raise ConfigError("Embedding.columns", "must name each column once", f"`{column}` twice")
            where = f"Embedding.columns[{column}]"
            if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
                raise ConfigTypeError(where, "must be (categories, width)", f"`{brief(value)}`")
            columns[column] = whole(f"{where}[0]", value[0], 1), whole(f"{where}[1]", value[1], 1)
        object.__setattr__(self, "columns", columns)
        self._check("init", init_spec)

    def __eq__(self, other: object) -> bool:
        """Whether columns, their order and the initialiser are the same: outputs are in that order."""
        if not isinstance(other, Embedding):
            return NotImplemented
        return (tuple(self.columns.items()), self.init) == (tuple(other.columns.items()), other.init)

    def __hash__(self) -> int:
        return hash((tuple(self.columns.items()), self.init))

    @property
    def decays(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"column{column}" for column in self.columns)

    def outputs(self, inputs: int) -> int:
        for column in self.columns:
            if column >= inputs:
                raise ConfigError("Embedding.columns", f"must be below {inputs}, the inputs", f"`{column}`")
        return inputs - len(self.columns) + sum(int(width) for _, width in self.columns.values())

    def draws(self, inputs: int) -> Draws:
        return {f"column{column}": (self.init, shape, *shape) for column, shape in self.columns.items()}

    def settings(self) -> dict[str, Any]:
        columns = {str(column): list(shape) for column, shape in self.columns.items()}
        return {"columns": columns, "init": self.init}
