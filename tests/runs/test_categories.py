"""Columns of many categories, from a configuration to predictions."""

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.text import parse
from fastbp.runs.subject import subject_of

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")


def write(name, header, rows):
    Path(name).write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def subject(data, rest=""):
    return subject_of(plan_of(parse(f"data: {data}\n{rest}")))


def predicted(*rows, capsys):
    """What a run predicts for towns."""
    write("new.csv", "size,town", rows)
    capsys.readouterr()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert main(["predict", "run", "new.csv"]) == 0
    out = capsys.readouterr().out
    return [row["price"] for row in csv.DictReader(io.StringIO(out))], [str(one.message) for one in said]


@pytest.fixture
def towns(tmp_path, monkeypatch):
    """A table with four towns of many rows, four of two, and some missing."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = [*("abcd"[i % 4] for i in range(80)), *"wwxxyyzz", *[""] * 6]
    size = rng.normal(size=len(names))
    price = size + [("abcd".find(name) if name else 3) for name in names]
    write("t.csv", "size,town,price", ((f"{a:.3f}", b, f"{c:.3f}") for a, b, c in zip(size, names, price, strict=True)))


@pytest.mark.parametrize("encode", ["one_hot", "embedding"])
def test_predictions_are_the_same_whichever_rare_value_a_row_has(encode, towns, capsys):
    Path("c.yaml").write_text(
        f"data: {{path: t.csv, target: price, encode: {encode}, min_frequency: 5, split: {{validation: 0, test: 0}}}}\n"
        "network: {hidden: [8]}\ntrainer: {epochs: 5, optimizer: {name: adam, lr: 0.05}}"
    )
    assert main(["train", "c.yaml", "--run-dir", "run", "-q"]) == 0
    found, said = predicted(*((0.5, town) for town in "wxyza"), (0.5, ""), capsys=capsys)
    assert len({*found[:4]}) == 1
    assert len({*found[3:]}) == 3
    assert said == []
    again, said = predicted(*((0.5, town) for town in "wnew"), capsys=capsys)
    assert {*again} == {found[0]}
    assert said == ["new.csv: column `town` has values that training did not see in 2 of 4 rows (50.0%), such as `n`"]


def test_configurations_of_older_runs_are_read_with_their_name_for_it():
    text = "data: {path: t.csv, rare: 3, columns: {a: {rare: 2}, b: number, c: {min_frequency: 4}}}"
    data = plan_of(parse(text)).config.data
    assert (data.min_frequency, data.columns) == (
        3,
        {"a": {"min_frequency": 2}, "b": "number", "c": {"min_frequency": 4}},
    )
