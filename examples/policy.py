"""A policy learns to swing a pole up by evolution, one row at a time, as an environment asks for it.

A network of 3-24-1 is asked at every step, which takes one to two microseconds where rows stand in a matrix of one row
and what it says has a place of its own: `net.predict(row[None], out=said)`. All its parameters are one vector,
`net.flat`, and evolution strategies (Salimans et al., 2017) need no more: policies with noise to both sides of it, how
much each gains, and a step along the noise of those that gained most. The environment has the interface of Gymnasium;
with `--env` it is one of theirs, if that is installed, of numbers as observations and one number or choice as action.

    python examples/policy.py [--rounds 100] [--pairs 24] [--seed 0] [--env CartPole-v1]
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp as fb

Array = NDArray[Any]
NOISE, RATE = 0.3, 0.6


class Pendulum:
    """A pole that hangs down and must stand, with a motor too weak to lift it at once: Pendulum-v1 of Gymnasium."""

    GRAVITY, LONGEST, TORQUE, FASTEST, SECONDS = 10.0, 200, 2.0, 8.0, 0.05
    observed, acted = 3, (-TORQUE, TORQUE)

    def reset(self, *, seed: int | None = None) -> tuple[Array, dict[str, Any]]:
        rng = np.random.default_rng(seed)
        self.angle, self.spin, self.age = rng.uniform(-math.pi, math.pi), rng.uniform(-1.0, 1.0), 0
        return self._seen(), {}

    def _seen(self) -> Array:
        return np.array([math.cos(self.angle), math.sin(self.angle), self.spin], np.float32)

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        torque = min(max(float(action[0]), -self.TORQUE), self.TORQUE)
        away = (self.angle + math.pi) % (2.0 * math.pi) - math.pi
        cost = away**2 + 0.1 * self.spin**2 + 0.001 * torque**2
        self.spin += (1.5 * self.GRAVITY * math.sin(self.angle) + 3.0 * torque) * self.SECONDS
        self.spin = min(max(self.spin, -self.FASTEST), self.FASTEST)
        self.angle += self.spin * self.SECONDS
        self.age += 1
        return self._seen(), -cost, False, self.age >= self.LONGEST, {}


class Policy:
    """A network of observations, and what becomes of its outputs.

    Parameters
    ----------
    observed : int
        Numbers of an observation.
    acted : tuple of (low, high), or int
        The range of a number that is the action, or how many choices there are.
    """

    def __init__(self, observed: int, acted: Any, seed: int) -> None:
        self.choices = acted if isinstance(acted, int) else None
        layers = [fb.Linear(24), fb.Tanh(), fb.Linear(self.choices or 1)]
        if self.choices is None:
            low, high = acted
            layers += [fb.Tanh(), fb.Affine((high - low) / 2.0, (high + low) / 2.0)]
        self.net = fb.Network(layers, observed, seed)
        self.said = np.empty((1, self.net.outputs), np.float32)

    def act(self, row: Array) -> Any:
        self.net.predict(row[None], out=self.said)  # one row of a matrix, the way with the least in between
        return self.said[0] if self.choices is None else int(self.said.argmax())


def episode(environment: Any, policy: Policy, seed: int) -> tuple[float, int]:
    """What one episode gains, and its steps."""
    row, _ = environment.reset(seed=seed)
    gained, steps, over = 0.0, 0, False
    while not over:
        row, reward, ended, cut, _ = environment.step(policy.act(row))
        gained, steps, over = gained + float(reward), steps + 1, ended or cut
    return gained, steps


def evolve(environment: Any, policy: Policy, rounds: int, pairs: int, seed: int) -> int:
    """Move the policy's parameters along the noise of policies that gain more; all steps of the environment."""
    rng = np.random.default_rng(seed)
    centre, steps = policy.net.flat.astype(np.float64), 0
    moment = np.zeros_like(centre)
    for number in range(1, rounds + 1):
        noise = rng.normal(size=(pairs, centre.size))
        noise = np.concatenate([noise, -noise])
        gains = np.empty(2 * pairs)
        for i, one in enumerate(noise):
            policy.net.flat = centre + NOISE * one
            played = [episode(environment, policy, 1000 * number + start) for start in range(3)]
            gains[i] = np.mean([gained for gained, _ in played])
            steps += sum(count for _, count in played)
        ranks = gains.argsort().argsort() / (2 * pairs - 1) - 0.5  # no one gain is worth more than its place
        moment = 0.8 * moment + ranks @ noise / (pairs * NOISE)
        centre += RATE * NOISE * moment
        if number % max(1, rounds // 5) == 0:
            print(f"round {number:3}  gains {gains.mean():8.1f}, of the best {gains.max():8.1f}")
    policy.net.flat = centre
    return steps


def made(name: str | None) -> tuple[Any, int, Any]:
    """An environment, the numbers of its observations, and its actions as `Policy` takes them."""
    if name is None:
        return Pendulum(), Pendulum.observed, Pendulum.acted
    import gymnasium

    environment = gymnasium.make(name)
    action = environment.action_space
    acted = int(action.n) if hasattr(action, "n") else (float(action.low[0]), float(action.high[0]))
    return environment, environment.observation_space.shape[0], acted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--env")
    chosen = parser.parse_args()
    environment, observed, acted = made(chosen.env)
    policy = Policy(observed, acted, chosen.seed)
    before = np.mean([episode(environment, policy, seed)[0] for seed in range(20)])
    begun = time.perf_counter()
    steps = evolve(environment, policy, chosen.rounds, chosen.pairs, chosen.seed + 1)
    seconds = time.perf_counter() - begun
    after = np.mean([episode(environment, policy, seed)[0] for seed in range(20)])
    row = np.zeros(observed, np.float32)
    begun = time.perf_counter()
    for _ in range(10_000):
        policy.act(row)
    asked = (time.perf_counter() - begun) / 10_000
    print(f"\n{steps} steps in {seconds:.1f} s, of which {steps * asked / seconds:.0%} for asking the policy")
    print(f"mean gain before {before:8.1f}\nmean gain after  {after:8.1f}")


if __name__ == "__main__":
    main()
