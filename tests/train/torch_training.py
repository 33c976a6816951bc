"""A run in torch: the optimiser, the schedule, and the walk over the batches that a trainer takes."""

from __future__ import annotations

from math import cos, log2, pi
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import fastbp as fb
from fastbp import reference
from tests.train.in_torch import Array, Masked, Tables, Targets, Tensor, measure, parameters
from tests.train.random_runs import Run


def factors_of(run: Run, name: str, p: Tensor) -> tuple[float, float]:
    """What multiplies the learning rate and the weight decay of a parameter; its own goes before its layer's."""
    layer = name.split(".")[0]

    def found(what: str, otherwise: float) -> float:
        given = run.words.get(what) or {}
        return float(given.get(name, given.get(layer, otherwise)))

    decays = run.words["optimizer"].decay_all or p.ndim == 2
    return found("lr_factors", 1.0), found("decay_factors", float(decays))


def stays(run: Run, name: str) -> bool:
    return any(name in (known, f"{known}.{name.split('.')[-1]}") for known in run.words.get("frozen", ()))


def optimizer_of(run: Run, model: nn.Sequential) -> torch.optim.Optimizer:
    """Torch's optimiser; decay that it cannot decouple stands as `apart` in its groups."""
    rule: Any = run.words["optimizer"]
    by_hand = rule.decoupled and not isinstance(rule, fb.Adam | fb.NAdam | fb.RAdam)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, p in parameters(model).items():
        if stays(run, name):
            p.requires_grad_(False)
            continue
        key = rate, decay = factors_of(run, name, p)
        decay *= rule.weight_decay
        new = {"params": [], "lr": rule.lr * rate, "weight_decay": 0.0 if by_hand else decay, "apart": by_hand * decay}
        groups.setdefault(key, new)["params"].append(p)
    optim, groups_ = torch.optim, list(groups.values())
    match rule:
        case fb.SGD():
            return optim.SGD(groups_, momentum=rule.momentum, nesterov=rule.nesterov)
        case fb.Adagrad():
            initial = rule.initial
            return optim.Adagrad(groups_, lr_decay=rule.lr_decay, initial_accumulator_value=initial, eps=rule.eps)
        case fb.RMSprop():
            words = {"momentum": rule.momentum, "centered": rule.centered}
            return optim.RMSprop(groups_, alpha=rule.alpha, eps=rule.eps, **words)
        case fb.AdamW():
            return optim.AdamW(groups_, betas=rule.betas, eps=rule.eps, amsgrad=rule.amsgrad)
        case fb.Adam():
            words = {"amsgrad": rule.amsgrad, "decoupled_weight_decay": rule.decoupled}
            return optim.Adam(groups_, betas=rule.betas, eps=rule.eps, **words)
        case fb.NAdam():
            words = {"momentum_decay": rule.momentum_decay, "decoupled_weight_decay": rule.decoupled}
            return optim.NAdam(groups_, betas=rule.betas, eps=rule.eps, **words)
        case fb.RAdam():
            return optim.RAdam(groups_, betas=rule.betas, eps=rule.eps, decoupled_weight_decay=rule.decoupled)
    assert isinstance(rule, fb.Adadelta)
    return optim.Adadelta(groups_, rho=rule.rho, eps=rule.eps)


def closed_form(schedule: Any, t: int, steps: int) -> float:
    """The factor at step t, where torch has no scheduler for it."""
    warmup = schedule.warmup
    if t < warmup:
        return (t + 1) / warmup * closed_form(schedule, warmup, steps)
    done = (t - warmup) / (steps - warmup)
    match schedule:
        case fb.Constant():
            return 1.0
        case fb.CosLog4():
            return (1.0 - cos(2.0 * pi * log2(1.0 + 15.0 * done))) / 2.0
        case fb.Polynomial():
            return schedule.end + (1.0 - schedule.end) * (1.0 - done) ** schedule.power
        case fb.FlatCosine():
            done = max(0.0, (done - schedule.flat) / (1.0 - schedule.flat))
    return schedule.end + (1.0 - schedule.end) * (1.0 + cos(pi * done)) / 2.0


