"""Broken files: what no configuration may hold, whatever its keys."""

from __future__ import annotations

from tests.config.broken_forms import DIGITS, network, trainer

CASES = {
    "empty file": (
        "",
        "c.yaml:1: a config must be keys with values, got nothing",
    ),
    "only a comment": (
        "# nothing\n",
        "c.yaml:1: a config must be keys with values, got nothing",
    ),
    "list at the top": (
        "- a\n- b\n",
        "c.yaml:1: a config must be keys with values, got a list",
    ),
    "string at the top": (
        "just words\n",
        "c.yaml:1: a config must be keys with values, got `just words`",
    ),
    "number at the top": (
        "\n\n12\n",
        "c.yaml:3: a config must be keys with values, got `12`",
    ),
    "two documents": (
        DIGITS + "---\nname: other\n",
        "c.yaml:2: a config must be one document, without a second one after `---`",
    ),
    "alias": (
        "a: &x {b: 1}\nc: *x\n",
        "c.yaml:1: a config must have no anchors, got `&x`",
    ),
    "alias alone": (
        "trainer:\n  epochs: *x\n",
        "c.yaml:2: a config must have no aliases, got `*x`",
    ),
    "cycle": (
        "data: {source: digits}\ntrainer: &t\n  epochs: 1\n  again: *t\n",
        "c.yaml:2: a config must have no anchors, got `&t`",
    ),
    "tag": (
        DIGITS + "seed: !!int '3'\n",
        "c.yaml:2: a config must have no tags, got `!!int`",
    ),
    "python tag": (
        "name: !!python/object/apply:os.system ['true']\n",
        "c.yaml:1: a config must have no tags, got `!!python/object/apply:os.system`",
    ),
    "own tag": (
        "name: !env HOME\n",
        "c.yaml:1: a config must have no tags, got `!env`",
    ),
    "tab": (
        DIGITS + "trainer:\n\tepochs: 3\n",
        "c.yaml:3: a config in YAML must be indented with spaces, got a tab",
    ),
    "key twice": (
        DIGITS + "seed: 1\nname: a\nseed: 2\n",
        "c.yaml:4: `seed` must be given once, but is on line 2 too",
    ),
    "key twice deep": (
        DIGITS + "trainer:\n  optimizer:\n    name: adam\n    lr: 0.1\n    lr: 0.2\n",
        "c.yaml:6: `trainer.optimizer.lr` must be given once, but is on line 5 too",
    ),
    "key twice in quotes": (
        DIGITS + "seed: 1\n'seed': 2\n",
        "c.yaml:3: `seed` must be given once, but is on line 2 too",
    ),
    "list for a key": (
        DIGITS + "? [1, 2]\n: 3\n",
        "c.yaml:2: a config must have strings for keys, got a list",
    ),
    "map for a key": (
        DIGITS + "trainer:\n  ? {a: 1}\n  : 3\n",
        "c.yaml:3: `trainer` must have strings for keys, got a map",
    ),
    "no colon": (
        DIGITS + "trainer\n  epochs: 3\n",
        "c.yaml:2: a config must be valid YAML, got a key without `:`",
    ),
    "two colons": (
        DIGITS + "trainer: epochs: 3\n",
        "c.yaml:2: a config must be valid YAML, got a `:` in a wrong place",
    ),
    "open bracket": (
        DIGITS + "network: {hidden: [1, 2}\n",
        "c.yaml:2: a config must be valid YAML: expected `,` or `]`, but got `}`",
    ),
    "open to the end": (
        DIGITS + "network: {hidden: [1, 2\n",
        "c.yaml:2: a config must be valid YAML, got a bracket that is not closed",
    ),
    "open quote": (
        DIGITS + 'name: "run\nseed: 1\n',
        "c.yaml:2: a config must be valid YAML, got a quote that is not closed",
    ),
    "bad indentation": (
        DIGITS + "trainer:\n    epochs: 3\n  batch_size: 4\n",
        "c.yaml:4: a config must be valid YAML, got a line that does not fit those above it",
    ),
    "list below a key of a map": (
        DIGITS + "trainer:\n  epochs: 3\n  - 4\n",
        "c.yaml:4: a config must be valid YAML, got a line that does not fit those above it",
    ),
    "percent": (
        DIGITS + "%name: 3\n",
        "c.yaml:2: a config must be valid YAML: expected alphabetic or numeric character, but found `:`",
    ),
    "at sign": (
        DIGITS + "name: @home\n",
        "c.yaml:2: a config must be valid YAML: found character `@` that cannot start any token",
    ),
    "bad escape": (
        DIGITS + 'name: "\\q"\n',
        "c.yaml:2: a config must be valid YAML: found unknown escape character `q`",
    ),
    "control character": (
        DIGITS + "name: a\x07b\n",
        "c.yaml:2: a config must be valid YAML: a character is not allowed",
    ),
    "deep": (
        "data: " + "[" * 40 + "]" * 40 + "\n",
        "c.yaml:1: a config must be nested at most 32 deep, got more",
    ),
    "deep over lines": (
        "".join(" " * i + f"k{i}:\n" for i in range(40)),
        "c.yaml:33: a config must be nested at most 32 deep, got more",
    ),
    "merge key": (
        DIGITS + "<<: {seed: 1}\n",
        "c.yaml:2: a config must have known keys only, got `<<`\n"
        "hint: there are `data`, `dtype`, `name`, `network`, `pack`, `preset`, `run`, `seed`, `sweep`, `trainer`",
    ),
    "nan": (
        trainer("clip_norm: .nan"),
        "c.yaml:3: `trainer.clip_norm` must be finite, got `nan`",
    ),
    "inf": (
        trainer("clip_norm: .inf"),
        "c.yaml:3: `trainer.clip_norm` must be finite, got `inf`",
    ),
    "minus inf": (
        trainer("optimizer:\n  name: sgd\n  lr: -.INF"),
        "c.yaml:5: `trainer.optimizer.lr` must be finite, got `-inf`",
    ),
    "nan in a list": (
        network("hidden: [64, .NaN]"),
        "c.yaml:3: `network.hidden[1]` must be finite, got `nan`",
    ),
    "overflow": (
        trainer("clip_norm: 1e999"),
        "c.yaml:3: `trainer.clip_norm` must be finite, got `inf`",
    ),
    "huge": (
        trainer("epochs: 99999999999999999999999"),
        "c.yaml:3: `trainer.epochs` must be below 2**64, got `99999999999999999999999`",
    ),
    "huge negative": (
        DIGITS + "seed: -99999999999999999999999\n",
        "c.yaml:2: `seed` must be above -2**64, got `-99999999999999999999999`",
    ),
    "huge seed": (
        DIGITS + "seed: 18446744073709551616\n",
        "c.yaml:2: `seed` must be below 2**64, got `18446744073709551616`",
    ),
    "hex": (
        DIGITS + "seed: 0x1FFFFFFFFFFFFFFFFF\n",
        "c.yaml:2: `seed` must be below 2**64, got `590295810358705651711`",
    ),
}
