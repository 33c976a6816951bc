"""`scale: auto`: which columns become quantiles, and that what was chosen is stored, applied and shown."""

import json

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.text import parse, read
from fastbp.data.frame import Column, Frame
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers, scale_of
from fastbp.data.prepare import prepare
from fastbp.data.stored import Stored
from fastbp.errors import CheckpointError

ROWS = 2000
RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal(ROWS)
RARE = np.arange(ROWS) < ROWS // 200
COUNTS = np.repeat([0.0, 1.0, 2.0], [80, 15, 5])

STANDARD = {
    "normal": NORMAL,
    "uniform": RNG.random(ROWS),
    "exponential": RNG.exponential(size=ROWS),
    "two clusters": NORMAL + 50.0 * (np.arange(ROWS) % 2),
    "a flag that is rarely set": RARE,
    "few counts, mostly 0": COUNTS,
    "far from 0": 1e8 + NORMAL,
    "constant": np.full(9, 7.0),
    "no numbers": np.zeros(0),
}
QUANTILE = {
    "exponential of normal": np.exp(NORMAL),
    "a long tail below": -np.exp(NORMAL),
    "tails at both ends": np.sinh(3.0 * NORMAL),
    "one wild number": np.append(NORMAL, 300.0),
    "one wild number among few": np.append(np.arange(20.0), 999.0),
    "amounts, mostly 0": np.where(np.arange(ROWS) % 20, 0.0, np.exp(8.0 + 1.2 * NORMAL)),
}


@pytest.mark.parametrize("most", [1.0, 1e-300, -1.7e308], ids=["plain", "tiny", "huge"])
@pytest.mark.parametrize("name", [*STANDARD, *QUANTILE])
def test_the_choice_is_by_the_tails_and_not_by_the_unit(name, most):
    wanted = "standard" if name in STANDARD else "quantile"
    x = {**STANDARD, **QUANTILE}[name]
    assert scale_of(np.sort(x / np.abs(x).max(initial=0.0) * most)) == wanted


def matrix_of(part, frame):
    out = np.empty((len(frame), part.width))
    part.apply(frame, out)
    return out


def fitted(scale, x, missing="mean"):
    frame = Frame(None, {"a": Column("a", x)}, "t.csv", np.arange(len(x)) + 2)
    part = Numbers("a", scale, missing, indicator=True)
    part.fit(frame)
    return part, matrix_of(part, frame)


@pytest.mark.parametrize(("x", "scale"), [(NORMAL, "standard"), (np.exp(NORMAL), "quantile")])
def test_auto_is_the_scale_that_it_chooses(x, scale):
    x = np.where(RARE, np.nan, x)
    auto, wanted = fitted("auto", x), fitted(scale, x)
    assert auto[0].to_data() == wanted[0].to_data()
    np.testing.assert_array_equal(auto[1], wanted[1])


def test_numbers_that_are_filled_in_have_no_say():
    """Where most rows have the mean, any other is far out."""
    x = np.where(np.arange(ROWS) % 5, np.nan, np.sort(STANDARD["exponential"]))
    assert scale_of(np.sort(np.where(np.isnan(x), np.nanmean(x), x))) == "quantile"
    assert fitted("auto", x)[0].scale == "standard"


def test_columns_of_a_matrix_have_a_scale_each():
    X = np.stack([NORMAL, np.exp(NORMAL), np.exp(-2.0 * NORMAL), 3.0 * NORMAL + 9.0], axis=1)
    X[5, 1] = np.nan
    frame = Frame(X, {}, "x.npy")
    part = Numbers(None, "auto", "mean", indicator=True)
    part.fit(frame)
    assert part.scale == ["standard", "quantile", "quantile", "standard"]
    out = matrix_of(part, frame)
    for scale in ("standard", "quantile"):
        one = Numbers(None, scale, "mean")
        one.fit(frame)
        chosen = [s == scale for s in part.scale]
        np.testing.assert_array_equal(out[:, :4][:, chosen], matrix_of(one, frame)[:, chosen])
    np.testing.assert_array_equal(out[:, 4], np.isnan(X[:, 1]))
    stored = json.loads(json.dumps(Inputs([part]).to_data()))
    again = Inputs.from_data(Stored(stored, "inputs"))
    assert again.to_data() == stored
    np.testing.assert_array_equal(again.matrix(frame, np.float64), out)


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (
            "auto",
            "`inputs[0].scale` must be one of `standard`, `robust`, `quantile`, `noisy_quantile`, `none`, got `auto`",
        ),
        (["quantile", "robust"], "`inputs[0].scale[1]` must be one of `standard`, `quantile`, got `robust`"),
        (["quantile"], "`inputs[0].scale` must be a name, or different ones for 2 columns, got a list"),
        (["quantile"] * 2, "`inputs[0].scale` must be a name, or different ones for 2 columns, got a list"),
        (
            ["standard", "quantile", "standard"],
            "`inputs[0].scale` must be a name, or different ones for 2 columns, got",
        ),
        ("quantile", "`inputs[0].knots[0]` must have 2 numbers, got 1"),
        ("standard", "`inputs[0].knots[0]` must have 2 numbers, got 1"),
    ],
)
def test_stored_scales_that_nothing_chooses_are_refused(scale, words):
    part = Numbers(None, "auto", "mean")
    part.fit(Frame(np.stack([NORMAL, np.exp(NORMAL)], axis=1), {}, "x.npy"))
    (stored,) = Inputs([part]).to_data()
    with pytest.raises(CheckpointError) as caught:
        Inputs.from_data(Stored([{**stored, "scale": scale}], "inputs"))
    assert str(caught.value).startswith(words)


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = np.datetime64("2020-01-01") + (1000 * RNG.random(300)).astype(int)
    days[:10] = np.datetime64("1601-01-01")
    rows = [f"{a:.4f},{np.exp(2 * a):.4f},{d},{'u' if a > 0 else 'v'}" for a, d in zip(NORMAL[:300], days, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["height,income,day,y", *rows]) + "\n")
    return tmp_path


def test_only_training_rows_are_asked(table):
    head, *rows = (table / "t.csv").read_text().splitlines()
    other = [f"{10.0 ** (i % 9)},1,2020-05-05,u,test" for i in range(50)]
    (table / "t.csv").write_text("\n".join([f"{head},part", *(f"{row},train" for row in rows), *other]) + "\n")
    data = "data: {path: t.csv, target: y, scale: auto, split: {column: part}}"
    found = prepare(plan_of(parse(data)).config.data, 0, "float64")
    assert [(seen.name, seen.scale) for seen in found.seen[:2]] == [("height", "standard"), ("income", "quantile")]
    assert [part.scale for part in found.recipe.inputs.parts[:2]] == ["standard", "quantile"]


def test_check_shows_what_was_chosen(table, capsys):
    assert main(["init", "t.csv", "-o", "c.yaml"]) == 0
    assert read("c.yaml").data["data"]["scale"] == "standard"
    capsys.readouterr()
    assert main(["check", "c.yaml", "--set", "data.scale=auto"]) == 0
    said = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert said["height"].endswith("; standard")
    assert said["income"].endswith("; quantile")
    assert said["day"].endswith("; year quantile, month standard, yearday standard, weekday standard, age quantile")
    assert (
        main(["check", "c.yaml", "--set", "data.scale=robust", "--set", "data.columns.income.scale=auto", "--json"])
        == 0
    )
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert [column["scale"] for column in columns] == ["", "quantile", ""]
