"""Broken files in TOML and JSON."""

from __future__ import annotations

from tests.config.broken_forms import OPTIMIZERS, SOURCES

CASES = {
    "JSON, empty": (
        "",
        "c.json:1: a config must be valid JSON: expecting value",
    ),
    "JSON, list": (
        "[1, 2]\n",
        "c.json:1: a config must be keys with values, got a list",
    ),
    "JSON, comment": (
        '{\n  // no\n  "seed": 1\n}\n',
        "c.json:2: a config must be valid JSON: expecting property name enclosed in double quotes",
    ),
    "JSON, trailing comma": (
        '{\n  "data": {"source": "digits"},\n  "seed": 1,\n}\n',
        "c.json:4: a config must be valid JSON: expecting property name enclosed in double quotes",
    ),
    "JSON, key twice": (
        '{\n  "data": {"source": "digits"},\n  "seed": 1,\n  "seed": 2\n}\n',
        "c.json:4: `seed` must be given once, but is on line 3 too",
    ),
    "JSON, key twice deep": (
        '{"data": {"source": "digits",\n  "rows": 1,\n  "rows": 2}}\n',
        "c.json:3: `data.rows` must be given once, but is on line 2 too",
    ),
    "JSON, nan": (
        '{"data": {"source": "digits"},\n "trainer": {\n  "clip_norm": NaN}}\n',
        "c.json:3: `trainer.clip_norm` must be finite, got `nan`",
    ),
    "JSON, deep": (
        '{"data":\n' + "[" * 40 + "]" * 40 + "}\n",
        "c.json:2: a config must be nested at most 32 deep, got more",
    ),
    "JSON, two values": (
        "{}\n{}\n",
        "c.json:2: a config must be valid JSON: extra data",
    ),
    "JSON, half of a pair": (
        '{"data": {"source": "digits"},\n "name": "\\ud800"}\n',
        "c.json:2: `name` must be Unicode, got half of a surrogate pair",
    ),
    "JSON, wrong value far down": (
        '{\n  "name": "trainer",\n  "data": {"source": "digits"},\n  "network": {"hidden": [64,\n   "epochs"]},'
        '\n  "trainer": {\n    "epochs": 3\n  }\n}\n',
        "c.json:5: `network.hidden[1]` must be a whole number, got `epochs`",
    ),
    "JSON, wrong value on its own line": (
        '{\n  "data":\n  {\n    "source":\n      "digit"\n  }\n}\n',
        f"c.json:4: `data.source` must be one of {SOURCES}, got `digit`\nhint: did you mean `digits`?",
    ),
    "TOML, no value": (
        'name = "a"\nseed =\n',
        "c.toml:2: a config must be valid TOML: invalid value",
    ),
    "TOML, no quotes": (
        "name = run\n",
        "c.toml:1: a config must be valid TOML: invalid value",
    ),
    "TOML, key twice": (
        "seed = 1\nseed = 2\n",
        "c.toml:2: a config must be valid TOML: cannot overwrite a value",
    ),
    "TOML, table twice": (
        '[data]\nsource = "digits"\n[data]\nrows = 3\n',
        "c.toml:3: a config must be valid TOML: cannot declare `data` twice",
    ),
    "TOML, open string": (
        'name = "run\n',
        "c.toml:1: a config must be valid TOML: illegal character `\\n`",
    ),
    "TOML, open list": (
        "x = [1,\n2\n",
        "c.toml:2: a config must be valid TOML: unclosed array",
    ),
    "TOML, deep": (
        "x = " + "[" * 40 + "]" * 40 + "\n",
        "c.toml:1: a config must be nested at most 32 deep, got more",
    ),
    "TOML, deep by dots": (
        ".".join("a" * 34) + " = 1\n",
        "c.toml:1: a config must be nested at most 32 deep, got more",
    ),
    "TOML, date": (
        '[data]\nsource = "digits"\n[trainer]\nepochs = 1979-05-27\n',
        "c.toml:4: `trainer.epochs` must be a whole number, got `1979-05-27`",
    ),
    "TOML, wrong line in a table": (
        '# [trainer] epochs = 1\nname = "trainer.epochs"\n[data]\nsource = "digits"\n'
        "[trainer]\nbatch_size = 4\nepochs = 0\n",
        "c.toml:7: `trainer.epochs` must be at least 1, got `0`",
    ),
    "TOML, dots": (
        'data.source = "digits"\n\ntrainer.optimizer.name = "adam"\ntrainer.optimizer.lr = -1\n',
        "c.toml:4: `trainer.optimizer.lr` must be above 0, got `-1.0`",
    ),
    "TOML, braces": (
        'data = {source = "digits"}\ntrainer = {epochs = 3, optimizer = {name = "sdg"}}\n',
        f"c.toml:2: `trainer.optimizer.name` must be one of {OPTIMIZERS}, got `sdg`\nhint: did you mean `sgd`?",
    ),
    "TOML, layers": (
        '[data]\nsource = "digits"\n\n[[network.layers]]\nname = "linear"\nfeatures = 8\n\n'
        '[[network.layers]]\nname = "dropout"\np = 2\n',
        "c.toml:10: `network.layers[1].p` must be at least 0 and below 1, got `2.0`",
    ),
    "TOML, nan": (
        '[data]\nsource = "digits"\n[trainer]\nclip_norm = nan\n',
        "c.toml:4: `trainer.clip_norm` must be finite, got `nan`",
    ),
    "TOML, empty": (
        "",
        "c.toml:1: `data` must have `source`, `path` or `train`",
    ),
}
