"""Layer specs: what a user says a network is made of. They hold settings only, no arrays and no code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastbp.errors import ConfigError, ConfigTypeError, whole_number

LAYERS: dict[str, type[Layer]] = {}


def whole(where: str, value: Any, least: int) -> int:
    """Check a whole number."""
    number = whole_number(where, value)
    if number < least:
        raise ConfigError(f"`{where}` must be at least {least}, got `{number}`")
    return number


def real(where: str, value: Any) -> float:
    """Check a finite number."""
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    scalar = getattr(value, "ndim", 0) == 0 and not isinstance(value, bool | str | bytes | type)
    if not scalar or kind not in "fiu" or not hasattr(value, "__float__"):
        raise ConfigTypeError(f"`{where}` must be a number, got `{value!r}`")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf") if value > 0 else float("-inf")
    if number != number or number in (float("inf"), float("-inf")):
        raise ConfigError(f"`{where}` must be finite, got `{number}`")
    return number


def chance(where: str, value: Any) -> float:
    """Check a probability below 1."""
    number = real(where, value)
    if not 0.0 <= number < 1.0:
        raise ConfigError(f"`{where}` must be at least 0 and below 1, got `{number}`")
    return number


def seed_of(value: Any) -> int:
    """Check a seed: 64 bits."""
    number = whole("seed", value, 0)
    if number >= 2**64:
        raise ConfigError(f"`seed` must be below 2**64, got `{number}`")
    return number


def flag(where: str, value: Any) -> bool:
    """Check a switch."""
    if not isinstance(value, bool):
        raise ConfigTypeError(f"`{where}` must be True or False, got `{value!r}`")
    return value


@dataclass(frozen=True)
class Layer:
    """What all layers have in common: a name in files, and how many features come out for how many that go in."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if cls.kind:
            LAYERS[cls.kind] = cls

    def outputs(self, inputs: int) -> int:
        """Features that come out."""
        return inputs

    def settings(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Linear(Layer):
    """Every output is a weighted sum of all inputs: z = x W + b.

    Parameters
    ----------
    features : int, >= 1
        Outputs O; the inputs I are those of the layer before.
    bias : bool
        Whether b is added.

    Weights are drawn as PyTorch draws them: uniform between ±1/√I, biases too.
    """

    kind: ClassVar[str] = "linear"
    features: int
    bias: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", whole("Linear.features", self.features, 1))
        flag("Linear.bias", self.bias)

    def outputs(self, inputs: int) -> int:
        return self.features


@dataclass(frozen=True)
class Identity(Layer):
    """y = z."""

    kind: ClassVar[str] = "identity"


@dataclass(frozen=True)
class ReLU(Layer):
    """y = 0 if z <= 0 else z."""

    kind: ClassVar[str] = "relu"


@dataclass(frozen=True)
class Tanh(Layer):
    """y = tanh(z)."""

    kind: ClassVar[str] = "tanh"


@dataclass(frozen=True)
class Sigmoid(Layer):
    """y = 1 / (1 + exp(-z))."""

    kind: ClassVar[str] = "sigmoid"


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


ACTIVATIONS = {"identity": Identity, "relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}
