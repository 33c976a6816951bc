"""What Muon and a pack like TabPack's cost: `python -m bench.tabpack`, in turns, medians and their spread.

One network of three layers of 384, and 64 networks drawn as the preset `tabpack` draws them, with AdamW and with Muon.
Where torch is installed, the same 64 are trained one after another by its fused AdamW and its Muon, for an epoch each,
on as many threads as there are processors and in a process of their own, `python -m bench.tabpack torch adamw`.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fastbp as fb
from bench.machine import cpus
from fastbp.config.presets.tabpack import MEMBERS, WAVES, WIDTH
from fastbp.numerics.draws import below, between, log_between, word

ROWS, NUMBERS, BATCH = 4096, 16, 256
STEPS = ROWS // BATCH
ROUNDS = 3


def member(i: int) -> dict[str, Any]:
    """What is drawn for a network."""

    def bits(name: str) -> int:
        return word(0, i, name)

    return {
        "depth": 1 + below(bits("depth"), 3),
        "dropout": between(bits("dropout"), 0.0, 0.5) if below(bits("whether"), 2) else 0.0,
        "lr": log_between(bits("lr"), 1e-4, 5e-3),
        "muon_lr": log_between(bits("muon_lr"), 1e-3, 0.1),
        "decay": log_between(bits("decay"), 1e-3, 1.0),
        "waves": WAVES[below(bits("waves"), len(WAVES))],
        "sigma": log_between(bits("sigma"), 0.01, 10.0),
    }


def rows() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(ROWS, NUMBERS)).astype(np.float32)
    return x, x[:, :1] * x[:, 1:2]


def optimizer(kind: str, drawn: dict[str, Any]) -> Any:
    if kind == "muon":
        return fb.Muon(drawn["lr"], muon_lr=drawn["muon_lr"], weight_decay=drawn["decay"])
    return fb.AdamW(drawn["lr"], weight_decay=drawn["decay"])


def network(i: int, drawn: dict[str, Any]) -> fb.Network:
    layers: list[Any] = [fb.CosineEmbedding(frequencies=drawn["waves"], sigma=drawn["sigma"])]
    for _ in range(drawn["depth"]):
        layers += [fb.Linear(WIDTH), fb.ReLU(), *([fb.Dropout(drawn["dropout"])] if drawn["dropout"] else [])]
    return fb.Network([*layers, fb.Linear(1)], inputs=NUMBERS, seed=i)


def one(kind: str) -> Callable[[], float]:
    """Milliseconds of a step of one network."""
    made = {"adamw": fb.AdamW(), "muon": fb.Muon()}[kind]
    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    trainer = fb.Trainer(fb.mlp([WIDTH, WIDTH, WIDTH, WIDTH, 1]), "mse", made, batch_size=BATCH)
    trainer.run(x, x[:, :1], STEPS)
    return lambda: milliseconds(lambda: trainer.run(x, x[:, :1], STEPS))


def ours(kind: str) -> Callable[[], float]:
    """Milliseconds of a step of all networks of a pack."""
    drawn = [member(i) for i in range(MEMBERS)]
    nets = [network(i, one) for i, one in enumerate(drawn)]
    pack = fb.Pack(nets, loss="mse", optimizer=[optimizer(kind, one) for one in drawn], batch_size=BATCH)
    pack.run(*rows(), 2)
    return lambda: milliseconds(lambda: pack.run(*rows(), STEPS))


def milliseconds(run: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) / STEPS * 1e3


def in_torch(kind: str) -> Callable[[], float]:
    """The same for torch, one network after another, each for an epoch."""
    import torch
    from torch import nn

    class Waves(nn.Module):
        def __init__(self, count: int, sigma: float) -> None:
            super().__init__()
            shape = NUMBERS, count
            self.w = nn.Parameter(sigma * torch.randn(shape))
            self.b, self.a, self.c = (nn.Parameter(torch.zeros(shape)) for _ in range(3))

        def forward(self, x: Any) -> Any:
            h = torch.cos(2.0 * torch.pi * torch.addcmul(self.b, x[..., None], self.w))
            return torch.cat([torch.addcmul(self.c, h, self.a).flatten(1), x], 1)

    def made(drawn: dict[str, Any]) -> tuple[Any, list[Any]]:
        layers: list[Any] = [Waves(drawn["waves"], drawn["sigma"])]
        width = NUMBERS * (drawn["waves"] + 1)
        for _ in range(drawn["depth"]):
            layers += [nn.Linear(width, WIDTH), nn.ReLU()]
            layers += [nn.Dropout(drawn["dropout"])] if drawn["dropout"] else []
            width = WIDTH
        net = nn.Sequential(*layers, nn.Linear(width, 1))
        hidden = [layer.weight for layer in net if isinstance(layer, nn.Linear)][:-1] if kind == "muon" else []
        others = [p for p in net.parameters() if all(p is not known for known in hidden)]
        found: list[Any] = [torch.optim.AdamW(others, lr=drawn["lr"], weight_decay=drawn["decay"], fused=True)]
        if hidden:
            found.append(torch.optim.Muon(hidden, lr=drawn["muon_lr"], weight_decay=drawn["decay"]))
        return net, found

    def epoch(net: Any, optimizers: list[Any]) -> None:
        order = torch.randperm(ROWS)
        for at in range(0, ROWS, BATCH):
            chosen = order[at : at + BATCH]
            loss = nn.functional.mse_loss(net(x[chosen]), y[chosen])
            for each in optimizers:
                each.zero_grad(set_to_none=True)
            loss.backward()
            for each in optimizers:
                each.step()

    torch.set_num_threads(cpus())
    x, y = map(torch.from_numpy, rows())
    nets = [made(member(i)) for i in range(MEMBERS)]
    epoch(*nets[0])
    return lambda: milliseconds(lambda: [epoch(*net) for net in nets])


def apart(kind: str) -> Callable[[], float]:
    """That in a process of its own."""
    command = [sys.executable, "-m", "bench.tabpack", "torch", kind]
    return lambda: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    if sys.argv[1:2] == ["torch"]:
        print(in_torch(sys.argv[2])())
        return
    kinds = ("adamw", "muon")
    cases = {f"one network, {kind}": one(kind) for kind in kinds}
    cases |= {f"{MEMBERS} networks, {kind}": ours(kind) for kind in kinds}
    if importlib.util.find_spec("torch"):
        cases |= {f"{MEMBERS} networks in torch, {kind}": apart(kind) for kind in kinds}
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, run in cases.items():
            found[name].append(run())
    for name, times in found.items():
        said = {"milliseconds": statistics.median(times), "least": min(times), "most": max(times)}
        print(name, json.dumps({key: round(value, 2) for key, value in said.items()}), flush=True)


if __name__ == "__main__":
    main()
