"""Broken losses and schedules."""

from __future__ import annotations

from tests.config.broken_forms import LOSSES, SCHEDULES, data, loss, schedule, trainer

CASES = {
    "loss misspelt": (
        trainer("loss: cross_entrpy"),
        f"c.yaml:3: `trainer.loss` must be one of {LOSSES}, got `cross_entrpy`\nhint: did you mean `cross_entropy`?",
    ),
    "loss unknown": (
        trainer("loss: l1"),
        f"c.yaml:3: `trainer.loss` must be one of {LOSSES}, got `l1`",
    ),
    "loss a list": (
        trainer("loss: [mse]"),
        "c.yaml:3: `trainer.loss` must be a name, or a map with `name`, got a list",
    ),
    "loss of numbers for classes": (
        trainer("loss: mse"),
        "c.yaml:3: `trainer.loss` must be one for classes, such as `cross_entropy`, got `mse`",
    ),
    "loss of classes for numbers": (
        "data: {source: friedman}\ntrainer: {loss: cross_entropy}\n",
        "c.yaml:2: `trainer.loss` must be one for numbers, such as `mse`, got `cross_entropy`",
    ),
    "loss reduction": (
        loss("name: cross_entropy, reduction: avg"),
        "c.yaml:3: `trainer.loss.reduction` must be one of `mean`, `sum`, got `avg`",
    ),
    "loss setting misspelt": (
        loss("name: cross_entropy, label_smothing: 0.1"),
        "c.yaml:3: `trainer.loss` must have known keys only, got `label_smothing`\n"
        "hint: did you mean `label_smoothing`?",
    ),
    "cross_entropy label_smoothing": (
        loss("name: cross_entropy, label_smoothing: 1.5"),
        "c.yaml:3: `trainer.loss.label_smoothing` must be between 0 and 1, got `1.5`",
    ),
    "cross_entropy class_weights a word": (
        loss("name: cross_entropy, class_weights: balanced"),
        "c.yaml:3: `trainer.loss.class_weights` must be a list of numbers or a map of class to number, got `balanced`",
    ),
    "cross_entropy class_weights negative": (
        trainer("loss:\n  name: cross_entropy\n  class_weights:\n    0: 1\n    3: -1"),
        "c.yaml:5: `trainer.loss.class_weights[3]` must be at least 0, got `-1.0`",
    ),
    "cross_entropy class_weights no class": (
        loss("name: cross_entropy, class_weights: {a: 1}"),
        "c.yaml:3: `trainer.loss.class_weights` must have whole numbers for keys, got `a`",
    ),
    "cross_entropy class_weights too few": (
        loss("name: cross_entropy, class_weights: [1, 2]"),
        "c.yaml:3: `trainer.loss.class_weights` must have one number for each of 10 outputs, got `2`",
    ),
    "cross_entropy class_weights beyond": (
        loss("name: cross_entropy, class_weights: {12: 2}"),
        "c.yaml:3: `trainer.loss.class_weights` must name classes below 10, the network's outputs, got `12`",
    ),
    "cross_entropy class_weights zero": (
        loss("name: cross_entropy, class_weights: {0: 0}"),
        "c.yaml:3: `trainer.loss.class_weights` must have one above 0",
    ),
    "cross_entropy ignore_index": (
        loss("name: cross_entropy, ignore_index: 1.5"),
        "c.yaml:3: `trainer.loss.ignore_index` must be a whole number, got `1.5`",
    ),
    "binary_cross_entropy pos_weight": (
        loss("name: binary_cross_entropy, pos_weight: 0"),
        "c.yaml:3: `trainer.loss.pos_weight` must be above 0, got `0.0`",
    ),
    "binary_cross_entropy pos_weight in a list": (
        loss("name: binary_cross_entropy, pos_weight: [1, -1]"),
        "c.yaml:3: `trainer.loss.pos_weight[1]` must be above 0, got `-1.0`",
    ),
    "multi_margin p": (
        loss("name: multi_margin, p: 3"),
        "c.yaml:3: `trainer.loss.p` must be 1 or 2, got `3`",
    ),
    "multi_margin margin": (
        loss("name: multi_margin, margin: 0"),
        "c.yaml:3: `trainer.loss.margin` must be above 0, got `0.0`",
    ),
    "huber delta": (
        loss("name: huber, delta: -1"),
        "c.yaml:3: `trainer.loss.delta` must be above 0, got `-1.0`",
    ),
    "quantile q": (
        loss("name: quantile, q: 1"),
        "c.yaml:3: `trainer.loss.q` must be above 0 and below 1, got `1.0`",
    ),
    "quantile q empty": (
        loss("name: quantile, q: []"),
        "c.yaml:3: `trainer.loss.q` must be a number or a list of numbers, got `[]`",
    ),
    "mse setting": (
        loss("name: mse, delta: 1"),
        "c.yaml:3: `trainer.loss` must have known keys only, got `delta`\nhint: there is `reduction`",
    ),
    "schedules of another": (
        trainer("schedules: {lr: cosine}"),
        "c.yaml:3: `trainer.schedules` must have known keys only, got `lr`\nhint: here this is `trainer.optimizer.lr`",
    ),
    "schedules weight_decay a number": (
        trainer("schedules: {weight_decay: 0.1}"),
        "c.yaml:3: `trainer.schedules.weight_decay` must be a name, or a map with `name`, got `0.1`",
    ),
    "schedules label_smoothing by formula": (
        trainer("schedules: {label_smoothing: {name: cosine, end: 2}}"),
        "c.yaml:3: `trainer.schedules.label_smoothing.end` must be between 0 and 1, got `2.0`",
    ),
    "schedules dropout misspelt": (
        trainer("schedules: {dropout: cosin}"),
        f"c.yaml:3: `trainer.schedules.dropout` must be one of {SCHEDULES}, got `cosin`\nhint: did you mean `cosine`?",
    ),
    "schedules dropout that grows": (
        trainer("schedules: {dropout: {name: exponential, gamma: 1.5}}"),
        "c.yaml:3: `trainer.schedules.dropout` must have no factor above 1, got `Exponential(warmup=0, gamma=1.5)`",
    ),
    "schedules of no dropout": (
        trainer("schedules: {dropout: cosine}"),
        "c.yaml:3: `trainer.schedules.dropout` must be left out where `network.dropout` is 0, got `cosine`",
    ),
    "schedules of dropout without such a layer": (
        trainer("schedules: {dropout: cosine}") + "network: {layers: [{name: linear, features: 10}]}\n",
        "c.yaml:3: `trainer.schedules.dropout` must be left out where no layer is `dropout`, got `cosine`",
    ),
    "schedules of no decay": (
        trainer("schedules: {weight_decay: cosine}"),
        "c.yaml:3: `trainer.schedules.weight_decay` must be left out where `trainer.optimizer.weight_decay` is 0"
        ", got `cosine`",
    ),
    "schedules of no smoothing": (
        trainer("schedules: {label_smoothing: cosine}"),
        "c.yaml:3: `trainer.schedules.label_smoothing` must be left out where `trainer.loss.label_smoothing` is 0"
        ", got `cosine`",
    ),
    "schedules with lbfgs": (
        trainer("schedules: {weight_decay: cosine}\noptimizer: lbfgs"),
        "c.yaml:3: `trainer.schedules` must not be given with `lbfgs`, which has no steps",
    ),
    "schedule misspelt": (
        trainer("schedule: cosin"),
        f"c.yaml:3: `trainer.schedule` must be one of {SCHEDULES}, got `cosin`\nhint: did you mean `cosine`?",
    ),
    "schedule unknown": (
        trainer("schedule: warmup"),
        f"c.yaml:3: `trainer.schedule` must be one of {SCHEDULES}, got `warmup`",
    ),
    "schedule a number": (
        trainer("schedule: 0.1"),
        "c.yaml:3: `trainer.schedule` must be a name, or a map with `name`, got `0.1`",
    ),
    "schedule needs a setting": (
        trainer("schedule: step"),
        "c.yaml:3: `trainer.schedule` must have `every`, which `step` requires",
    ),
    "schedule needs a setting in a map": (
        schedule("name: multi_step, gamma: 0.5"),
        "c.yaml:3: `trainer.schedule` must have `milestones`, which `multi_step` requires",
    ),
    "schedule exponential without gamma": (
        trainer("schedule: exponential"),
        "c.yaml:3: `trainer.schedule` must have `gamma`, which `exponential` requires",
    ),
    "schedule restarts without first": (
        trainer("schedule: cosine_restarts"),
        "c.yaml:3: `trainer.schedule` must have `first`, which `cosine_restarts` requires",
    ),
    "schedule setting misspelt": (
        schedule("name: cosine, warm_up: 10"),
        "c.yaml:3: `trainer.schedule` must have known keys only, got `warm_up`\nhint: did you mean `warmup`?",
    ),
    "cosine end": (
        schedule("name: cosine, end: 2"),
        "c.yaml:3: `trainer.schedule.end` must be between 0 and 1, got `2.0`",
    ),
    "cosine steps": (
        schedule("name: cosine, steps: 0"),
        "c.yaml:3: `trainer.schedule.steps` must be at least 1, got `0`",
    ),
    "cosine warmup": (
        schedule("name: cosine, warmup: -1"),
        "c.yaml:3: `trainer.schedule.warmup` must be at least 0, got `-1`",
    ),
    "cosine warmup beyond steps": (
        schedule("name: cosine, warmup: 10, steps: 5"),
        "c.yaml:3: `trainer.schedule.warmup` must be below `steps`, `5`, got `10`",
    ),
    "step every": (
        schedule("name: step, every: 0"),
        "c.yaml:3: `trainer.schedule.every` must be at least 1, got `0`",
    ),
    "step gamma": (
        schedule("name: step, every: 5, gamma: 0"),
        "c.yaml:3: `trainer.schedule.gamma` must be above 0, got `0.0`",
    ),
    "multi_step milestones": (
        schedule("name: multi_step, milestones: [5, 5]"),
        "c.yaml:3: `trainer.schedule.milestones` must be ascending, got `[5, 5]`",
    ),
    "multi_step milestones a number": (
        schedule("name: multi_step, milestones: 5"),
        "c.yaml:3: `trainer.schedule.milestones` must be a list of whole numbers, got `5`",
    ),
    "multi_step milestones a word": (
        trainer("schedule:\n  name: multi_step\n  milestones:\n    - 5\n    - ten"),
        "c.yaml:7: `trainer.schedule.milestones[1]` must be a whole number, got `ten`",
    ),
    "exponential gamma": (
        schedule("name: exponential, gamma: -0.9"),
        "c.yaml:3: `trainer.schedule.gamma` must be above 0, got `-0.9`",
    ),
    "polynomial power": (
        schedule("name: polynomial, power: 0"),
        "c.yaml:3: `trainer.schedule.power` must be above 0, got `0.0`",
    ),
    "restarts multiply": (
        schedule("name: cosine_restarts, first: 10, multiply: 0.5"),
        "c.yaml:3: `trainer.schedule.multiply` must be a whole number, got `0.5`",
    ),
    "one_cycle warm": (
        schedule("name: one_cycle, warm: 1"),
        "c.yaml:3: `trainer.schedule.warm` must be at least 0 and below 1, got `1.0`",
    ),
    "one_cycle div": (
        schedule("name: one_cycle, div: 0"),
        "c.yaml:3: `trainer.schedule.div` must be above 0, got `0.0`",
    ),
    "flat_cosine flat": (
        schedule("name: flat_cosine, flat: -0.1"),
        "c.yaml:3: `trainer.schedule.flat` must be at least 0 and below 1, got `-0.1`",
    ),
    "cos_log4 end": (
        schedule("name: cos_log4, end: 0.1"),
        "c.yaml:3: `trainer.schedule` must have known keys only, got `end`\nhint: there are `steps`, `warmup`",
    ),
    "constant steps": (
        schedule("name: constant, steps: 10"),
        "c.yaml:3: `trainer.schedule` must have known keys only, got `steps`\nhint: there is `warmup`",
    ),
    "schedule with a huge number": (
        schedule("name: constant, warmup: 9007199254740992"),
        "c.yaml:3: `trainer.schedule.warmup` must be below 2**53, got `9007199254740992`",
    ),
    "loss of several classes for labels": (
        data("path: a.csv\ntask: labels") + "trainer: {loss: cross_entropy}\n",
        "c.yaml:4: `trainer.loss` must be one for labels, such as `binary_cross_entropy`, got `cross_entropy`",
    ),
}
