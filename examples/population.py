"""A population of agents learns to balance a pole, and its learning rates with it.

Each agent is a policy and a critic; all policies are one `fb.Pack`, all critics another. An agent acts in carts of its
own, and of a round's rows its networks are trained on those that it has seen. Policies imitate what they did, with
weights that say how much better than expected it was (advantage-weighted regression, Peng et al., 2019): a
cross-entropy with sample weights. Critics learn λ-returns. From time to time the worst agents take over the networks,
moments and rates of the best and change the rates a little: population-based training (Jaderberg et al., 2017).

    python examples/population.py [--agents 8] [--rounds 30] [--seed 0]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp as fb

Array = NDArray[Any]
CARTS, STEPS = 16, 128  # of an agent: carts, and the steps of each in a round
DISCOUNT, TRACE = 0.99, 0.95  # γ and λ
SHARPNESS = 2.0  # a step that is one deviation better than expected weighs e² times as much
LONGEST = 500  # steps after which an episode ends in any case


class Carts:
    """Poles on carts (Barto, Sutton and Anderson, 1983), many at once, as CartPole-v1 has them.

    Attributes
    ----------
    state : array, shape (..., 4)
        Position, speed, angle and angular speed.
    """

    GRAVITY, CART, POLE, HALF, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
    FARTHEST, STEEPEST = 2.4, np.radians(12.0)

    def __init__(self, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        self.rng = rng
        self.state = self._fresh(shape)
        self._age = np.zeros(shape, int)

    def _fresh(self, shape: tuple[int, ...]) -> Array:
        return self.rng.uniform(-0.05, 0.05, size=(*shape, 4))

    def step(self, right: Array) -> tuple[Array, Array, Array]:
        """Push each cart: the states after it, which poles fell, which episodes ended. Others begin in their place."""
        _, speed, angle, spin = np.moveaxis(self.state, -1, 0)
        sine, cosine, mass = np.sin(angle), np.cos(angle), self.CART + self.POLE
        push = (np.where(right, self.FORCE, -self.FORCE) + self.POLE * self.HALF * spin**2 * sine) / mass
        turn = (self.GRAVITY * sine - cosine * push) / (self.HALF * (4.0 / 3.0 - self.POLE * cosine**2 / mass))
        pull = push - self.POLE * self.HALF * turn * cosine / mass
        after = self.state + self.SECONDS * np.stack([speed, pull, spin, turn], axis=-1)
        self._age += 1
        fell = (np.abs(after[..., 0]) > self.FARTHEST) | (np.abs(after[..., 2]) > self.STEEPEST)
        ended = fell | (self._age >= LONGEST)
        self.state = np.where(ended[..., None], self._fresh(ended.shape), after)
        self._age[ended] = 0
        return after, fell, ended


def of_each(pack: fb.Pack, states: Array) -> Array:
    """Outputs of each agent's network for its own states, shape (agents, ..., 4)."""
    found = [net.predict(own.reshape(-1, 4)) for net, own in zip(pack.members, states, strict=True)]
    return np.stack(found).reshape(*states.shape[:-1], -1)


def chances(policies: fb.Pack, states: Array) -> Array:
    """The probability that an agent pushes to the right."""
    logits = of_each(policies, states)
    return np.asarray(1.0 / (1.0 + np.exp(logits[..., 0] - logits[..., 1])))


def mean_returns(policies: fb.Pack, episodes: int = 32) -> Array:
    """How long each agent balances the pole on average, doing what it holds for best."""
    carts = Carts((len(policies), episodes), np.random.default_rng(1))
    lengths, going = np.zeros((len(policies), episodes)), np.ones((len(policies), episodes), bool)
    while going.any():
        lengths += going
        _, _, ended = carts.step(chances(policies, carts.state) > 0.5)
        going &= ~ended
    return np.asarray(lengths.mean(axis=1))


