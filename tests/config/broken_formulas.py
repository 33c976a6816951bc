"""Broken formulas."""

from __future__ import annotations

from tests.config.broken_forms import ACTIVATIONS, layers, network, trainer

CALLS = (
    "`abs`, `add`, `cos`, `divide`, `erf`, `exp`, `expm1`, `log`, `log1p`, `maximum`, `minimum`, `multiply`, `negate`, "
    "`power`, `relu`, `sigmoid`, `sign`, `sin`, `softplus`, `sqrt`, `subtract`, `tanh`, `where`"
)

CASES = {
    "activation of an unknown function": (
        network('activation: "x * swish(x)"'),
        f"c.yaml:3: `network.activation` must be one of {CALLS}, got `swish`",
    ),
    "activation of another name": (
        network('activation: "x * y"'),
        "c.yaml:3: `network.activation` must use no names but `x`, got `y`",
    ),
    "activation a constant": (
        network('activation: "2 + 3"'),
        "c.yaml:3: `network.activation` must depend on x, got a constant",
    ),
    "activation that reaches for Python": (
        network("activation: \"__import__('os').getcwd()\""),
        "c.yaml:3: `network.activation` must be made of numbers, names, `+ - * / **` and calls of functions,"
        " got `__import__('os').getcwd()`",
    ),
    "activation that is no formula": (
        network('activation: "x *"'),
        "c.yaml:3: `network.activation` must be a formula such as `x * tanh(x)`, got `x *`",
    ),
    "activation with settings": (
        network('activation: {name: "x * 2", alpha: 1}'),
        "c.yaml:3: `network.activation.alpha` must not be given with a formula, got `1`",
    ),
    "activation nearly a name": (
        network("activation: relu6"),
        f"c.yaml:3: `network.activation` must be one of {ACTIVATIONS}, got `relu6`\nhint: did you mean `relu`?",
    ),
    "layer a broken formula": (
        layers("{name: linear, features: 10}", '"x + q"'),
        "c.yaml:5: `network.layers[1]` must use no names but `x`, got `q`",
    ),
    "loss of x": (
        trainer('loss: "abs(x)"'),
        "c.yaml:3: `trainer.loss` must use no names but `z`, `t`, got `x`",
    ),
    "loss with an unknown setting": (
        trainer('loss: {name: "abs(z - t)", delta: 2}'),
        "c.yaml:3: `trainer.loss` must have known keys only, got `delta`\nhint: there is `reduction`",
    ),
    "loss a formula for classes": (
        trainer('loss: "abs(z - t)"'),
        "c.yaml:3: `trainer.loss` must be one for classes, such as `cross_entropy`, got `abs(z - t)`",
    ),
    "penalty of x": (
        trainer('penalty: "abs(x)"'),
        "c.yaml:3: `trainer.penalty` must use no names but `w`, got `x`",
    ),
    "penalty with a slope at zero": (
        trainer('penalty: "abs(w - 1)"'),
        "c.yaml:3: `trainer.penalty` must have a slope of 0 at w = 0, got `-1`",
    ),
    "penalty of a layer that is not there": (
        trainer('penalty: {"9": "abs(w)"}'),
        "c.yaml:3: `trainer.penalty` must name layers or parameters, `0.weight`, `0.bias`, `2.weight`, `2.bias`,"
        " got `9`",
    ),
    "penalty of one layer broken": (
        trainer('penalty: {"0": "abs(v)"}'),
        "c.yaml:3: `trainer.penalty.0` must use no names but `w`, got `v`",
    ),
    "penalty beside lbfgs": (
        trainer('penalty: "abs(w)"\noptimizer: lbfgs'),
        "c.yaml:3: `trainer.penalty` must not be given with `lbfgs`, which has no steps",
    ),
    "penalty a number": (
        trainer("penalty: 0.1"),
        "c.yaml:3: `trainer.penalty` must be a string, a map of keys to values or `null`, got `0.1`",
    ),
}
