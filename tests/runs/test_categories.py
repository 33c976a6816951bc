"""Columns of many categories, from a configuration to predictions."""

import csv
import io
import subprocess
import sys
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


def written(rows, *columns):
    """A table with columns of so many categories each."""
    each = ([f"{'abcdef'[c]}{i % count}" for c, count in enumerate(columns)] for i in range(rows))
    write(
        "many.csv", ",".join([*(f"c{count}" for count in columns), "y"]), ((*row, i % 7) for i, row in enumerate(each))
    )


HINT = (
    "\nhint: `encode: auto` learns a table where a column has many, `min_frequency` joins rare ones, and type `ignore`"
    " leaves a column out"
)
ALL = "{path: many.csv, target: y, task: numbers, split: {validation: 0, test: 0}"


def of_many(call):
    """What is said of many categories."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in said]


def test_one_hot_columns_above_a_tenth_of_the_rows_are_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(300, 9, 3, 19)
    wanted = "many.csv: categories make 31 one-hot columns for 300 training rows: `c19` 19, `c9` 9" + HINT
    assert of_many(lambda: subject(ALL + "}")) == [wanted]
    Path("c.yaml").write_text(f"data: {ALL}}}")
    assert of_many(lambda: main(["check", "c.yaml", "-q"])) == [wanted]
    learned = "columns: {c9: {encode: embedding}}"
    for less in ("columns: {c3: ignore}", "columns: {c9: ignore}", "encode: embedding", learned, "min_frequency: 17"):
        assert of_many(lambda less=less: subject(f"{ALL}, {less}}}")) == []
    written(30, 8)
    assert of_many(lambda: subject(ALL + "}")) == []


def test_what_init_writes_makes_no_more_columns_than_a_tenth_of_the_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for columns, learned in (
        ((22,), ["c22"]),
        ((10, 11), []),
        ((8, 12, 10), ["c12"]),
        ((20, 3, 8, 10, 2), ["c10", "c20"]),
    ):
        written(300, *columns)
        assert of_many(lambda: main(["init", "many.csv", "-o", "c.yaml"])) == []
        lines = Path("c.yaml").read_text().splitlines()
        assert sorted(line.split(":")[0].strip() for line in lines if "a learned row for each" in line) == learned
        assert of_many(lambda: main(["check", "c.yaml"])) == []
        becomes = {line.split()[0] for line in capsys.readouterr().out.splitlines() if "embedding, " in line}
        assert sorted(becomes) == learned
        Path("c.yaml").unlink()


def test_auto_decides_for_all_columns_together_and_writes_down_what(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(900, 30, 31, 51, 40, 29)
    data = "{c40: {encode: one_hot}, c29: {encode: embedding, size: 3}}"
    Path("c.yaml").write_text(f"data: {ALL}, encode: auto, columns: {data}}}\ntrainer: {{epochs: 1}}")
    assert main(["check", "c.yaml"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line.split("; ")[-1].split(", ...")[-1] for line in out.splitlines() if "values" in line}
    becomes = ["one-hot, 30 columns", "embedding, 16 numbers", "embedding, 26 numbers", "one-hot, 40 columns"]
    assert [lines[f"c{n}"] for n in (30, 31, 51, 40, 29)] == [*becomes, "embedding, 3 numbers"]
    found = subject(f"{ALL}, encode: auto, columns: {data}}}")
    parts = [(part["encode"], part["size"]) for part in found.recipe.to_data()["inputs"]]
    assert [encode for encode, _ in parts] == ["one_hot", "embedding", "embedding", "one_hot", "embedding"]
    assert [size for encode, size in parts if encode == "embedding"] == [16, 26, 3]
    assert found.graph().parameters()["1.weight"][0] == 30 + 16 + 26 + 40 + 3


MEMORY = """
from pathlib import Path
from fastbp.cli.main import main

def train(config, folder):
    assert main(["train", config, "--run-dir", folder, "-q"]) == 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))  # `ru_maxrss` has the parent's, too

before = train("small.yaml", "small")
print(train("large.yaml", "large") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems say otherwise how much memory was used")
def test_training_on_thousands_of_categories_takes_less_than_ten_times_the_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = 100_000
    shop, user, x = rng.integers(0, 5_000, rows), rng.integers(0, 20_000, rows), rng.normal(size=(rows, 3))
    each = zip(shop.tolist(), user.tolist(), *x.T.tolist(), strict=True)
    lines = [f"shop{a:04},user{b:05},{u:.6f},{v:.6f},{w:.6f},{u + a % 7:.5f}" for a, b, u, v, w in each]
    for name, count in (("small", 200), ("large", rows)):
        text = "\n".join(["shop,user,u,v,w,y", *lines[:count]]) + "\n"
        (tmp_path / f"{name}.csv").write_text(text)
        (tmp_path / f"{name}.yaml").write_text(
            f"data: {{path: {name}.csv, target: y, unseen: 1, columns: {{shop: category, user: category}}}}\n"
            "network: {hidden: [8]}\ntrainer: {epochs: 1}\n"
        )
    done = subprocess.run([sys.executable, "-c", MEMORY], cwd=tmp_path, capture_output=True, text=True, check=True)
    taken, file = int(done.stdout.splitlines()[-1]) * 1024, (tmp_path / "large.csv").stat().st_size
    assert file < 6_000_000
    assert taken < 10 * file
