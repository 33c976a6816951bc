"""Random trainings of which torch can do every part, and what there is in each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import fastbp as fb
from fastbp.spec.graph import chain
from fastbp.spec.layers import Layer
from fastbp.spec.losses import Loss
from fastbp.train.optimizers import Optimizer
from tests.model.random_networks import (
    TORCH_LOSSES,
    Array,
    Decks,
    of_layer,
    of_loss,
    random_layers,
    random_loss,
    random_rows,
    random_targets,
)

# Rates at which no network diverges or becomes chaotic in 200 steps.
OPTIMIZERS: list[Optimizer] = [
    fb.SGD(0.05),
    fb.SGD(0.01, momentum=0.9),
    fb.SGD(0.01, momentum=0.8, nesterov=True),
    fb.Adagrad(0.01, eps=1e-6),
    fb.Adagrad(0.03, lr_decay=0.01, initial=0.1),
    fb.RMSprop(1e-3),
    fb.RMSprop(5e-4, alpha=0.97, momentum=0.7),
    fb.RMSprop(1e-3, eps=1e-5, centered=True),
    fb.RMSprop(5e-4, eps=1e-4, centered=True, momentum=0.5),
    fb.Adam(2e-3),
    fb.Adam(1e-3, betas=(0.8, 0.99), eps=1e-6, amsgrad=True),
    fb.AdamW(2e-3),
    fb.AdamW(3e-3, amsgrad=True),
    fb.NAdam(2e-3),
    fb.NAdam(1e-3, betas=(0.85, 0.99), momentum_decay=0.05),
    fb.RAdam(3e-3),
    fb.RAdam(2e-3, betas=(0.9, 0.98)),
    fb.Adadelta(0.5),
    fb.Adadelta(0.15, rho=0.95, eps=1e-5),
]
SCHEDULES: list[Any] = [
    *[None] * 6,
    fb.Constant(warmup=30),
    fb.Step(40, gamma=0.6),
    fb.MultiStep([20, 21, 150], gamma=0.5),
    fb.Exponential(0.99),
    fb.Polynomial(power=1.5),
    fb.Polynomial(end=0.2, warmup=10),
    fb.Cosine(),
    fb.Cosine(end=0.1, warmup=25),
    fb.CosineRestarts(30, multiply=2),
    fb.CosineRestarts(45),
    fb.OneCycle(),
    fb.CosLog4(),
    fb.FlatCosine(flat=0.5, end=0.05),
]


@dataclass(frozen=True)
class Run:
    """A network, its data, and what a trainer is told beside the network."""

    layers: list[Layer]
    inputs: int
    seed: int
    loss: Loss
    X: Array
    y: Array
    sample_weight: Array | None
    words: dict[str, Any]

    def network(self, dtype: str) -> fb.Network:
        return fb.Network(self.layers, self.inputs, seed=self.seed, dtype=dtype)

    @property
    def batch(self) -> int:
        return int(self.words["batch_size"])


def _optimizer(decks: Decks, loss: Loss, batch: int) -> Optimizer:
    rule = decks.deal("optimizer", OPTIMIZERS)
    decay, decoupled, decay_all = decks.deal(
        "decay", [(0.0, False, False), *((0.02, d, a) for d in (False, True) for a in (False, True))]
    )
    if isinstance(rule, fb.AdamW):
        decoupled = True
    if isinstance(rule, fb.SGD) and loss.reduction == "sum":
        rule = replace(rule, lr=rule.lr / batch)
    return replace(rule, weight_decay=decay, decoupled=decoupled, decay_all=decay_all)


def _treatment(decks: Decks, names: list[str]) -> dict[str, Any]:
    """Factors for a layer and for a parameter, of another layer or of the same; a parameter that stays."""
    nodes = sorted({name.split(".")[0] for name in names})
    words: dict[str, Any] = {}
    for what, factors in (("lr_factors", (0.5, 2.0)), ("decay_factors", (3.0, 0.25))):
        if decks.deal(what, [True, False, False, False]):
            of = str(decks.rng.choice(nodes)), str(decks.rng.choice(names))
            words[what] = dict(zip(of, factors, strict=True))
    if decks.deal("frozen", [True, False, False, False]):
        words["frozen"] = [str(decks.rng.choice(names))]
    return words


def random_run(decks: Decks, number: int) -> Run:
    rng = decks.rng
    kind, loss, outputs = random_loss(decks, TORCH_LOSSES)
    layers, inputs = random_layers(decks, loss, outputs)
    # The last batch of a pass may be short, but has enough rows for a batch norm.
    batch, rows = decks.deal("rows", [(8, 29), (16, 52), (11, 33), (16, 64), (20, 47), (32, 32)])
    rule = _optimizer(decks, loss, batch)
    words = {"optimizer": rule, "batch_size": batch, "schedule": decks.deal("schedule", SCHEDULES)}
    words["accumulate"] = decks.deal("accumulate", [1, 1, 1, 2, 3])
    words["clip_norm"] = decks.deal("clip_norm", [None, None, None, 0.1, 0.3])
    words["clip_value"] = decks.deal("clip_value", [None, None, None, 0.01, 0.05])
    words["ema"] = decks.deal("ema", [None, None, 0.9, 0.98])
    words |= _treatment(decks, list(chain(layers, inputs).parameters()))
    # Gradients of counts alone may cancel to nothing, of which an adaptive rule makes steps of full size.
    counts = loss.kind == "mae" or (loss.kind == "multi_margin" and loss.p == 1)  # type: ignore[attr-defined]
    weighted = decks.deal("weights", [True, False, False]) or (counts and not isinstance(rule, fb.SGD))
    return Run(
        layers,
        inputs,
        number,
        loss,
        random_rows(rng, layers, inputs, rows),
        random_targets(rng, kind, loss, rows, outputs),
        rng.random(rows) + 0.2 if weighted else None,
        words,
    )


def random_runs(count: int, seed: int) -> list[Run]:
    decks = Decks(np.random.default_rng(seed))
    return [random_run(decks, number) for number in range(count)]


def features(run: Run) -> set[str]:
    """Everything that happens in a run, by name."""
    rule, words = run.words["optimizer"], run.words
    found = {of_layer(layer) for layer in run.layers} | of_loss(run.loss, run.y, run.sample_weight)
    found.add(f"{rule.kind} {rule.kernel}")
    if rule.weight_decay:
        found.add(f"{'decoupled' if rule.decoupled else 'L2'} decay of {'all' if rule.decay_all else 'weights'}")
    found |= {name for name in ("lr_decay", "initial") if getattr(rule, name, 0.0)}
    found |= {
        name
        for name in ("clip_norm", "clip_value", "ema", "lr_factors", "decay_factors", "frozen")
        if words.get(name) is not None
    }
    if words["accumulate"] > 1:
        found.add("accumulate")
    if words["schedule"] is not None:
        found.add(f"schedule {words['schedule'].kind}")
        found |= {"warmup"} if words["schedule"].warmup else set()
    return found
