"""Broken keys in `network`."""

from __future__ import annotations

from tests.config.broken_forms import ACTIVATIONS, INITIALISERS, network

CASES = {
    "hidden a number": (
        network("hidden: 64"),
        "c.yaml:3: `network.hidden` must be a list or `null`, got `64`",
    ),
    "hidden zero": (
        network("hidden: [64, 0]"),
        "c.yaml:3: `network.hidden[1]` must be at least 1, got `0`",
    ),
    "hidden a word": (
        network("hidden: [64, wide]"),
        "c.yaml:3: `network.hidden[1]` must be a whole number, got `wide`",
    ),
    "hidden a fraction": (
        network("hidden: [64, 3.5]"),
        "c.yaml:3: `network.hidden[1]` must be a whole number, got `3.5`",
    ),
    "hidden true": (
        network("hidden: [true]"),
        "c.yaml:3: `network.hidden[0]` must be a whole number, got `true`",
    ),
    "hidden null in it": (
        network("hidden: [64, null]"),
        "c.yaml:3: `network.hidden[1]` must be a whole number, got `null`",
    ),
    "hidden nested": (
        network("hidden: [[64]]"),
        "c.yaml:3: `network.hidden[0]` must be a whole number, got a list",
    ),
    "embed_numbers unknown": (
        network("embed_numbers: fourier"),
        "c.yaml:3: `network.embed_numbers` must be one of `piecewise_linear`, `pbld`, `cosine`, `periodic`,"
        " got `fourier`",
    ),
    "embed_numbers with another setting": (
        network("embed_numbers: {name: piecewise_linear, bin: 4}"),
        "c.yaml:3: `network.embed_numbers` must have known keys only, got `bin`\nhint: did you mean `bins`?",
    ),
    "embed_numbers with one bin": (
        network("embed_numbers: {name: piecewise_linear, bins: 1}"),
        "c.yaml:3: `network.embed_numbers.bins` must be at least 2, got `1`",
    ),
    "embed_numbers with no frequencies": (
        network("embed_numbers: {name: pbld, frequencies: 0}"),
        "c.yaml:3: `network.embed_numbers.frequencies` must be at least 1, got `0`",
    ),
    "embed_numbers with columns": (
        network("embed_numbers: {name: cosine, columns: [0]}"),
        "c.yaml:3: `network.embed_numbers` must have known keys only, got `columns`\n"
        "hint: there are `frequencies`, `sigma`",
    ),
    "embed_numbers without a name": (
        network("embed_numbers: {bins: 4}"),
        "c.yaml:3: `network.embed_numbers` must be a name, or a map that has `name`",
    ),
    "embed_numbers beside layers": (
        network("embed_numbers: piecewise_linear\nlayers:\n  - {name: linear, features: 10}"),
        "c.yaml:3: `network.embed_numbers` must not be given together with `network.layers`",
    ),
    "activation misspelt": (
        network("activation: rleu"),
        f"c.yaml:3: `network.activation` must be one of {ACTIVATIONS}, got `rleu`\nhint: did you mean `relu`?",
    ),
    "activation unknown": (
        network("activation: swish"),
        f"c.yaml:3: `network.activation` must be one of {ACTIVATIONS}, got `swish`\nhint: here this is `silu`",
    ),
    "activation null": (
        network("activation:"),
        "c.yaml:3: `network.activation` must be a name, or a map with `name`, got `null`",
    ),
    "activation a number": (
        network("activation: 3"),
        "c.yaml:3: `network.activation` must be a name, or a map with `name`, got `3`",
    ),
    "activation a list": (
        network("activation: [relu, tanh]"),
        "c.yaml:3: `network.activation` must be a name, or a map with `name`, got a list",
    ),
    "activation without a name": (
        network("activation: {negative_slope: 0.1}"),
        "c.yaml:3: `network.activation` must be a name, or a map that has `name`",
    ),
    "activation no layer": (
        network("activation: dropout"),
        f"c.yaml:3: `network.activation` must be one of {ACTIVATIONS}, got `dropout`",
    ),
    "activation name a number": (
        network("activation: {name: 3}"),
        "c.yaml:3: `network.activation.name` must be a name, got `3`",
    ),
    "activation without settings": (
        network("activation: {name: relu, slope: 0.1}"),
        "c.yaml:3: `network.activation.slope` must not be given, as `relu` has no settings, got `0.1`",
    ),
    "activation setting misspelt": (
        network("activation:\n  name: leaky_relu\n  negativ_slope: 0.1"),
        "c.yaml:5: `network.activation` must have known keys only, got `negativ_slope`\n"
        "hint: did you mean `negative_slope`?",
    ),
    "leaky_relu negative": (
        network("activation: {name: leaky_relu, negative_slope: -1}"),
        "c.yaml:3: `network.activation.negative_slope` must be at least 0, got `-1.0`",
    ),
    "elu a word": (
        network("activation: {name: elu, alpha: big}"),
        "c.yaml:3: `network.activation.alpha` must be a number, got `big`",
    ),
    "softplus zero": (
        network("activation: {name: softplus, beta: 0}"),
        "c.yaml:3: `network.activation.beta` must be above 0, got `0.0`",
    ),
    "hardtanh upside down": (
        network("activation: {name: hardtanh, min_val: 2}"),
        "c.yaml:3: `network.activation.max_val` must be above `min_val`, 2.0, got `1.0`",
    ),
    "gelu approximate": (
        network("activation: {name: gelu, approximate: tan}"),
        "c.yaml:3: `network.activation.approximate` must be one of `none`, `tanh`, got `tan`\n"
        "hint: did you mean `tanh`?",
    ),
    "prelu per_feature": (
        network("activation: {name: prelu, per_feature: 1}"),
        "c.yaml:3: `network.activation.per_feature` must be `true` or `false`, got `1`",
    ),
    "front_scale a number": (
        network("front_scale: 1"),
        "c.yaml:3: `network.front_scale` must be `true` or `false`, got `1`",
    ),
    "ntk a word": (
        network("ntk: yes"),
        "c.yaml:3: `network.ntk` must be `true` or `false`, got `yes`",
    ),
    "bias_init of weights": (
        network("bias_init: std"),
        f"c.yaml:3: `network.bias_init` must be one of {INITIALISERS.replace('`std`', '`he5`')}, got `std`",
    ),
    "last_init by rows": (
        network("last_init: he5"),
        f"c.yaml:3: `network.last_init` must be one of {INITIALISERS.replace(', `std`', '')}, got `he5`",
    ),
    "front_scale beside layers": (
        network("layers: [relu]\nfront_scale: true"),
        "c.yaml:4: `network.front_scale` must not be given together with `network.layers`",
    ),
    "parametric of no activation": (
        network("activation: {name: parametric, activation: prelu}"),
        "c.yaml:3: `network.activation.activation` must be one of `identity`, `relu`, `leaky_relu`, `elu`, `selu`,"
        " `gelu`, `gelu_tanh`, `silu`, `mish`, `softplus`, `softsign`, `sigmoid`, `hard_sigmoid`, `tanh`, `hardtanh`,"
        " got `prelu`\nhint: did you mean `relu`?",
    ),
    "parametric with a setting of no activation": (
        network("activation: {name: parametric, activation: {name: elu, beta: 1}}"),
        "c.yaml:3: `network.activation.activation` must have settings of `elu`, got `beta`",
    ),
    "prelu init a name": (
        network("activation: {name: prelu, init: zeros}"),
        "c.yaml:3: `network.activation.init` must be a number, got `zeros`",
    ),
    "norm unknown": (
        network("norm: group_norm"),
        "c.yaml:3: `network.norm` must be one of `batch_norm`, `layer_norm`, `rms_norm`, got `group_norm`\n"
        "hint: did you mean `rms_norm`?",
    ),
    "norm misspelt": (
        network("norm: layernorm"),
        "c.yaml:3: `network.norm` must be one of `batch_norm`, `layer_norm`, `rms_norm`, got `layernorm`\n"
        "hint: did you mean `layer_norm`?",
    ),
    "norm false": (
        network("norm: false"),
        "c.yaml:3: `network.norm` must be one of `batch_norm`, `layer_norm`, `rms_norm`, got `false`",
    ),
    "dropout one": (
        network("dropout: 1"),
        "c.yaml:3: `network.dropout` must be below 1, got `1`",
    ),
    "dropout negative": (
        network("dropout: -0.1"),
        "c.yaml:3: `network.dropout` must be at least 0, got `-0.1`",
    ),
    "dropout a list": (
        network("dropout: [0.1, 0.2]"),
        "c.yaml:3: `network.dropout` must be a number, got a list",
    ),
    "init misspelt": (
        network("init: he_norml"),
        f"c.yaml:3: `network.init` must be one of {INITIALISERS}, got `he_norml`\nhint: did you mean `he_normal`?",
    ),
    "init unknown": (
        network("init: kaiming"),
        f"c.yaml:3: `network.init` must be one of {INITIALISERS}, got `kaiming`",
    ),
    "init of two lines": (
        network('init: "a\\nb"'),
        f"c.yaml:3: `network.init` must be one of {INITIALISERS}, got `a\\nb`",
    ),
    "init a number": (
        network("init: 0.1"),
        "c.yaml:3: `network.init` must be the name of an initialiser, or a map with `name`, got `0.1`",
    ),
    "init a list": (
        network("init: [normal, 0.1]"),
        "c.yaml:3: `network.init` must be the name of an initialiser, or a map with `name`, got a list",
    ),
    "init setting unknown": (
        network("init: {name: normal, std: 0.1}"),
        "c.yaml:3: `network.init` must have known keys only, got `std`\nhint: there are `name`, `scale`",
    ),
    "init without a name": (
        network("init: {scale: 0.1}"),
        "c.yaml:3: `network.init` must be a name, or a map that has `name`",
    ),
    "init name unknown": (
        network("init:\n  name: norml\n  scale: 0.1"),
        f"c.yaml:4: `network.init.name` must be one of {INITIALISERS}, got `norml`\nhint: did you mean `normal`?",
    ),
    "init name a list": (
        network("init: {name: [normal]}"),
        "c.yaml:3: `network.init.name` must be a name, got a list",
    ),
    "init scale zero": (
        network("init:\n  name: normal\n  scale: 0"),
        "c.yaml:5: `network.init.scale` must be above 0, got `0.0`",
    ),
    "init scale a word": (
        network("init: {name: normal, scale: small}"),
        "c.yaml:3: `network.init.scale` must be a number, got `small`",
    ),
    "init scale where there is none": (
        network("init: {name: zeros, scale: 2}"),
        "c.yaml:3: `network.init` must have no scale if it is `zeros`, got `2`",
    ),
    "init constant without value": (
        network("init: constant"),
        "c.yaml:3: `network.init` must have `scale` if it is `constant`, got `null`",
    ),
    "layers with null": (
        network("layers: null\nhidden: 3"),
        "c.yaml:4: `network.hidden` must be a list or `null`, got `3`",
    ),
}
