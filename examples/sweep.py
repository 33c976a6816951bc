"""A random search over 256 settings, all trained at once.

Each setting is a network of its own width, depth and dropout with its own AdamW, batch size and seed: a member of one
`fb.Pack`, which trains all of them in one compiled run and lets each leave when its validation loss stops falling. The
best setting and a greedy ensemble of several are then measured on test rows, which had no say in either choice.

    python examples/sweep.py [--settings 256] [--epochs 30] [--seed 0]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

import fastbp as fb


@dataclass(frozen=True)
class Setting:
    """What is drawn for one network."""

    hidden: tuple[int, ...]
    dropout: float
    lr: float
    weight_decay: float
    batch_size: int

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Setting:
        """A setting at random: rates and decays evenly on a logarithmic scale."""
        return cls(
            hidden=(int(rng.choice([32, 64, 128])),) * int(rng.integers(1, 4)),
            dropout=float(rng.choice([0.0, 0.1, 0.2, 0.4])),
            lr=float(10.0 ** rng.uniform(-3.5, -1.5)),
            weight_decay=float(10.0 ** rng.uniform(-4.0, 0.0)),
            batch_size=int(rng.choice([16, 32, 64])),
        )

    def network(self, seed: int) -> fb.Network:
        """The network of this setting."""
        return fb.mlp([64, *self.hidden, 10], dropout=self.dropout, seed=seed)

    def __str__(self) -> str:
        hidden = "-".join(map(str, self.hidden))
        return f"{hidden:<11}  {self.dropout:>7}  {self.lr:>7.5f}  {self.weight_decay:>12.5f}  {self.batch_size:>5}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--settings", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    X, y = fb.data.digits("train")
    X_val, y_val = fb.data.digits("validation")
    X_test, y_test = fb.data.digits("test")

    rng = np.random.default_rng(given.seed)
    settings = [Setting.drawn(rng) for _ in range(given.settings)]
    pack = fb.Pack(
        [setting.network(seed) for seed, setting in enumerate(settings)],
        loss="cross_entropy",
        optimizer=[fb.AdamW(lr=one.lr, weight_decay=one.weight_decay) for one in settings],
        batch_size=[one.batch_size for one in settings],
        schedule="cosine",
    )

    begun = time.perf_counter()
    histories = pack.fit(X, y, epochs=given.epochs, validation=(X_val, y_val), patience=10)
    seconds = time.perf_counter() - begun
    epochs, steps = (sum(numbers) for numbers in zip(*((len(h.loss), h.steps) for h in histories), strict=True))
    print(f"{len(pack)} networks, {epochs} epochs, {steps} steps in {seconds:.1f} s on {pack.threads} threads")

    losses = [min(history.val_loss, default=np.inf) for history in histories]
    best = np.argsort(losses)[:5]
    print("\nhidden       dropout       lr  weight decay  batch  validation loss  accuracy")
    for i in best:
        accuracy = (pack.members[i].predict(X_val).argmax(axis=1) == y_val).mean()
        print(f"{settings[i]}  {losses[i]:>15.4f}  {accuracy:>8.4f}")

    chosen = pack.ensemble(X_val, y_val, size=16)
    print("\non test rows    log loss  accuracy")
    for name, model in (("best setting", pack.members[best[0]]), (f"ensemble of {len(set(chosen.chosen))}", chosen)):
        p = model.probabilities(X_test)
        loss = -np.log(p[np.arange(len(p)), y_test]).mean()
        print(f"{name:<14}  {loss:>8.4f}  {(p.argmax(axis=1) == y_test).mean():>8.4f}")


if __name__ == "__main__":
    main()
