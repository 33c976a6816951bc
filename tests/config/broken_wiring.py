"""Broken networks that are no chains: `as`, `from`, `share` and gates."""

from __future__ import annotations

from tests.config.broken_forms import layers

LAST = "{name: linear, features: 10}"
CASES = {
    "from misspelt": (
        layers("{name: linear, features: 8, as: hidden}", "{name: relu, from: hiden}", LAST),
        "c.yaml:5: `network.layers[1].from` must be one of `inputs`, `hidden`, got `hiden`\nhint: did you "
        "mean `hidden`?",
    ),
    "from unknown": (
        layers("{name: linear, features: 8, as: hidden}", "{name: relu, from: xyz}", LAST),
        "c.yaml:5: `network.layers[1].from` must be one of `inputs`, `hidden`, got `xyz`",
    ),
    "from in a list misspelt": (
        layers("{name: linear, features: 8, as: a}", "{name: add, from: [a, input]}", LAST),
        "c.yaml:5: `network.layers[1].from[1]` must be one of `inputs`, `a`, got `input`\nhint: did you mean `inputs`?",
    ),
    "from a later layer": (
        layers("{name: linear, features: 8, as: a, from: b}", "{name: relu, as: b}", LAST),
        "c.yaml:4: `network.layers[0].from` must name an earlier layer, got `b`",
    ),
    "from itself": (
        layers("{name: linear, features: 8, as: a, from: a}", LAST),
        "c.yaml:4: `network.layers[0].from` must name an earlier layer, got `a`",
    ),
    "from nothing": (
        layers("{name: linear, features: 8, from: []}", LAST),
        "c.yaml:4: `network.layers[0].from` must name at least one layer, got an empty list",
    ),
    "from a number": (
        layers("{name: linear, features: 8, from: 0}", LAST),
        "c.yaml:4: `network.layers[0].from` must be the name of a layer, got `0`",
    ),
    "from a number in a list": (
        layers("{name: linear, features: 8, as: a}", "{name: add, from: [a, 0]}", LAST),
        "c.yaml:5: `network.layers[1].from[1]` must be the name of a layer, got `0`",
    ),
    "from a map": (
        layers("{name: linear, features: 8, from: {a: 1}}", LAST),
        "c.yaml:4: `network.layers[0].from` must be the name of a layer, got a map",
    ),
    "from too many": (
        layers("{name: linear, features: 8, as: a}", "{name: linear, features: 8, from: [a, inputs]}", LAST),
        "c.yaml:5: `network.layers[1]`: `Linear` must have 1 input signal, got `2`",
    ),
    "gate of one": (
        layers("{name: linear, features: 8}", "add", LAST),
        "c.yaml:5: `network.layers[1]`: `Add` must have at least 2 input signals, got `1`",
    ),
    "gate of three": (
        layers("{name: linear, features: 8, as: a}", "{name: divide, from: [a, a, a]}", LAST),
        "c.yaml:5: `network.layers[1]`: `Divide` must have 2 input signals, got `3`",
    ),
    "widths of two layers": (
        layers(
            "{name: linear, features: 8, as: a}",
            "{name: linear, features: 9, as: b}",
            "{name: add, from: [a, b]}",
            LAST,
        ),
        "c.yaml:6: `network.layers[2]`: `add` must have signals of the same width, got `8` of `a`, "
        "Linear(features=8, bias=True) and `9` of `b`, Linear(features=9, bias=True)",
    ),
    "widths of a layer and the inputs": (
        layers("{name: linear, features: 8, as: a}", "{name: multiply, from: [a, inputs]}", LAST),
        "c.yaml:5: `network.layers[1]`: `multiply` must have signals of the same width, got `8` of `a`, "
        "Linear(features=8, bias=True) and `64` of the inputs",
    ),
    "nobody reads the first": (
        layers("{name: linear, features: 8}", "{name: linear, features: 8, from: inputs}", LAST),
        "c.yaml:4: `network.layers[0]` must be read by a later layer",
    ),
    "nobody reads a branch": (
        layers("{name: linear, features: 8, as: a}", "relu", "{name: linear, features: 10, from: a}"),
        "c.yaml:5: `network.layers[1]` must be read by a later layer",
    ),
    "share with settings": (
        layers("{name: linear, features: 8, as: a}", "{share: a, features: 8}", LAST),
        "c.yaml:5: `network.layers[1]` must have no `features` together with `share`",
    ),
    "share with a name": (
        layers("{name: linear, features: 8, as: a}", "{share: a, name: linear}", LAST),
        "c.yaml:5: `network.layers[1]` must have no `name` together with `share`",
    ),
    "share unknown": (
        layers("{name: linear, features: 8, as: a}", "{share: c}", LAST),
        "c.yaml:5: `network.layers[1].share` must be one of `a`, got `c`",
    ),
    "share a later layer": (
        layers("{share: c}", "{name: linear, features: 8, as: c}", LAST),
        "c.yaml:4: `network.layers[0].share` must name an earlier layer, got `c`",
    ),
    "share the inputs": (
        layers("{name: linear, features: 8, as: a}", "{share: inputs}", LAST),
        "c.yaml:5: `network.layers[1].share` must be one of `a`, got `inputs`",
    ),
    "share a number": (
        layers("{name: linear, features: 64, as: a}", "{share: 3}", LAST),
        "c.yaml:5: `network.layers[1].share` must be the name of a layer, got `3`",
    ),
    "share at another width": (
        layers("{name: linear, features: 8, as: a}", "{share: a}", LAST),
        "c.yaml:5: `network.layers[1]`: `a`, Linear(features=8, bias=True), must have signals of the same "
        "width in every use, got `64` and `8`",
    ),
    "share batch norm": (
        layers("{name: batch_norm, as: a}", "{share: a}", LAST),
        "c.yaml:5: `network.layers[1]`: `BatchNorm` must be used once, as it keeps statistics of its rows",
    ),
    "as twice": (
        layers("{name: linear, features: 8, as: h}", "{name: relu, as: h}", LAST),
        "c.yaml:5: `network.layers[1].as` must be unique, got `h` again",
    ),
    "as inputs": (
        layers("{name: linear, features: 8, as: inputs}", LAST),
        "c.yaml:4: `network.layers[0].as` must be unique, got `inputs` again",
    ),
    "as no name": (
        layers("{name: linear, features: 8, as: 1a}", LAST),
        "c.yaml:4: `network.layers[0].as` must be of letters, digits, `-` and `_`, a letter first, got `1a`",
    ),
    "as a number": (
        layers("{name: linear, features: 8, as: 3}", LAST),
        "c.yaml:4: `network.layers[0].as` must be a name, got `3`",
    ),
    "as a list": (
        layers("{name: linear, features: 8, as: [a]}", LAST),
        "c.yaml:4: `network.layers[0].as` must be a name, got a list",
    ),
    "place without a layer": (
        layers("{as: a}", LAST),
        "c.yaml:4: `network.layers[0]` must be a name, or a map that has `name`",
    ),
    "as misspelt": (
        layers("{name: linear, features: 8, ass: a}", LAST),
        "c.yaml:4: `network.layers[0]` must have known keys only, got `ass`\nhint: did you mean `as`?",
    ),
    "from written otherwise": (
        layers("{name: relu, form: a}", LAST),
        "c.yaml:4: `network.layers[0]` must have known keys only, got `form`\nhint: did you mean `from`?",
    ),
    "slice beyond": (
        layers("{name: slice, start: 3, stop: 70}", LAST),
        "c.yaml:4: `network.layers[0]`: `Slice.stop` must be at most 64, the width of its signal, got `70`",
    ),
    "slice of nothing": (
        layers("{name: slice, start: 3, stop: 3}", LAST),
        "c.yaml:4: `network.layers[0].stop` must be above `start`, 3, got `3`",
    ),
    "slice below zero": (
        layers("{name: slice, start: -1, stop: 3}", LAST),
        "c.yaml:4: `network.layers[0].start` must be at least 0, got `-1`",
    ),
    "slice without limits": (
        layers("slice", LAST),
        "c.yaml:4: `network.layers[0]` must have `start`, which `slice` requires",
    ),
    "repeat of many": (
        layers("{name: repeat, features: 3}", LAST),
        "c.yaml:4: `network.layers[0]`: `Repeat` must have a signal of width 1, got `64`",
    ),
    "affine a word": (
        layers("{name: affine, factor: x}", LAST),
        "c.yaml:4: `network.layers[0].factor` must be a number, got `x`",
    ),
    "embedding behind a place": (
        layers("{name: linear, features: 8, as: a}", "{name: embedding, columns: {0: [3, 2]}}", LAST),
        "c.yaml:5: `network.layers[1]` is an Embedding, which must be the first layer",
    ),
}
