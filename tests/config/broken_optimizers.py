"""Broken optimisers."""

from __future__ import annotations

from tests.config.broken_forms import OPTIMIZERS, optimizer, trainer

CASES = {
    "optimizer misspelt": (
        trainer("optimizer: adm"),
        f"c.yaml:3: `trainer.optimizer` must be one of {OPTIMIZERS}, got `adm`\nhint: did you mean `adam`?",
    ),
    "optimizer unknown": (
        trainer("optimizer: lamb"),
        f"c.yaml:3: `trainer.optimizer` must be one of {OPTIMIZERS}, got `lamb`",
    ),
    "optimizer null": (
        trainer("optimizer:"),
        "c.yaml:3: `trainer.optimizer` must be a name, or a map with `name`, got `null`",
    ),
    "optimizer a number": (
        trainer("optimizer: 0.1"),
        "c.yaml:3: `trainer.optimizer` must be a name, or a map with `name`, got `0.1`",
    ),
    "optimizer a list": (
        trainer("optimizer: [adam, 0.1]"),
        "c.yaml:3: `trainer.optimizer` must be a name, or a map with `name`, got a list",
    ),
    "optimizer without a name": (
        trainer("optimizer:\n  lr: 0.1"),
        "c.yaml:3: `trainer.optimizer` must be a name, or a map that has `name`",
    ),
    "optimizer name null": (
        trainer("optimizer:\n  name:\n  lr: 0.1"),
        "c.yaml:4: `trainer.optimizer.name` must be a name, got `null`",
    ),
    "optimizer upper case": (
        trainer("optimizer: Adam"),
        f"c.yaml:3: `trainer.optimizer` must be one of {OPTIMIZERS}, got `Adam`\nhint: did you mean `adam`?",
    ),
    "optimizer of two lines": (
        trainer('optimizer: "a\\nb"'),
        f"c.yaml:3: `trainer.optimizer` must be one of {OPTIMIZERS}, got `a\\nb`",
    ),
    "optimizer setting misspelt": (
        optimizer("name: adam, lrr: 0.1"),
        "c.yaml:3: `trainer.optimizer` must have known keys only, got `lrr`\nhint: did you mean `lr`?",
    ),
    "optimizer setting unknown": (
        optimizer("name: sgd, betas: [0.9, 0.99]"),
        "c.yaml:3: `trainer.optimizer` must have known keys only, got `betas`\n"
        "hint: there are `decay_all`, `decoupled`, `lr`, `momentum`, `nesterov`, `weight_decay`",
    ),
    "optimizer setting null": (
        optimizer("name: adam, lr: null"),
        "c.yaml:3: `trainer.optimizer.lr` must be a number, got `null`",
    ),
    "lr zero": (
        optimizer("name: adam, lr: 0"),
        "c.yaml:3: `trainer.optimizer.lr` must be above 0, got `0.0`",
    ),
    "lr a word": (
        trainer("optimizer:\n  name: adam\n  lr: 1e-3x"),
        "c.yaml:5: `trainer.optimizer.lr` must be a number, got `1e-3x`",
    ),
    "lr true": (
        optimizer("name: sgd, lr: true"),
        "c.yaml:3: `trainer.optimizer.lr` must be a number, got `true`",
    ),
    "lr a list": (
        optimizer("name: sgd, lr: [0.1]"),
        "c.yaml:3: `trainer.optimizer.lr` must be a number, got `[0.1]`",
    ),
    "sgd momentum": (
        optimizer("name: sgd, momentum: 1"),
        "c.yaml:3: `trainer.optimizer.momentum` must be at least 0 and below 1, got `1.0`",
    ),
    "sgd nesterov without momentum": (
        optimizer("name: sgd, nesterov: true"),
        "c.yaml:3: `trainer.optimizer.momentum` must be above 0 with `nesterov`, got `0.0`",
    ),
    "sgd nesterov a word": (
        optimizer("name: sgd, momentum: 0.9, nesterov: yes"),
        "c.yaml:3: `trainer.optimizer.nesterov` must be `true` or `false`, got `yes`",
    ),
    "sgd weight_decay": (
        optimizer("name: sgd, weight_decay: -0.1"),
        "c.yaml:3: `trainer.optimizer.weight_decay` must be at least 0, got `-0.1`",
    ),
    "sgd decoupled": (
        optimizer("name: sgd, decoupled: 1"),
        "c.yaml:3: `trainer.optimizer.decoupled` must be `true` or `false`, got `1`",
    ),
    "adam betas a number": (
        optimizer("name: adam, betas: 0.9"),
        "c.yaml:3: `trainer.optimizer.betas` must be two numbers, got `0.9`",
    ),
    "adam betas three": (
        optimizer("name: adam, betas: [0.9, 0.99, 0.999]"),
        "c.yaml:3: `trainer.optimizer.betas` must be two numbers, got `[0.9, 0.99, 0.999]`",
    ),
    "adam betas one": (
        trainer("optimizer:\n  name: adam\n  betas:\n    - 0.9\n    - 1.0"),
        "c.yaml:7: `trainer.optimizer.betas[1]` must be at least 0 and below 1, got `1.0`",
    ),
    "adam betas a word": (
        optimizer("name: adam, betas: [0.9, x]"),
        "c.yaml:3: `trainer.optimizer.betas[1]` must be a number, got `x`",
    ),
    "adam eps": (
        optimizer("name: adam, eps: 0"),
        "c.yaml:3: `trainer.optimizer.eps` must be above 0, got `0.0`",
    ),
    "adam amsgrad": (
        optimizer("name: adam, amsgrad: on"),
        "c.yaml:3: `trainer.optimizer.amsgrad` must be `true` or `false`, got `on`",
    ),
    "adamw decay_all": (
        optimizer("name: adamw, decay_all: weights"),
        "c.yaml:3: `trainer.optimizer.decay_all` must be `true` or `false`, got `weights`",
    ),
    "nadam momentum_decay": (
        optimizer("name: nadam, momentum_decay: -1"),
        "c.yaml:3: `trainer.optimizer.momentum_decay` must be at least 0, got `-1.0`",
    ),
    "radam amsgrad": (
        optimizer("name: radam, amsgrad: true"),
        "c.yaml:3: `trainer.optimizer` must have known keys only, got `amsgrad`\n"
        "hint: there are `betas`, `decay_all`, `decoupled`, `eps`, `lr`, `weight_decay`",
    ),
    "lion eps": (
        optimizer("name: lion, eps: 1e-8"),
        "c.yaml:3: `trainer.optimizer` must have known keys only, got `eps`\n"
        "hint: there are `betas`, `decay_all`, `lr`, `weight_decay`",
    ),
    "muon muon_lr": (
        optimizer("name: muon, muon_lr: 0"),
        "c.yaml:3: `trainer.optimizer.muon_lr` must be above 0, got `0.0`",
    ),
    "muon nesterov": (
        optimizer("name: muon, nesterov: true"),
        "c.yaml:3: `trainer.optimizer` must have known keys only, got `nesterov`\n"
        "hint: there are `betas`, `decay_all`, `eps`, `lr`, `momentum`, `muon_lr`, `weight_decay`",
    ),
    "adagrad initial": (
        optimizer("name: adagrad, initial: -1"),
        "c.yaml:3: `trainer.optimizer.initial` must be at least 0, got `-1.0`",
    ),
    "adagrad lr_decay": (
        optimizer("name: adagrad, lr_decay: .1x"),
        "c.yaml:3: `trainer.optimizer.lr_decay` must be a number, got `.1x`",
    ),
    "rmsprop alpha": (
        optimizer("name: rmsprop, alpha: 1.0"),
        "c.yaml:3: `trainer.optimizer.alpha` must be at least 0 and below 1, got `1.0`",
    ),
    "rmsprop centered": (
        optimizer("name: rmsprop, centered: 'true'"),
        "c.yaml:3: `trainer.optimizer.centered` must be `true` or `false`, got the string `true`",
    ),
    "adadelta rho": (
        optimizer("name: adadelta, rho: 2"),
        "c.yaml:3: `trainer.optimizer.rho` must be at least 0 and below 1, got `2.0`",
    ),
    "lbfgs lr": (
        optimizer("name: lbfgs, lr: 0.1"),
        "c.yaml:3: `trainer.optimizer` must have known keys only, got `lr`\n"
        "hint: there are `decay_all`, `memory`, `tolerance`, `weight_decay`",
    ),
    "lbfgs memory": (
        optimizer("name: lbfgs, memory: 0"),
        "c.yaml:3: `trainer.optimizer.memory` must be at least 1, got `0`",
    ),
    "lbfgs tolerance": (
        optimizer("name: lbfgs, tolerance: -1"),
        "c.yaml:3: `trainer.optimizer.tolerance` must be at least 0, got `-1.0`",
    ),
    "lbfgs with a schedule": (
        trainer("optimizer: lbfgs\nschedule: cosine"),
        "c.yaml:4: `trainer.schedule` must not be given with `lbfgs`, which has no steps",
    ),
    "lbfgs with a limit of gradients": (
        trainer("optimizer: lbfgs\nclip_norm: 1"),
        "c.yaml:4: `trainer.clip_norm` must not be given with `lbfgs`, which has no steps",
    ),
    "lbfgs with an average": (
        trainer("ema: 0.9\noptimizer: lbfgs"),
        "c.yaml:3: `trainer.ema` must not be given with `lbfgs`, which has no steps",
    ),
    "lbfgs with frozen layers": (
        trainer("optimizer: lbfgs\nfrozen: ['0']"),
        "c.yaml:4: `trainer.frozen` must not be given with `lbfgs`, which has no steps",
    ),
    "lbfgs with reduce_lr": (
        trainer("optimizer: lbfgs\nreduce_lr: {factor: 0.5}"),
        "c.yaml:4: `trainer.reduce_lr` must not be given with `lbfgs`, which has no steps",
    ),
}
