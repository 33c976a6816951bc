"""`python -m bench.estimators`: the estimators of `fastbp.sklearn` beside a trainer and scikit-learn's own, as ratios.

    estimator / trainer    digits, 128 hidden, 40 epochs: what the interface costs
    sklearn / estimator    the same work by scikit-learn's MLPClassifier
    search                 GridSearchCV of 24 settings on two processes, scikit-learn's over ours

Contenders take turns in one run. What is compared is checked before: the estimator's losses are the trainer's.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier as Theirs

import fastbp as fb
from fastbp.sklearn import MLPClassifier

EPOCHS = 40
GRID = {
    "batch_size": [32],
    "learning_rate": [1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 1e-2],
    "weight_decay": [0.0, 1e-4, 1e-3, 0.01],
}
THEIR_GRID = {"beta_1": [0.8, 0.9, 0.95], "learning_rate_init": [3e-4, 1e-3, 3e-3, 1e-2], "alpha": [1e-4, 1e-3]}

X, Y = fb.data.digits()
ROWS = X.astype(np.float64)


def ours(epochs: int = EPOCHS) -> MLPClassifier:
    """The estimator of this work."""
    return MLPClassifier((128,), optimizer="adam", epochs=epochs, random_state=0)


def theirs(epochs: int = EPOCHS) -> Any:
    """scikit-learn's estimator of the same work: it stops no earlier."""
    return Theirs((128,), max_iter=epochs, batch_size=32, random_state=0, tol=0.0, n_iter_no_change=epochs + 1)


def trainer() -> list[float]:
    """The losses of a trainer on the same rows."""
    spread = ROWS.std(axis=0)
    rows = ((ROWS - ROWS.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)).astype(np.float32)
    return fb.Trainer(fb.mlp([64, 128, 10], seed=0)).fit(rows, Y, epochs=EPOCHS).loss


def search(model: Any, grid: dict[str, list[float]]) -> Any:
    """A search over 24 settings on two processes."""
    return GridSearchCV(model, grid, cv=3, n_jobs=2, refit=False).fit(ROWS, Y)


def ratios(above: Callable[[], Any], below: Callable[[], Any], rounds: int) -> list[float]:
    """Their times, divided, of neighbouring turns."""
    found = []
    for _ in range(rounds):
        took = []
        for work in (above, below):
            begun = time.perf_counter()
            work()
            took.append(time.perf_counter() - begun)
        found.append(took[0] / took[1])
    return found


def line(name: str, found: Sequence[float]) -> str:
    """A row of the table: the median, and all turns in brackets."""
    return f"{name:<22} {statistics.median(found):6.2f}  ({min(found):.2f}..{max(found):.2f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, measure, print."""
    options = argparse.ArgumentParser(prog="python -m bench.estimators", description=__doc__.split(":")[1].strip())
    options.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    options.add_argument("--search-epochs", type=int, default=20, help="epochs of each fit of a search (default: 20)")
    said = options.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    found = ours().fit(ROWS, Y).loss_curve_
    expected = trainer()
    if not np.allclose(found, expected, rtol=1e-4):
        raise SystemExit(
            f"the estimator's losses must be the trainer's, {expected[-1]:.6g} at last, got {found[-1]:.6g}"
        )
    print(line("estimator / trainer", ratios(lambda: ours().fit(ROWS, Y), trainer, said.rounds)))
    print(line("sklearn / estimator", ratios(lambda: theirs().fit(ROWS, Y), lambda: ours().fit(ROWS, Y), said.rounds)))
    epochs = said.search_epochs
    here, there = (
        lambda: search(ours(epochs), GRID),
        lambda: search(theirs(epochs).set_params(solver="sgd"), THEIR_GRID),
    )
    here()  # workers start and import
    print(line("search", ratios(there, here, max(1, said.rounds // 3))))


if __name__ == "__main__":
    main()