def scheduler_of(schedule: Any, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    rates = torch.optim.lr_scheduler
    simple = not schedule.warmup and getattr(schedule, "end", 0.0) == 0.0
    match schedule:
        case fb.Step():
            return rates.StepLR(optimizer, schedule.every, schedule.gamma)
        case fb.MultiStep():
            return rates.MultiStepLR(optimizer, list(schedule.milestones), schedule.gamma)
        case fb.Exponential():
            return rates.ExponentialLR(optimizer, schedule.gamma)
        case fb.Polynomial() if simple:
            return rates.PolynomialLR(optimizer, steps, schedule.power)
        case fb.Cosine() if simple:
            return rates.CosineAnnealingLR(optimizer, steps)
        case fb.CosineRestarts():
            return rates.CosineAnnealingWarmRestarts(optimizer, schedule.first, schedule.multiply)
        case fb.OneCycle():
            words = {"div_factor": schedule.div, "final_div_factor": schedule.final_div, "cycle_momentum": False}
            top = [group["lr"] for group in optimizer.param_groups]
            return rates.OneCycleLR(optimizer, top, total_steps=steps, pct_start=schedule.warm, **words)
    return rates.LambdaLR(optimizer, lambda t: closed_form(schedule, t, steps))


class Trained(NamedTuple):
    """A mean loss of each pass, and the running average of the network."""

    losses: list[float]
    averaged: nn.Sequential | None


class Training:
    """One training of a model as a run wants it."""

    def __init__(self, run: Run, model: nn.Sequential, dtype: str, steps: int) -> None:
        self.run, self.model, self.steps = run, model, steps
        self.dtype = getattr(torch, dtype)
        self.X = torch.from_numpy(run.X.astype(dtype))
        y = torch.from_numpy(run.y)
        weights = None if run.sample_weight is None else torch.from_numpy(run.sample_weight.astype(dtype))
        self.targets = Targets(y.to(self.dtype) if y.is_floating_point() else y, weights)
        self.optimizer = optimizer_of(run, model)
        schedule, ema = run.words["schedule"], run.words["ema"]
        self.scheduler = scheduler_of(schedule, self.optimizer, steps) if schedule is not None else None
        swa = torch.optim.swa_utils
        self.averaged = swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(ema)) if ema else None
        self.tables = {
            layer.tables[f"column{column}"].weight: column
            for layer in model
            if isinstance(layer, Tables)
            for column in layer.codes
        }

    def train(self) -> Trained:
        rows, batch, together = len(self.X), self.run.batch, self.run.words["accumulate"]
        losses: list[float] = []
        step = epoch = 0
        while step < self.steps:
            order = reference.permutation(rows, self.run.seed, epoch)
            batches = [order[i : i + batch] for i in range(0, rows, batch)]
            found: list[tuple[float, float]] = []
            for i in range(0, len(batches), together):
                if step < self.steps:
                    found += self.step(batches[i : i + together], step)
                    step += 1
            values, weights = np.array(found).T
            losses.append(values.sum() if self.run.loss.reduction == "sum" else np.average(values, weights=weights))
            epoch += 1
        return Trained(losses, self.averaged.module if self.averaged else None)

    def step(self, batches: list[Array], step: int) -> list[tuple[float, float]]:
        """One step of the mean gradient of some batches; losses and weights of these."""
        found = []
        self.optimizer.zero_grad()
        for number, rows in enumerate(batches):
            for layer in self.model:
                if isinstance(layer, Masked):
                    layer.draw(len(rows), self.run.seed, step * self.run.words["accumulate"] + number, self.dtype)
            value, weight = measure(self.run.loss, self.model(self.X[rows]), self.targets.at(rows))
            (value / len(batches)).backward()
            found.append((value.item(), weight))
        self._clip()
        self._update(np.concatenate(batches))
        if self.scheduler is not None and step + 1 < self.steps:
            self.scheduler.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        return found

    def _clip(self) -> None:
        """The norm of all gradients together first, then each by itself."""
        learned = [p for p in self.model.parameters() if p.grad is not None]
        if self.run.words["clip_norm"]:
            nn.utils.clip_grad_norm_(learned, self.run.words["clip_norm"])
        if self.run.words["clip_value"]:
            nn.utils.clip_grad_value_(learned, self.run.words["clip_value"])

    @torch.no_grad()
    def _update(self, rows: Array) -> None:
        """The optimiser's step, taken back for rows of tables that have not occurred, moments and all."""
        tables = {p: column for p, column in self.tables.items() if p.requires_grad}
        kept = {p: {name: values.clone() for name, values in self._of_rows(p).items()} for p in tables}
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                p.mul_(1.0 - group["lr"] * group["apart"])
        self.optimizer.step()
        for p, before in kept.items():
            absent = torch.ones(len(p), dtype=torch.bool)
            absent[self.X[rows, tables[p]].long()] = False
            for name, values in self._of_rows(p).items():
                values[absent] = before[name][absent] if name in before else 0.0

    def _of_rows(self, p: Tensor) -> dict[str, Tensor]:
        """A table and what the optimiser keeps for each of its numbers."""
        kept = {name: v for name, v in self.optimizer.state[p].items() if torch.is_tensor(v) and v.shape == p.shape}
        return {"table": p, **kept}
