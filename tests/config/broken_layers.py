"""Broken lists of layers."""

from __future__ import annotations

from tests.config.broken_forms import INITIALISERS, LAYERS, layers, network

CASES = {
    "layers a string": (
        network("layers: linear"),
        "c.yaml:3: `network.layers` must be a list or `null`, got `linear`",
    ),
    "layers empty": (
        network("layers: []"),
        "c.yaml:3: `network.layers` must have at least one layer, got an empty list",
    ),
    "layers beside hidden": (
        network("hidden: [64]\nlayers:\n  - {name: linear, features: 10}"),
        "c.yaml:3: `network.hidden` must not be given together with `network.layers`",
    ),
    "layers beside norm": (
        network("layers:\n  - {name: linear, features: 10}\nnorm: batch_norm"),
        "c.yaml:5: `network.norm` must not be given together with `network.layers`",
    ),
    "layers beside dropout": (
        network("dropout: 0.1\nlayers:\n  - {name: linear, features: 10}"),
        "c.yaml:3: `network.dropout` must not be given together with `network.layers`",
    ),
    "layers beside init": (
        network("init: zeros\nlayers:\n  - {name: linear, features: 10}"),
        "c.yaml:3: `network.init` must not be given together with `network.layers`",
    ),
    "layer misspelt": (
        layers("{name: liner, features: 10}"),
        f"c.yaml:4: `network.layers[0].name` must be one of {LAYERS}, got `liner`\nhint: did you mean `linear`?",
    ),
    "layer unknown": (
        layers("conv2d"),
        f"c.yaml:4: `network.layers[0]` must be one of {LAYERS}, got `conv2d`",
    ),
    "layer null": (
        layers("relu", ""),
        "c.yaml:5: `network.layers[1]` must be a name, or a map with `name`, got `null`",
    ),
    "layer a number": (
        layers("64", "{name: linear, features: 10}"),
        "c.yaml:4: `network.layers[0]` must be a name, or a map with `name`, got `64`",
    ),
    "layer a list": (
        layers("[linear, 10]"),
        "c.yaml:4: `network.layers[0]` must be a name, or a map with `name`, got a list",
    ),
    "layer without a name": (
        layers("{features: 10}"),
        "c.yaml:4: `network.layers[0]` must be a name, or a map that has `name`",
    ),
    "layer by kind": (
        layers("{kind: linear, features: 10}"),
        "c.yaml:4: `network.layers[0]` must be a name, or a map that has `name`",
    ),
    "linear without features": (
        layers("linear"),
        "c.yaml:4: `network.layers[0]` must have `features`, which `linear` requires",
    ),
    "linear without features in a map": (
        layers("{name: linear, bias: false}"),
        "c.yaml:4: `network.layers[0]` must have `features`, which `linear` requires",
    ),
    "linear features zero": (
        layers("{name: linear, features: 0}"),
        "c.yaml:4: `network.layers[0].features` must be at least 1, got `0`",
    ),
    "linear features a word": (
        layers("{name: linear, features: ten}"),
        "c.yaml:4: `network.layers[0].features` must be a whole number, got `ten`",
    ),
    "linear features a fraction": (
        layers("{name: linear, features: 10.0}"),
        "c.yaml:4: `network.layers[0].features` must be a whole number, got `10.0`",
    ),
    "linear setting misspelt": (
        layers("{name: linear, feature: 10}"),
        "c.yaml:4: `network.layers[0]` must have known keys only, got `feature`\nhint: did you mean `features`?",
    ),
    "linear bias a word": (
        layers("{name: linear, features: 10, bias: no}"),
        "c.yaml:4: `network.layers[0].bias` must be `true` or `false`, got `no`",
    ),
    "linear init unknown": (
        layers("{name: linear, features: 10, init: xavier}"),
        f"c.yaml:4: `network.layers[0].init` must be one of {INITIALISERS}, got `xavier`",
    ),
    "linear init map unknown": (
        layers("{name: linear, features: 10,\n      init: {name: xavier}}"),
        f"c.yaml:5: `network.layers[0].init.name` must be one of {INITIALISERS}, got `xavier`",
    ),
    "linear init setting unknown": (
        layers("{name: linear, features: 10, init: {name: normal, gain: 1}}"),
        "c.yaml:4: `network.layers[0].init` must have known keys only, got `gain`\nhint: there are `name`, `scale`",
    ),
    "linear bias_init scale": (
        layers("{name: linear, features: 10, bias_init: {name: normal, scale: -1}}"),
        "c.yaml:4: `network.layers[0].bias_init.scale` must be above 0, got `-1.0`",
    ),
    "linear bias_init a number": (
        layers("{name: linear, features: 10, bias_init: 0}"),
        "c.yaml:4: `network.layers[0].bias_init` must be the name of an initialiser, or a map with `name`, got `0`",
    ),
    "linear ntk a number": (
        layers("{name: linear, features: 10, ntk: 1}"),
        "c.yaml:4: `network.layers[0].ntk` must be `true` or `false`, got `1`",
    ),
    "dropout p one": (
        layers("{name: dropout, p: 1.0}", "{name: linear, features: 10}"),
        "c.yaml:4: `network.layers[0].p` must be at least 0 and below 1, got `1.0`",
    ),
    "dropout p a word": (
        layers("{name: dropout, p: half}"),
        "c.yaml:4: `network.layers[0].p` must be a number, got `half`",
    ),
    "layer_norm eps zero": (
        layers("{name: layer_norm, eps: 0}"),
        "c.yaml:4: `network.layers[0].eps` must be above 0, got `0.0`",
    ),
    "layer_norm affine a word": (
        layers("{name: layer_norm, affine: off}"),
        "c.yaml:4: `network.layers[0].affine` must be `true` or `false`, got `off`",
    ),
    "rms_norm bias": (
        layers("{name: rms_norm, bias: true}"),
        "c.yaml:4: `network.layers[0]` must have known keys only, got `bias`\nhint: there are `affine`, `eps`",
    ),
    "rms_norm eps negative": (
        layers("{name: rms_norm, eps: -1e-5}"),
        "c.yaml:4: `network.layers[0].eps` must be above 0, got `-1e-05`",
    ),
    "batch_norm momentum": (
        layers("{name: batch_norm, momentum: 1.5}"),
        "c.yaml:4: `network.layers[0].momentum` must be between 0 and 1, got `1.5`",
    ),
    "batch_norm eps null": (
        layers("{name: batch_norm, eps: null}"),
        "c.yaml:4: `network.layers[0].eps` must be a number, got `null`",
    ),
    "scale init": (
        layers("{name: scale, init: 1}"),
        "c.yaml:4: `network.layers[0].init` must be the name of an initialiser, or a map with `name`, got `1`",
    ),
    "embedding without columns": (
        layers("embedding"),
        "c.yaml:4: `network.layers[0]` must have `columns`, which `embedding` requires",
    ),
    "embedding columns a list": (
        layers("{name: embedding, columns: [1, 2]}"),
        "c.yaml:4: `network.layers[0].columns` must be a map of column to [categories, width], got `[1, 2]`",
    ),
    "embedding columns empty": (
        layers("{name: embedding, columns: {}}"),
        "c.yaml:4: `network.layers[0].columns` must be a map of column to [categories, width], got an empty map",
    ),
    "embedding column a word": (
        layers("{name: embedding, columns: {a: [3, 2]}}"),
        "c.yaml:4: `network.layers[0].columns` must have whole numbers for keys, got `a`",
    ),
    "embedding shape": (
        layers("{name: embedding, columns: {0: 3}}"),
        "c.yaml:4: `network.layers[0].columns[0]` must be [categories, width], got `3`",
    ),
    "embedding width zero": (
        layers("{name: embedding, columns: {0: [3, 0]}}"),
        "c.yaml:4: `network.layers[0].columns[0][1]` must be at least 1, got `0`",
    ),
    "embedding column beyond": (
        layers("{name: embedding, columns: {99: [3, 2]}}", "{name: linear, features: 10}"),
        "c.yaml:4: `network.layers[0].columns` must be below 64, the inputs, got `99`",
    ),
    "piecewise_linear columns a list": (
        layers("{name: piecewise_linear, columns: [1, 2]}"),
        "c.yaml:4: `network.layers[0].columns` must be a map of column to edges, got `[1, 2]`",
    ),
    "piecewise_linear edges that fall": (
        layers("{name: piecewise_linear, columns: {0: [1, 0]}}"),
        "c.yaml:4: `network.layers[0].columns[0]` must rise from edge to edge, got `0` after `1`",
    ),
    "piecewise_linear one edge": (
        layers("{name: piecewise_linear, columns: {0: [1]}}"),
        "c.yaml:4: `network.layers[0].columns[0]` must be a list of at least two edges, got `[1]`",
    ),
    "pbld columns a number": (
        layers("{name: pbld, columns: 1}"),
        "c.yaml:4: `network.layers[0].columns` must be a list of columns, or null for all, got `1`",
    ),
    "pbld a column twice": (
        layers("{name: pbld, columns: [1, 1]}"),
        "c.yaml:4: `network.layers[0].columns` must name each column once, got `1` twice",
    ),
    "pbld sigma 0": (
        layers("{name: pbld, sigma: 0}"),
        "c.yaml:4: `network.layers[0].sigma` must be above 0, got `0.0`",
    ),
    "cosine no frequencies": (
        layers("{name: cosine, frequencies: 0}"),
        "c.yaml:4: `network.layers[0].frequencies` must be at least 1, got `0`",
    ),
    "cosine column beyond": (
        layers("{name: cosine, columns: [99]}", "{name: linear, features: 10}"),
        "c.yaml:4: `network.layers[0].columns` must be below 64, the inputs, got `99`",
    ),
    "piecewise_linear column beyond": (
        layers("{name: piecewise_linear, columns: {99: [0, 1]}}", "{name: linear, features: 10}"),
        "c.yaml:4: `network.layers[0].columns` must be below 64, the inputs, got `99`",
    ),
    "embedding not first": (
        layers("relu", "{name: embedding, columns: {0: [3, 2]}}", "{name: linear, features: 10}"),
        "c.yaml:5: `network.layers[1]` is an Embedding, which must be the first layer",
    ),
    "outputs do not fit": (
        layers("{name: linear, features: 64}", "relu", "{name: linear, features: 9}"),
        "c.yaml:3: `network.layers` must have 10 outputs, as many as the target has, got `9`",
    ),
    "softmax before cross_entropy": (
        layers("{name: linear, features: 10}", "softmax"),
        "c.yaml:5: `network.layers[1]` must not be `softmax` with `cross_entropy`, which applies the softmax itself",
    ),
}
