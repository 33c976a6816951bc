"""Formulas of activations that PyTorch has no module for, as functions of it."""

from __future__ import annotations

from math import isfinite
from typing import cast

from fastbp.errors import ConfigError
from fastbp.spec.activations import Activation
from fastbp.spec.formulas import Gates, formula_of

# Gates as expressions; constants stand as numbers in those of operators, as tensors in calls.
OPERATORS = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "power": "{} ** {}",
    "negate": "-{}",
    "greater": "({} > {}).to(x.dtype)",
    "greater_equal": "({} >= {}).to(x.dtype)",
    "less": "({} < {}).to(x.dtype)",
    "less_equal": "({} <= {}).to(x.dtype)",
    "equal": "({} == {}).to(x.dtype)",
    "not_equal": "({} != {}).to(x.dtype)",
}
CALLS = {
    "exp": "torch.exp({})",
    "expm1": "torch.expm1({})",
    "log": "torch.log({})",
    "log1p": "torch.log1p({})",
    "sqrt": "torch.sqrt({})",
    "sin": "torch.sin({})",
    "cos": "torch.cos({})",
    "arctan": "torch.arctan({})",
    "tanh": "torch.tanh({})",
    "sigmoid": "torch.sigmoid({})",
    "softplus": "F.softplus({}, threshold=40.0)",
    "erf": "torch.erf({})",
    "relu": "torch.relu({})",
    "abs": "torch.abs({})",
    "sign": "torch.sign({})",
    "maximum": "torch.maximum({}, {})",
    "minimum": "torch.minimum({}, {})",
    "hypot": "torch.hypot({}, {})",
    "where": "torch.where({} != 0.0, {}, {})",
}

GATES = OPERATORS | CALLS


def function_of(name: str, layer: Activation) -> str:
    """An activation as the text of a function of x: a line for each gate."""
    gates = cast("Gates", formula_of("activation", layer.traced, ("x",)))
    lines = [f"def {name}(x):"]
    names = ["x"]
    numbers: dict[int, float] = {}
    for i, (gate, *rest) in enumerate(gates[1:], 1):
        names.append(f"z{len(lines)}")
        if gate == "constant":
            numbers[i] = float(rest[0])
            continue
        if gate not in GATES:
            raise ConfigError("activation", "must be made of what PyTorch has too", f"`{gate}`")
        terms = [_term(names[place], numbers.get(place), gate in OPERATORS) for place in rest]
        lines.append(f"    {names[i]} = {GATES[gate].format(*terms)}")
    lines.append(f"    return {names[-1]}")
    return "\n" + "\n".join(lines) + "\n"


def _term(name: str, number: float | None, plain: bool) -> str:
    """A value of a gate: a variable, a number, or a number as a tensor."""
    if number is None:
        return name
    text = repr(number) if isfinite(number) else f'float("{number}")'
    return (f"({text})" if number < 0.0 else text) if plain else f"x.new_tensor({text})"
