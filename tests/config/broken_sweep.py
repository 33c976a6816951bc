"""Broken keys in `sweep`: how a space is searched, and what keys are chosen from."""

from __future__ import annotations

MOONS = "data: {source: moons, rows: 60}\n"
MEANS = "must be a list, or a map with `choice`, `log`, `uniform`, `int` or `log_int`, or with `width` and `depth`"
SAME = "must not differ by run, as all are trained and compared in one way"
ALONE = "must not differ by run, as that would make no other network"
LR = "trainer.optimizer.lr"


def sweep(body: str, more: str = "") -> str:
    return f"{MOONS}{more}sweep: {{{body}}}\n"


def chosen(key: str, among: str, more: str = "") -> str:
    return sweep(f"{more}space: {{{key}: {among}}}")


RATE = f"space: {{{LR}: [0.1]}}"

CASES = {
    "no map": (MOONS + "sweep: 3", "c.yaml:2: `sweep` must be a map of keys to values or `null`, got `3`"),
    "unknown key": (
        sweep(f"trial: 2, {RATE}"),
        "c.yaml:2: `sweep` must have known keys only, got `trial`\nhint: did you mean `trials`?",
    ),
    "no trials": (sweep(f"trials: 0, {RATE}"), "c.yaml:2: `sweep.trials` must be at least 1, got `0`"),
    "a seed below 0": (sweep(f"seed: -1, {RATE}"), "c.yaml:2: `sweep.seed` must be at least 0, got `-1`"),
    "none together": (sweep(f"together: 0, {RATE}"), "c.yaml:2: `sweep.together` must be at least 1, got `0`"),
    "what is kept": (
        sweep(f"keep: runs, {RATE}"),
        "c.yaml:2: `sweep.keep` must be one of `result`, `run`, got `runs`\nhint: did you mean `run`?",
    ),
    "sampler misspelt": (
        sweep(f"sampler: tep, {RATE}"),
        "c.yaml:2: `sweep.sampler` must be one of `tpe`, `random`, `grid`, `cmaes`, `gp`, `nsga2`, `qmc`, got `tep`"
        "\nhint: did you mean `tpe`?",
    ),
    "sampler's setting": (
        sweep(f"sampler: {{name: tpe, start: 3}}, {RATE}"),
        "c.yaml:2: `sweep.sampler` must have known keys only, got `start`\nhint: did you mean `startup`?",
    ),
    "sampler's number": (
        sweep(f"sampler: {{name: tpe, startup: -3}}, {RATE}"),
        "c.yaml:2: `sweep.sampler.startup` must be at least 0, got `-3`",
    ),
    "sampler without settings": (
        sweep(f"sampler: {{name: grid, startup: 3}}, {RATE}"),
        "c.yaml:2: `sweep.sampler.startup` must not be given, as `grid` has no settings, got `3`",
    ),
    "pruner misspelt": (
        sweep(f"pruner: medium, {RATE}"),
        "c.yaml:2: `sweep.pruner` must be one of `none`, `median`, `percentile`, `halving`, `hyperband`, `threshold`,"
        " got `medium`"
        "\nhint: did you mean `median`?",
    ),
    "pruner's number": (
        sweep(f"pruner: {{name: percentile, percentile: 120}}, {RATE}"),
        "c.yaml:2: `sweep.pruner.percentile` must be above 0 and at most 100, got `120`",
    ),
    "halving by less than two": (
        sweep(f"pruner: {{name: halving, reduction: 1}}, {RATE}"),
        "c.yaml:2: `sweep.pruner.reduction` must be at least 2, got `1`",
    ),
    "a threshold the wrong way round": (
        sweep(f"pruner: {{name: threshold, lower: 2, upper: 1}}, {RATE}"),
        "c.yaml:2: `sweep.pruner.upper` must be above `lower`, which is `2`, got `1`",
    ),
    "a threshold of nothing": (
        sweep(f"pruner: threshold, {RATE}"),
        "c.yaml:2: `sweep.pruner.upper` must be given, or `lower`",
    ),
    "a pack too": (
        MOONS + "pack: {members: 2}\nsweep: {space: {seed: [1]}}",
        "c.yaml:2: `pack` must not be given together with `sweep`, which has packs of its own",
    ),
    "a time limit of runs": (
        f"{MOONS}trainer: {{time_limit: 3}}\nsweep: {{{RATE}}}",
        "c.yaml:2: `trainer.time_limit` must not be given together with `sweep`, of which `--time-limit` is one",
    ),
    "whole numbers by their logarithm, from 0": (
        chosen("trainer.batch_size", "{log_int: [0, 3]}"),
        "c.yaml:2: `sweep.space.trainer.batch_size.log_int[0]` must be above 0, got `0`",
    ),
    "no whole numbers by their logarithm": (
        chosen("trainer.batch_size", "{log_int: [0.5, 3]}"),
        "c.yaml:2: `sweep.space.trainer.batch_size.log_int` must be two whole numbers, the lower first, got a list",
    ),
    "no space": (
        sweep("trials: 3"),
        "c.yaml:2: `sweep.space` must have a key of the configuration, such as `trainer.optimizer.lr`, got none",
    ),
    "no keys": (
        sweep("space: {}"),
        "c.yaml:2: `sweep.space` must have a key of the configuration, such as `trainer.optimizer.lr`, got none",
    ),
    "another section": (
        chosen("trainr.epochs", "[3]"),
        "c.yaml:2: `sweep.space` must have keys of the configuration, got `trainr.epochs`"
        "\nhint: did you mean `trainer.epochs`?",
    ),
    "another key": (
        chosen("trainer.epoch", "[3]"),
        "c.yaml:2: `sweep.space` must have keys of `trainer`, got `trainer.epoch`"
        "\nhint: did you mean `trainer.epochs`?",
    ),
    "a section alone": (chosen("trainer", "[3]"), "c.yaml:2: `sweep.space` must have keys of `trainer`, got `trainer`"),
    "a key below one that has none": (
        chosen("seed.a", "[3]"),
        "c.yaml:2: `sweep.space.seed.a` must be `seed`, which has no keys of its own",
    ),
    "the monitor": (
        chosen("trainer.monitor", "[loss]"),
        f"c.yaml:2: `sweep.space.trainer.monitor` {SAME}",
    ),
    "threads": (
        chosen("trainer.threads", "[1, 2]"),
        f"c.yaml:2: `sweep.space.trainer.threads` {SAME}",
    ),
    "the name": (
        chosen("name", "[a, b]"),
        f"c.yaml:2: `sweep.space.name` {ALONE}",
    ),
    "a preset": (
        chosen("preset", "[realmlp]"),
        "c.yaml:2: `sweep.space.preset` must not be chosen itself, but the keys that it stands for may be",
    ),
    "a number alone": (
        chosen(LR, "0.1"),
        f"c.yaml:2: `sweep.space.trainer.optimizer.lr` {MEANS}, got `0.1`",
    ),
    "an empty list": (
        chosen(LR, "[]"),
        "c.yaml:2: `sweep.space.trainer.optimizer.lr` must have at least one value, got an empty list",
    ),
    "another kind": (
        chosen(LR, "{normal: [0, 1]}"),
        f"c.yaml:2: `sweep.space.trainer.optimizer.lr` {MEANS}, got a map with `normal`",
    ),
    "one bound": (
        chosen(LR, "{log: [0.1]}"),
        "c.yaml:2: `sweep.space.trainer.optimizer.lr.log` must be two numbers, the lower first, got a list",
    ),
    "log from 0": (
        chosen(LR, "{log: [0, 1]}"),
        "c.yaml:2: `sweep.space.trainer.optimizer.lr.log[0]` must be above 0, got `0`",
    ),
    "upper bound first": (
        chosen(LR, "{uniform: [1, 0]}"),
        "c.yaml:2: `sweep.space.trainer.optimizer.lr.uniform` must have the lower number first, got `[1, 0]`",
    ),
    "bounds inside of a choice": (
        chosen("trainer.optimizer", "[{name: sgd, lr: {log: [1, 0.1]}}]"),
        "c.yaml:2: `sweep.space.trainer.optimizer[0].lr.log` must have the lower number first, got `[1, 0.1]`",
    ),
    "a condition on no key": (
        chosen(LR, "{uniform: [0.1, 1], when: {network.norm: null}}"),
        "c.yaml:2: `sweep.space.trainer.optimizer.lr.when` must name other keys of the space, got `network.norm`",
    ),
    "a condition that is none": (
        chosen(LR, "{uniform: [0.1, 1], when: adam}"),
        "c.yaml:2: `sweep.space.trainer.optimizer.lr.when` must be a map from keys of the space to values, got `adam`",
    ),
    "a circle": (
        sweep("space: {seed: {int: [1, 2], when: {dtype: float32}}, dtype: {choice: [float32], when: {seed: 1}}}"),
        "c.yaml:2: `sweep.space.seed.when` must not depend on each other in a circle, got `seed`, `dtype`",
    ),
}
