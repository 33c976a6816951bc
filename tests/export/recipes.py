"""Recipes of all kinds with rows, on which files in other languages are compared with them."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp.data.categories import Category
from fastbp.data.dates import Dates
from fastbp.data.frame import Frame
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.data.outputs import Outputs
from fastbp.data.raw import Raw
from fastbp.data.recipe import Recipe
from fastbp.data.tables import frame_of
from fastbp.data.words import Words

N = 300
SCALES = ("auto", "standard", "robust", "quantile", "noisy_quantile", "none")
EDGES = {
    "price": [0.0, -1e30, 1e12, 7.0, 7.000001, -5.0],
    "city": ["Paris", "NA", "", "oslo", "Zürich", "?"],
    "code": ["10.0", "20.0", "3", "", "-3.0", "7.5"],
    "zip": ["1067", "01067", "0", "", "80331", "x"],
    "truth": ["true", "FALSE", "1", "0", "", "maybe"],
    "when": ["0001-01-01", "9999-12-31T23:59:59.999999", "2000-02-29T12:00", "1900-03-01", "NaT", "1969-12-31T23:00"],
    "serial": [0.5, -719_162.0, 2_932_896.9, np.nan, 11_016.25, -0.1],
    "digits": [20000229.0, 10101231.0, 99991231.0, np.nan, 19000301.0, 20231231.0],
    "note": ["", "Ångström's ΣΑΣ ﬁre x2²", "a_b a_b A", "NA", "'tis o'clock 'n' don't", "x" * 300],
    "tiny": [1.0, -1.0, 5e-324, 1e-323, 0.0, 2e-323],
    "far": [1e13, 1.5e13, 5e13, 6e13, 0.0, 2e13],
    "kind": [3.0, -0.0, 1e300, 7.5, np.nan, 1.0],
}


def table(seed=0, n=N):
    """Rows of all kinds; the last ones are unlike the others."""
    rng = np.random.default_rng(seed)

    def texts(*values):
        return rng.choice(np.array(values, object), n)

    price = np.exp(rng.normal(3.0, 2.0, n)).round(2)
    price[rng.integers(n, size=n // 10)] = np.nan
    price[rng.integers(n, size=n // 10)] = 7.0
    when = np.datetime64("1890-01-01", "us") + rng.integers(0, 200 * 365 * 86_400_000_000, n).astype("timedelta64[us]")
    serial = rng.integers(-50_000, 50_000, n) + rng.random(n)
    digits = np.array([int(str(at)[:10].replace("-", "")) for at in when], float)
    when[rng.integers(n, size=n // 10)], serial[rng.integers(n, size=n // 10)] = "NaT", np.nan
    return {
        "price": price,
        "city": texts("Oslo", "Rome", "Bern", "", "Ulm", "NA"),
        "code": texts("10", "20", "100", "-3", "x", "7.5"),
        "zip": texts("01067", "80331", "1067"),
        "truth": texts("True", "False", ""),
        "when": when,
        "serial": serial,
        "digits": digits,
        "note": texts("A red Zoë's car", "", "the car, the CAR and 2 more", "rouge"),
        "kind": rng.choice([1.0, 2.0, 7.5, np.nan, -4.0], n),
        "width": rng.normal(size=n),
        "tiny": rng.choice([0.0, 5e-324, 1e-323, 2e-323], n),
        "far": rng.choice([1e13, 2e13, 5e13], n),  # beside which noise is nothing, so that quantiles are equal
    }


REFUSED = [
    ("everything", "price", [np.inf, -np.inf]),
    ("everything", "width", [np.inf, 1e300]),
    ("everything", "when", [np.datetime64("10000-01-03", "us"), np.datetime64("-0005-01-01", "us")]),
    ("serial-days", "serial", [np.inf, 1e300, 3e6]),
    ("digits", "digits", [20230229.0, 20241301.0, 20240001.0, 20240100.0, 2024.0, 20240101.5, -20240101.0]),
]  # a case, its column, and values that it does not take


@dataclass
class Case:
    """A recipe that is fitted, rows for it, and options of `preprocessing_of`."""

    made: Recipe
    rows: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)

    def expected(self, dtype):
        """What the recipe makes of the rows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self.made.matrix(frame(self.made, self.rows), dtype))


