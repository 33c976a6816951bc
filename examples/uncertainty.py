"""How sure is a prediction? An ensemble says so, and rows that were held out make it true.

The stopping distance of a car depends on what is measured (speed, water, tread, slope, load) and on how fast the
driver reacts, which is not; so the spread of the distances grows with speed, and is skewed. Each network of a `fb.Pack`
predicts a mean and a variance (`gaussian_nll`), trained on a bootstrap sample of its own; an `fb.Ensemble` is their
mixture, whose variance has both the noise and what the networks do not agree on. Its intervals are then recalibrated:
errors on held-out rows, divided by the predicted deviation, have quantiles, and these take the place of a Gaussian's
(split conformal prediction, Lei et al., 2018). Errors, coverage and widths are those of test rows.

    python examples/uncertainty.py [--rows 600] [--members 10] [--epochs 150] [--seed 0]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp as fb

Array = NDArray[Any]
LEVELS = (0.5, 0.9)
G = 9.81  # m/s²


def drives(rows: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """What is known of each stop, and its distance in metres."""
    speed = rng.uniform(20.0, 130.0, rows)  # km/h
    wet = rng.uniform(0.0, 1.0, rows)  # film of water
    tread = rng.uniform(1.6, 8.0, rows)  # mm
    slope = rng.normal(0.0, 0.03, rows)
    load = rng.uniform(0.0, 500.0, rows)  # kg
    v = speed / 3.6
    grip = 0.95 - 0.45 * wet * (1.0 - 0.07 * tread) * (0.4 + 0.6 * speed / 130.0) - 1e-4 * load
    reaction = np.exp(rng.normal(0.0, 0.35, rows))  # seconds, which nobody measures
    distance = v * reaction + v**2 / (2.0 * G * (grip + slope)) + rng.normal(0.0, 0.3, rows)
    return np.column_stack([speed, wet, tread, slope, load]), distance


@dataclass(frozen=True)
class Scale:
    """Means and deviations of training rows, by which inputs and targets are scaled."""

    mean: Array
    deviation: Array

    @classmethod
    def of(cls, values: Array) -> Scale:
        """That of these rows."""
        return cls(values.mean(axis=0), values.std(axis=0))

    def __call__(self, values: Array) -> Array:
        return np.asarray((values - self.mean) / self.deviation)


@dataclass(frozen=True)
class Predicted:
    """A mean and a deviation for each row, in metres."""

    mean: Array
    deviation: Array

    @classmethod
    def by(cls, model: fb.Network | fb.Ensemble, X: Array, metres: Scale) -> Predicted:
        """What a network, or an ensemble as one, says of these rows: a mean, and the logarithm of a variance."""
        z = model.together(X) if isinstance(model, fb.Ensemble) else model.predict(X).astype(np.float64)
        return cls(metres.mean + metres.deviation * z[:, 0], metres.deviation * np.exp(0.5 * z[:, 1]))

    def interval(self, quantiles: tuple[float, float]) -> tuple[Array, Array]:
        """Ends of an interval, of which these are the distances from the mean in deviations."""
        low, high = quantiles
        return self.mean + low * self.deviation, self.mean + high * self.deviation


def gaussian(level: float) -> tuple[float, float]:
    """Ends of the interval that has this part of a standard Gaussian."""
    high = NormalDist().inv_cdf(0.5 + level / 2.0)
    return -high, high


def recalibrated(said: Predicted, y: Array, level: float) -> tuple[float, float]:
    """Ends of the interval that has this part of the errors of held-out rows, in predicted deviations.

    Of n errors the ranks are those of n + 1, so that on average a new row is inside with at least this probability.
    """
    errors = np.sort((y - said.mean) / said.deviation)
    outside = (1.0 - level) / 2.0
    low = int(np.floor(outside * (len(errors) + 1))) - 1
    high = int(np.ceil((1.0 - outside) * (len(errors) + 1))) - 1
    return float(errors[max(low, 0)]), float(errors[min(high, len(errors) - 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=600, help="training rows")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    rng = np.random.default_rng(given.seed)
    X, y = drives(given.rows, rng)
    X_held, y_held = drives(1000, rng)
    X_test, y_test = drives(5000, rng)
    inputs, metres = Scale.of(X), Scale.of(y)

    pack = fb.Pack(
        fb.mlp([X.shape[1], 64, 64, 2], activation="silu", seed=given.seed),
        n=given.members,
        loss="gaussian_nll",
        optimizer=fb.AdamW(lr=3e-3, weight_decay=1e-2),
        schedule="cosine",
        clip_norm=1.0,
        rows=[rng.integers(given.rows, size=given.rows) for _ in range(given.members)],
    )
    pack.fit(inputs(X), metres(y)[:, None], epochs=given.epochs)
    ensemble = pack.ensemble()

    print("                    RMSE  50 % covers  90 % covers  width of 90 % at 50 and at 120 km/h")
    slow, fast = (np.abs(X_test[:, 0] - speed) < 5.0 for speed in (50.0, 120.0))
    for name, model, calibrate in (
        ("one network", pack.members[0], False),
        (f"ensemble of {len(ensemble)}", ensemble, False),
        ("recalibrated", ensemble, True),
    ):
        held, test = (Predicted.by(model, inputs(rows), metres) for rows in (X_held, X_test))
        covered = []
        for level in LEVELS:
            low, high = test.interval(recalibrated(held, y_held, level) if calibrate else gaussian(level))
            covered.append(((low <= y_test) & (y_test <= high)).mean())
        width = high - low
        rmse = np.sqrt(np.square(test.mean - y_test).mean())
        shares = "".join(f"{100.0 * share:>11.1f} %" for share in covered)
        print(f"{name:<15}  {rmse:>5.2f} m{shares}{width[slow].mean():>13.1f} m {width[fast].mean():>13.1f} m")


if __name__ == "__main__":
    main()
