"""Broken keys at the top, in `run`, and sections that are none."""

from __future__ import annotations

from tests.config.broken_forms import DIGITS, data, network, split, trainer

CASES = {
    "no data": (
        "name: run\n",
        "c.yaml:1: `data` must have `source`, `path` or `train`",
    ),
    "unknown section": (
        DIGITS + "model: {hidden: [1]}\n",
        "c.yaml:2: a config must have known keys only, got `model`\n"
        "hint: there are `data`, `dtype`, `name`, `network`, `pack`, `preset`, `run`, `seed`, `sweep`, `trainer`",
    ),
    "section misspelt": (
        DIGITS + "trianer: {epochs: 3}\n",
        "c.yaml:2: a config must have known keys only, got `trianer`\nhint: did you mean `trainer`?",
    ),
    "nothing near": (
        DIGITS + "zzz: 3\n",
        "c.yaml:2: a config must have known keys only, got `zzz`\n"
        "hint: there are `data`, `dtype`, `name`, `network`, `pack`, `preset`, `run`, `seed`, `sweep`, `trainer`",
    ),
    "key of another section": (
        DIGITS + "epochs: 3\n",
        "c.yaml:2: a config must have known keys only, got `epochs`\nhint: did you mean `trainer.epochs`?",
    ),
    "key of another section hidden": (
        DIGITS + "hidden: [64]\n",
        "c.yaml:2: a config must have known keys only, got `hidden`\nhint: did you mean `network.hidden`?",
    ),
    "key of the split in data": (
        data("source: digits\nfolds: 5"),
        "c.yaml:3: `data` must have known keys only, got `folds`\nhint: did you mean `data.split.folds`?",
    ),
    "upper case": (
        DIGITS + "Trainer: {epochs: 3}\n",
        "c.yaml:2: a config must have known keys only, got `Trainer`\nhint: did you mean `trainer`?",
    ),
    "unknown in data": (
        data("source: digits\nsuorce: x"),
        "c.yaml:3: `data` must have known keys only, got `suorce`\nhint: did you mean `source`?",
    ),
    "unknown in split": (
        split("valdation: 0.1"),
        "c.yaml:4: `data.split` must have known keys only, got `valdation`\nhint: did you mean `validation`?",
    ),
    "unknown in network": (
        network("hiden: [64]"),
        "c.yaml:3: `network` must have known keys only, got `hiden`\nhint: did you mean `hidden`?",
    ),
    "unknown in trainer": (
        trainer("epoch: 3"),
        "c.yaml:3: `trainer` must have known keys only, got `epoch`\nhint: did you mean `epochs`?",
    ),
    "lr in trainer": (
        trainer("lr: 0.1"),
        "c.yaml:3: `trainer` must have known keys only, got `lr`\nhint: here this is `trainer.optimizer.lr`",
    ),
    "learning_rate in trainer": (
        trainer("learning_rate: 0.1"),
        "c.yaml:3: `trainer` must have known keys only, got `learning_rate`\nhint: here this is `trainer.optimizer.lr`",
    ),
    "weight_decay in trainer": (
        trainer("weight_decay: 0.1"),
        "c.yaml:3: `trainer` must have known keys only, got `weight_decay`\n"
        "hint: did you mean `trainer.optimizer.weight_decay`?",
    ),
    "unknown in early_stopping": (
        trainer("early_stopping: {patiance: 3}"),
        "c.yaml:3: `trainer.early_stopping` must have known keys only, got `patiance`\nhint: did you mean `patience`?",
    ),
    "unknown in reduce_lr": (
        trainer("reduce_lr:\n  factor: 0.5\n  minlr: 0.1"),
        "c.yaml:5: `trainer.reduce_lr` must have known keys only, got `minlr`\nhint: did you mean `min_lr`?",
    ),
    "unknown in run": (
        DIGITS + "run: {checkpoint_second: 3}\n",
        "c.yaml:2: `run` must have known keys only, got `checkpoint_second`\nhint: did you mean `checkpoint_seconds`?",
    ),
    "unknown with odd characters": (
        DIGITS + "'a` - at `$.trainer': 3\n",
        "c.yaml:2: a config must have known keys only, got `a` - at `$.trainer`\n"
        "hint: there are `data`, `dtype`, `name`, `network`, `pack`, `preset`, `run`, `seed`, `sweep`, `trainer`",
    ),
    "unknown of two lines": (
        DIGITS + '"a\\nb": 3\n',
        "c.yaml:2: a config must have known keys only, got `a\\nb`\n"
        "hint: there are `data`, `dtype`, `name`, `network`, `pack`, `preset`, `run`, `seed`, `sweep`, `trainer`",
    ),
    "empty key": (
        DIGITS + "'': 3\n",
        "c.yaml:2: a config must have known keys only, got an empty string\n"
        "hint: there are `data`, `dtype`, `name`, `network`, `pack`, `preset`, `run`, `seed`, `sweep`, `trainer`",
    ),
    "data is null": (
        "data:\n",
        "c.yaml:1: `data` must be a map of keys to values, got `null`",
    ),
    "data is a string": (
        "data: digits\n",
        "c.yaml:1: `data` must be a map of keys to values, got `digits`",
    ),
    "network is a list": (
        DIGITS + "network: [64, 64]\n",
        "c.yaml:2: `network` must be a map of keys to values, got a list",
    ),
    "trainer is null": (
        DIGITS + "trainer:\n",
        "c.yaml:2: `trainer` must be a map of keys to values, got `null`",
    ),
    "run is a string": (
        DIGITS + "run: runs\n",
        "c.yaml:2: `run` must be a map of keys to values, got `runs`",
    ),
    "early_stopping is true": (
        trainer("early_stopping: true"),
        "c.yaml:3: `trainer.early_stopping` must be a map of keys to values or `null`, got `true`",
    ),
    "reduce_lr is a number": (
        trainer("reduce_lr: 0.5"),
        "c.yaml:3: `trainer.reduce_lr` must be a map of keys to values or `null`, got `0.5`",
    ),
    "split is a list": (
        data("source: digits\nsplit: [0.7, 0.15, 0.15]"),
        "c.yaml:3: `data.split` must be a map of keys to values, got a list",
    ),
    "name is a number": (
        DIGITS + "name: 2024\n",
        "c.yaml:2: `name` must be a string, got `2024`",
    ),
    "name is empty": (
        DIGITS + "name: ''\n",
        "c.yaml:2: `name` must be at most 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit"
        ", got an empty string",
    ),
    "name with a slash": (
        DIGITS + "name: a/b\n",
        "c.yaml:2: `name` must be at most 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit"
        ", got `a/b`",
    ),
    "name with a dot first": (
        DIGITS + "name: ..\n",
        "c.yaml:2: `name` must be at most 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit"
        ", got `..`",
    ),
    "name with a line": (
        DIGITS + 'name: "run\\n"\n',
        "c.yaml:2: `name` must be at most 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit"
        ", got `run\\n`",
    ),
    "name too long": (
        DIGITS + "name: " + "x" * 65 + "\n",
        "c.yaml:2: `name` must be at most 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit"
        ", got `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...`",
    ),
    "name is a list": (
        DIGITS + "name: [a]\n",
        "c.yaml:2: `name` must be a string, got a list",
    ),
    "seed is a string": (
        DIGITS + "seed: '1'\n",
        "c.yaml:2: `seed` must be a whole number, got the string `1`",
    ),
    "seed is negative": (
        DIGITS + "seed: -1\n",
        "c.yaml:2: `seed` must be at least 0, got `-1`",
    ),
    "seed is no whole number": (
        DIGITS + "seed: 1.5\n",
        "c.yaml:2: `seed` must be a whole number, got `1.5`",
    ),
    "seed is true": (
        DIGITS + "seed: true\n",
        "c.yaml:2: `seed` must be a whole number, got `true`",
    ),
    "seed is null": (
        DIGITS + "seed: null\n",
        "c.yaml:2: `seed` must be a whole number, got `null`",
    ),
    "seed as other languages write it": (
        DIGITS + "seed: 1_000\n",
        "c.yaml:2: `seed` must be a whole number, got `1_000`",
    ),
    "dtype unknown": (
        DIGITS + "dtype: float16\n",
        "c.yaml:2: `dtype` must be one of `float32`, `float64`, got `float16`\nhint: did you mean `float64`?",
    ),
    "dtype misspelt": (
        DIGITS + "dtype: flaot32\n",
        "c.yaml:2: `dtype` must be one of `float32`, `float64`, got `flaot32`\nhint: did you mean `float32`?",
    ),
    "dtype a number": (
        DIGITS + "dtype: 32\n",
        "c.yaml:2: `dtype` must be one of `float32`, `float64`, got `32`",
    ),
    "folder a number": (
        DIGITS + "run: {folder: 3}\n",
        "c.yaml:2: `run.folder` must be a string, got `3`",
    ),
    "checkpoint_seconds negative": (
        DIGITS + "run:\n  checkpoint_seconds: -1\n",
        "c.yaml:3: `run.checkpoint_seconds` must be at least 0, got `-1`",
    ),
    "checkpoint_seconds a string": (
        DIGITS + "run:\n  checkpoint_seconds: 5s\n",
        "c.yaml:3: `run.checkpoint_seconds` must be a number, got `5s`",
    ),
    "data misspelt": (
        "daat: {source: digits}\n",
        "c.yaml:1: a config must have known keys only, got `daat`\nhint: did you mean `data`?",
    ),
}
