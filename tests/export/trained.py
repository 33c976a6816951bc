"""Runs and estimators over columns of every kind, which all writers of models with recipes are tested on."""

import csv
import warnings
from pathlib import Path

import numpy as np

from fastbp.cli.main import main
from tests.export.recipes import table

NAMES = ("price", "city", "when", "serial", "kind", "width")  # of the columns that are inputs
TARGETS = {  # of a run: its target, task, further keys of its data, and its loss
    "classes": ("group", "classes", "", "cross_entropy"),
    "log": ("cost", "numbers", "target_transform: log", "mse"),
    "log1p": ("cost", "numbers", "target_transform: log1p", "huber"),
    "quantile": ("cost", "numbers", "target_transform: quantile", "mse"),
    "plain": ("cost", "numbers", "clamp_target: true", "mse"),
    "clamped": ("cost", "numbers", "target_transform: log\n  clamp_target: true", "mse"),
    "spread": ("cost", "numbers", "target_transform: sqrt", "gaussian_nll"),
    "deviation": ("cost", "numbers", "clamp_target: true", "gaussian_nll"),
    "poisson": ("count", "numbers", "", "poisson"),
    "several": ("[cost, count]", "numbers", "target_transform: {cost: log}", "gaussian_nll"),
}
SOME = ("classes", "log", "quantile", "spread", "deviation")  # in which predictions differ most
CONFIG = """
data:
  path: t.csv
  target: {target}
  task: {task}
  {more}
  columns: {{serial: {{type: date, unit: d}}, kind: {{type: category}}, width: {{scale: noisy_quantile}}}}
network: {{hidden: [8]}}
trainer: {{epochs: 3, loss: {loss}}}
"""
SETTINGS = (  # of estimators
    {},
    {"encode": "embedding"},
    {"scale": "quantile"},
    {"scale": "robust", "min_frequency": 45},
    {"n_ens": 3},
    {"n_cv": 3},
    {"calibrate": "temperature", "early_stopping": True},
    {"preset": "tabm-mini"},
)


def train(name: str, *options: str, to: str | None = None, seed: int = 0, rows: int = 240) -> None:
    """A run of one of `TARGETS` in the current folder, by default with its name; other seeds are other tables."""
    columns = table(seed, rows)
    columns["group"] = np.where(columns["width"] > 0, "b", "a")
    columns["cost"], columns["count"] = np.exp(columns["width"]), np.arange(rows) % 7
    target, task, more, loss = TARGETS[name]
    shown = [*NAMES, *target.strip("[]").split(", ")]
    with open("t.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(shown)
        for row in zip(*(columns[one].tolist() for one in shown), strict=True):
            out.writerow(["" if v is None or v != v else v for v in row])
    Path("c.yaml").write_text(CONFIG.format(target=target, task=task, more=more, loss=loss))
    keys = [word for option in options for word in ("--set", option)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["train", "c.yaml", "--run-dir", to or name, "-q", *keys]) == 0


def new_rows(count: int = 100):
    """Rows of the same columns that no run has seen."""
    found = table(1, count)
    found = {name: found[name] for name in NAMES}
    found["city"][:10] = "Paris"
    return found
