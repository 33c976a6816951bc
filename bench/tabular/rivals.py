"""One training of a rival; run in an environment that has it, and no fastbp:

    python rivals.py FOLDER RIVAL SEED    # prints the score, seconds of training, and milliseconds for 1,000 rows
    python rivals.py version RIVAL        # prints the version of its package, or nothing where there is none

Times are of processors, all threads together, so that other processes do not count. Each rival has its defaults and
stops by the validation rows; scikit-learn's network draws as many of both parts for that itself.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TREES = 5000  # of LightGBM, at most; early stopping ends sooner
PATIENCE = 50  # trees without improvement on the validation rows
TIMED = 5  # predictions of the test rows, of which the median counts
PACKAGES = {
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "sklearn": "scikit-learn",
    "pytabkit-realmlp": "pytabkit",
    "pytabkit-tabm": "pytabkit",
}


@dataclass
class Rows:
    """Training, validation and test rows as tables, with targets as codes of classes or as numbers."""

    x: list[pd.DataFrame]
    y: list[Any]
    classes: bool
    metric: str


def rows_of(folder: Path) -> Rows:
    """The rows of a set."""
    about = json.loads((folder / "about.json").read_text())
    parts = [pd.read_csv(folder / f"{part}.csv") for part in ("train", "validation", "test")]
    ends = np.cumsum([len(part) for part in parts])[:-1]
    whole = pd.concat(parts, ignore_index=True)
    y = whole.pop(about["target"])
    x = prepared(whole.drop(columns=about["ids"]))
    classes = about["metric"] != "rmse"
    targets = np.split(pd.factorize(y, sort=True)[0] if classes else y.to_numpy(np.float64), ends)
    inputs = [x.iloc[: ends[0]], x.iloc[ends[0] : ends[1]], x.iloc[ends[1] :]]
    return Rows(inputs, targets, classes, about["metric"])


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
            out |= {f"{name} {part}": getattr(days.dt, part) for part in ("year", "month", "day", "day_of_week")}
            out[f"{name} number"] = (days - days.min()).dt.days
        else:
            out[name] = values.astype("category")
    # Names of columns may have signs that LightGBM refuses.
    return pd.DataFrame({f"column {i}": values for i, values in enumerate(out.values())})


def lightgbm(rows: Rows, seed: int) -> Any:
    import lightgbm as lgb

    model = (lgb.LGBMClassifier if rows.classes else lgb.LGBMRegressor)(
        n_estimators=TREES, random_state=seed, verbose=-1
    )
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    return model.fit(rows.x[0], rows.y[0], eval_set=[(rows.x[1], rows.y[1])], callbacks=[stop])


def catboost(rows: Rows, seed: int) -> Any:
    import catboost as cb

    texts = _categories(rows.x[0])
    as_texts(rows)
    model = (cb.CatBoostClassifier if rows.classes else cb.CatBoostRegressor)(
        random_seed=seed, verbose=False, allow_writing_files=False, cat_features=texts
    )
    return model.fit(rows.x[0], rows.y[0], eval_set=(rows.x[1], rows.y[1]), early_stopping_rounds=PATIENCE)


def sklearn(rows: Rows, seed: int) -> Any:
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    texts = _categories(rows.x[0])
    numbers = [name for name in rows.x[0] if name not in texts]
    as_texts(rows)
    ready = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore"), texts),
    )
    fraction = len(rows.y[1]) / (len(rows.y[0]) + len(rows.y[1]))
    said = {"early_stopping": True, "validation_fraction": fraction, "random_state": seed}
    if rows.classes:
        model: Any = make_pipeline(ready, MLPClassifier(**said))
    else:
        model = TransformedTargetRegressor(make_pipeline(ready, MLPRegressor(**said)), transformer=StandardScaler())
    return model.fit(pd.concat(rows.x[:2]), np.concatenate(rows.y[:2]))


def _filled(rows: Rows) -> None:
    """Means of the rows that train in place of missing numbers, for who refuses these."""
    means = rows.x[0].mean(numeric_only=True)
    rows.x = [table.fillna(means) for table in rows.x]


def _of_pytabkit(name: str) -> Callable[[Rows, int], Any]:
    def fit(rows: Rows, seed: int) -> Any:
        import pytabkit

        kind = "Classifier" if rows.classes else "Regressor"
        model = getattr(pytabkit, f"{name}_{kind}")(device="cpu", random_state=seed)
        _filled(rows)
        return model.fit(rows.x[0], rows.y[0], rows.x[1], rows.y[1])

    return fit


RIVALS = {
    "lightgbm": lightgbm,
    "catboost": catboost,
    "sklearn": sklearn,
    "pytabkit-realmlp": _of_pytabkit("RealMLP_TD"),
    "pytabkit-tabm": _of_pytabkit("TabM_D"),
}


def _categories(x: pd.DataFrame) -> list[str]:
    return [name for name in x if str(x[name].dtype) == "category"]


def as_texts(rows: Rows) -> None:
    """Categories as texts, with one for what is missing."""
    texts = _categories(rows.x[0])
    rows.x = [
        part.assign(**{name: part[name].astype(object).fillna("").astype(str) for name in texts}) for part in rows.x
    ]


def score(rows: Rows, model: Any) -> float:
    """The metric on the test rows."""
    from sklearn.metrics import roc_auc_score

    x, y = rows.x[2], rows.y[2]
    if rows.metric == "roc_auc":
        return float(roc_auc_score(y, model.predict_proba(x)[:, 1]))
    said = np.asarray(model.predict(x)).reshape(len(y))
    return float(np.mean(said == y) if rows.classes else np.sqrt(np.mean(np.square(said - y))))


def milliseconds(predict: Callable[[], Any], rows: int) -> float:
    """The median time of predictions, for 1,000 rows."""
    seconds = []
    for _ in range(TIMED):
        begun = time.process_time()
        predict()
        seconds.append(time.process_time() - begun)
    return float(np.median(seconds)) / rows * 1e6


def main(folder: Path, name: str, seed: int) -> dict[str, float]:
    """Train and measure."""
    rows = rows_of(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = time.process_time()
        model = RIVALS[name](rows, seed)
        seconds = time.process_time() - begun
        predict = model.predict_proba if rows.classes else model.predict
        took = milliseconds(lambda: predict(rows.x[2]), len(rows.y[2]))
        return {"score": score(rows, model), "seconds": seconds, "milliseconds": took}


if __name__ == "__main__":
    if sys.argv[1] == "version":
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            print(importlib.metadata.version(PACKAGES[sys.argv[2]]))
    else:
        print("\n" + json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
