"""`python -m bench cluster`: from which batch and width several machines pay, by steps of one and a simulated network.

A machine of R does the rows of B / R of a batch of B, and then exchanges. What it does is timed here, at two numbers of
rows, and taken to be linear in them: a part that goes with the rows, and one that does not, such as the update. What it
exchanges is simulated message by message as `Ranks.add` sends them, on links that all machines have to one switch: a
link is busy with a message for its bytes over the bandwidth, each way by itself, and it arrives a latency later.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import fastbp as fb
from bench import machine, report
from fastbp.train.ranks import SMALL, added

ROWS = 512, 2048  # of a batch, timed
BATCHES = 1024, 4096, 16384, 65536
MACHINES = 2, 4, 8
INPUTS, OUTPUTS = 256, 10


@dataclass(frozen=True)
class Network:
    """Links of all machines to a switch: seconds from sending to arriving, and bytes a second."""

    name: str
    latency: float
    bandwidth: float


NETWORKS = Network("10 GbE", 30e-6, 10e9 / 8), Network("100 GbE", 5e-6, 100e9 / 8)


@dataclass(frozen=True)
class Net:
    """A chain of equal layers, and what its steps take here."""

    width: int
    parameters: int
    fixed: float  # seconds of a step that do not depend on its rows
    a_row: float
    magnitudes: int  # that all machines compare

    def step(self, rows: float) -> float:
        """Seconds of a step of so many rows."""
        return self.fixed + self.a_row * rows


def everybody(sizes: Sequence[float], machines: int, net: Network) -> float:
    """Seconds until each machine has a message of its size from every other.

    >>> slow = Network("slow", latency=1.0, bandwidth=10.0)
    >>> everybody([20.0] * 4, 4, slow)  # three messages of 2 s one behind another, and the last one's way
    7.0
    """
    leaves, enters, last = [0.0] * machines, [0.0] * machines, 0.0
    for turn in range(1, machines):
        for sender in range(machines):
            receiver = (sender + turn) % machines
            begun = max(leaves[sender], enters[receiver])
            leaves[sender] = enters[receiver] = begun + sizes[sender] / net.bandwidth
            last = max(last, leaves[sender] + net.latency)
    return last


def exchange(size: int, magnitudes: int, machines: int, net: Network, adding: float) -> float:
    """Seconds of a step's exchange of `size` bytes of sums; machines add so many bytes of parts a second."""
    small = everybody([8.0] * machines, machines, net) + everybody([8.0 * magnitudes] * machines, machines, net)
    if size <= SMALL:
        return small + everybody([float(size)] * machines, machines, net) + machines * size / adding
    parts = [size / machines] * machines
    return small + 2.0 * everybody(parts, machines, net) + size / adding


def times_as_fast(net: Net, batch: int, machines: int, network: Network, adding: float, faster: float) -> float:
    """One machine's time of a step over that of several."""
    alone = net.step(batch) / faster
    together = net.step(batch / machines) / faster
    return alone / (together + exchange(4 * net.parameters, net.magnitudes, machines, network, adding))


def measured(width: int, depth: int, rounds: int) -> Net:
    """Time steps of a net of this width, on all threads."""
    sizes = [INPUTS, *[width] * depth, OUTPUTS]
    rng, took = np.random.default_rng(0), {}
    trainers = {}
    net = fb.mlp(sizes, seed=0)
    for rows in ROWS:
        X, y = rng.normal(size=(rows, INPUTS)).astype(np.float32), rng.integers(0, OUTPUTS, rows)
        trainers[rows] = fb.Trainer(fb.mlp(sizes, seed=0), batch_size=rows, seed=0), X, y
        took[rows] = []
        trainers[rows][0].run(X, y, steps=3)
    for _ in range(rounds):
        for rows, (trainer, X, y) in trainers.items():
            steps = max(2, 2 * max(ROWS) // rows)
            begun = time.perf_counter()
            trainer.run(X, y, steps=steps)
            took[rows].append((time.perf_counter() - begun) / steps)
    few, many = (statistics.median(took[rows]) for rows in ROWS)
    a_row = (many - few) / (ROWS[1] - ROWS[0])
    plan = trainers[ROWS[0]][0]._batch_plan
    assert plan is not None
    return Net(width, net.flat.size, max(0.0, few - a_row * ROWS[0]), a_row, plan.head.magnitudes)


def adding_rate(machines: int = 4, size: int = 1 << 22, rounds: int = 7) -> float:
    """Bytes of parts a second that this machine adds."""
    parts = [np.ones(size // machines, np.float32) for _ in range(machines)]
    took = []
    for _ in range(rounds):
        own = [part.copy() for part in parts]
        begun = time.perf_counter()
        added(own, own[0])
        took.append(time.perf_counter() - begun)
    return 4 * size / statistics.median(took)


def rows_of(net: Net, networks: Sequence[Network], adding: float, faster: float) -> list[str]:
    """The lines of one net."""
    found = []
    for batch in BATCHES:
        cells = [
            f"{net.width}",
            f"{net.parameters / 1e6:.2f} M",
            f"{batch}",
            report.digits(1e3 * net.step(batch) / faster),
        ]
        for network in networks:
            for machines in MACHINES:
                cells.append(f"{times_as_fast(net, batch, machines, network, adding, faster):.2f}")
        found.append(report.row(cells))
    return found


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m bench cluster", description="Simulate ranks on a cluster.")
    options.add_argument("--widths", default="256,1024,2048", help="of the layers (default: 256,1024,2048)")
    options.add_argument("--depth", type=int, default=3, help="how many hidden layers (default: 3)")
    options.add_argument("--rounds", type=int, default=5, help="timings of each (default: 5)")
    options.add_argument("--faster", type=float, default=1.0, help="how much faster machines compute than this one")
    return options


def main(arguments: list[str]) -> int:
    """Run the command."""
    given = parser().parse_args(arguments)
    print(report.header(machine.facts(machine.cpus())))
    adding = adding_rate()
    for network in NETWORKS:
        print(f"- {network.name}: {network.latency * 1e6:g} µs, {network.bandwidth / 1e9:g} GB/s each way")
    print(f"- adding parts: {adding / 1e9:.1f} GB/s; machines compute {given.faster:g} times as fast as this one\n")
    heads = [f"{machines} on {network.name}" for network in NETWORKS for machines in MACHINES]
    print(report.row(["width", "parameters", "batch", "ms on one", *heads], head=True), flush=True)
    for text in given.widths.split(","):
        for line in rows_of(measured(int(text), given.depth, given.rounds), NETWORKS, adding, given.faster):
            print(line, flush=True)
    sys.stdout.flush()
    return 0