def refused(name, column, values):
    """A case and rows of which each has a value that is refused."""
    one = cases(words=False)[name]
    rows = {key: np.repeat(value[:1], len(values)) for key, value in one.rows.items()}
    return one, rows | {column: np.array(values)}


def frame(made, rows):
    """Rows as the recipe reads them."""
    if "x" in rows:
        return Frame(rows["x"], {}, "X")
    return frame_of(rows, made.raw.reading([part.name for part in made.inputs.categories]))


def recipe(parts, rows, outputs=None, loss="mse", raw=None):
    """A recipe fitted to rows."""
    made = Recipe(Inputs(parts), outputs or Outputs("numbers", ["y"], ["y"]), loss, raw=raw or Raw())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.inputs.fit(frame(made, rows))
    return made


def case(*parts, **options):
    """Parts that are fitted to one table, and another table with strange rows."""
    names = [part.name for part in parts]
    made = recipe(list(parts), {name: table()[name] for name in names})
    rows = {}
    for name in names:
        other = table(1, 90)[name]
        more = np.array(EDGES.get(name, [0.0] * 6), other.dtype)
        rows[name] = np.concatenate([other, more])
    return Case(made, rows, options)


def matrix(scale):
    """A matrix of columns that are unlike each other."""

    def rows(seed):
        found = table(seed, 200)
        wide = [
            found["price"],
            found["width"],
            np.full(200, 3.0),
            found["width"] + 9.0,
            found["kind"],
            found["width"] ** 5,
        ]
        return np.stack(wide, axis=1)

    made = Recipe(Inputs([Numbers(None, scale, "mean", indicator=True)]), Outputs("numbers", ["y"], ["y"]), "mse")
    made.inputs.fit(Frame(rows(0), {}, "X"))
    return Case(made, {"x": rows(1)})


def everything(*more):
    """A recipe with most kinds of columns."""
    return case(
        Numbers("price", "auto", "mean", indicator=True),
        Category("city", "one_hot", 50),
        Dates("when", missing="median", indicator=True),
        Category("code", "embedding"),
        Category("truth", "one_hot", scale="robust"),
        Numbers("width", "standard", "mean"),
        *more,
    )


def cases(words=True):
    """Cases by name; those of `words` are not for all languages."""
    found = {f"number-{scale}": case(Numbers("price", scale, "median", indicator=True)) for scale in SCALES}
    found["number-far"] = case(Numbers("far", "noisy_quantile", "mean"))
    found["number-tiny"] = case(Numbers("tiny", "quantile", "mean"))
    found["number-constant"] = case(Numbers("price", "robust", "constant", -3.0))
    found |= {f"matrix-{scale}": matrix(scale) for scale in SCALES}
    for name in ("city", "code", "zip", "truth"):
        found[f"{name}-one-hot"] = case(Category(name, "one_hot", 60))
        found[f"{name}-embedding"] = case(Category(name, "embedding", 2))
        found[f"{name}-robust"] = case(Category(name, "one_hot", scale="robust"))
    found["kind-numbers"] = case(Category("kind", "one_hot", 70), numbers=["kind"])
    found["kind-embedding"] = case(Category("kind", "embedding"), numbers=["kind"])
    found["kind-texts"] = case(Category("kind", "one_hot", 70))
    for scale in ("standard", "quantile", "noisy_quantile"):
        found[f"when-{scale}"] = case(Dates("when", missing="median", numbers=Numbers(None, scale, "median")))
    found["when-flag"] = case(Dates("when", indicator=True))
    found["serial-days"] = case(Dates("serial", "d", indicator=True))
    found["digits"] = case(Dates("digits", "ymd"))
    found["everything"] = everything()
    if words:
        found["words"] = case(Words("note", 32))
        found["everything-words"] = everything(Words("note", 7))
    return found