class Population:
    """Agents that learn side by side."""

    def __init__(self, agents: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.carts = Carts((agents, CARTS), self.rng)
        self.rates = 10.0 ** self.rng.uniform(-4.0, -2.0, size=agents)
        rows = np.split(np.arange(agents * STEPS * CARTS), agents)  # the agents' parts of a round
        common: dict[str, Any] = {"n": agents, "batch_size": 64, "seed": seed, "rows": rows, "clip_norm": 1.0}
        optimizers = [fb.Adam(lr=rate) for rate in self.rates]
        self.policies = fb.Pack(fb.mlp([4, 32, 32, 2], "tanh"), "cross_entropy", optimizers, **common)
        self.critics = fb.Pack(fb.mlp([4, 32, 32, 1], "tanh"), "mse", optimizers, **common)
        self.falls: list[Array] = []  # of each agent, in each round

    def act(self) -> tuple[Array, Array, Array, Array, Array]:
        """A round in the carts: states, pushes, states after them, falls and ends, each (agents, steps, carts, ...)."""
        seen = []
        for _ in range(STEPS):
            states = self.carts.state
            right = self.rng.random(states.shape[:-1]) < chances(self.policies, states)
            seen.append((states, right, *self.carts.step(right)))
        states, right, after, fell, ended = (np.stack(part, axis=1) for part in zip(*seen, strict=True))
        return states, right, after, fell, ended

    def advantages(self, states: Array, after: Array, fell: Array, ended: Array) -> tuple[Array, Array]:
        """How much better each step was than expected, A_t = δ_t + γ λ A_{t+1}, and the λ-return A_t + V(s_t).

        δ_t = (1 - γ) + γ V(s_{t+1}) - V(s_t): each step is worth 1 - γ, so the best value is 1. After a fall there is
        nothing; what would have followed an episode that was only too long, the critic says.
        """
        values = of_each(self.critics, states)[..., 0]
        then = np.where(fell, 0.0, of_each(self.critics, after)[..., 0])
        surprise = (1.0 - DISCOUNT) + DISCOUNT * then - values
        found, following = np.zeros_like(surprise), np.zeros_like(surprise[:, 0])
        for t in reversed(range(STEPS)):
            following = surprise[:, t] + DISCOUNT * TRACE * np.where(ended[:, t], 0.0, following)
            found[:, t] = following
        return found, found + values

    def learn(self) -> None:
        """Act, and train all policies and critics on what their agents have seen."""
        states, right, after, fell, ended = self.act()
        better, returns = self.advantages(states, after, fell, ended)
        scale = better.std(axis=(1, 2), keepdims=True) + 1e-8
        weights = np.exp(np.clip(SHARPNESS * better / scale, -5.0, 3.0))
        X, steps = states.reshape(-1, 4), 4 * STEPS * CARTS // 64
        self.critics.run(X, returns.reshape(-1, 1), steps)
        self.policies.run(X, right.reshape(-1).astype(int), steps, sample_weight=weights.reshape(-1))
        self.falls.append(fell.sum(axis=(1, 2)))

    def select(self) -> None:
        """The worst quarter goes on with what the best has learned, at rates that are changed a little."""
        order, count = np.argsort(np.mean(self.falls[-5:], axis=0), kind="stable"), len(self.rates) // 4
        for best, worst in zip(order[:count], order[::-1][:count], strict=True):
            for pack in (self.policies, self.critics):
                pack.copy_member(int(best), int(worst))
            self.rates[worst] = self.rates[best] * self.rng.choice([0.6, 1.6])
        self.policies.optimizers = self.critics.optimizers = [fb.Adam(lr=rate) for rate in self.rates]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    population = Population(given.agents, given.seed)
    before = mean_returns(population.policies)
    begun = time.perf_counter()
    for number in range(1, given.rounds + 1):
        population.learn()
        if number % 5 == 0:
            falls, rates = population.falls[-1], " ".join(f"{rate:.0e}" for rate in population.rates)
            print(f"round {number:>3}  falls {falls.mean():5.1f}, of the best agent {falls.min():>3}  rates {rates}")
            population.select()
    seconds = time.perf_counter() - begun
    after = mean_returns(population.policies)
    pushes = given.agents * given.rounds * CARTS * STEPS
    print(f"\n{pushes} pushes in {seconds:.1f} s")
    print(f"mean return before  {before.mean():6.1f}  (best agent {before.max():6.1f})")
    print(f"mean return after   {after.mean():6.1f}  (best agent {after.max():6.1f}), of {LONGEST} at most")


if __name__ == "__main__":
    main()
