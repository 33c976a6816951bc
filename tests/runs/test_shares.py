"""What `fastbp init` and `fastbp check` say of what is to be predicted."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fastbp.cli.main import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, **columns):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    Path(name).write_text("\n".join(lines) + "\n")


def made(capsys, table, *targets):
    capsys.readouterr()
    assert main(["init", table, *(word for name in targets for word in ("-t", name)), "-o", "-"]) == 0
    text = capsys.readouterr().out
    Path("c.yaml").write_text(text)
    return text


def checked(capsys, *options):
    assert main(["check", "c.yaml", *options]) == 0
    return capsys.readouterr().out


def test_classes_are_listed_with_their_shares(capsys):
    write("t.csv", x=np.arange(400) / 7, y=["a b", "250.0", "250.00", "1e2"] * 100)
    assert "  # 3 classes: 100 25%, 250 50%, a b 25%\n" in made(capsys, "t.csv")
    assert "\n3 classes: 100 25%, 250 50%, a b 25%\n" in checked(capsys)


def test_ten_classes_are_listed_and_rare_ones_have_a_digit_more(capsys):
    write("t.csv", x=np.arange(1000) / 7, y=["rare"] * 4 + [f"c{i % 11:02}" for i in range(996)])
    listed = "12 classes: c00 9.1%, c01 9.1%, c02 9.1%, c03 9.1%, c04 9.1%, c05 9.1%, c06 9.0%, c07 9.0%, c08 9.0%"
    assert f"  # {listed}, c09 9.0%, ...\n" in made(capsys, "t.csv")
    shown = checked(capsys)
    said = next(line for line in shown.splitlines() if "12 classes: " in line)
    assert re.fullmatch(r"12 classes: (c0\d (8|9)\.\d%, ){10}\.\.\.", said)


def test_rows_without_a_class_are_no_class(capsys):
    write("t.csv", x=np.arange(40) / 7, y=["a", "b", "", "b"] * 10)
    assert "  # 2 classes: a 33%, b 67%\n" in made(capsys, "t.csv")


@pytest.mark.filterwarnings("ignore:.* alone tells the target")
@pytest.mark.parametrize(
    ("numbers", "note"),
    [
        (lambda z: np.exp(2.0 * z), "; y has a heavy tail, so log may be better"),
        (lambda z: np.floor(np.exp(2.0 * z)), "; y has a heavy tail, so log1p may be better"),
        (lambda z: -np.exp(2.0 * z), ""),
        (lambda z: z, ""),
    ],
    ids=["positive", "from zero", "negative", "normal"],
)
def test_init_says_where_a_logarithm_may_be_better(capsys, numbers, note):
    z = np.random.default_rng(0).normal(size=300)
    write("t.csv", x=z, y=numbers(z))
    assert f"  target_transform: none  # or log, log1p, sqrt, quantile{note}\n" in made(capsys, "t.csv")
    assert "\nnumbers: y\n" in checked(capsys)


@pytest.mark.filterwarnings("ignore:.* alone tells the target")
def test_check_says_how_targets_are_transformed(capsys):
    z = np.random.default_rng(0).normal(size=300)
    write("t.csv", x=z, price=np.exp(2.0 * z), rooms=z)
    text = made(capsys, "t.csv", "price", "rooms")
    assert "quantile; price has a heavy tail, so log may be better\n" in text
    said = ["--set", "data.target_transform={price: log}"]
    assert "\nnumbers: price by log, rooms\n" in checked(capsys, *said)
    assert json.loads(checked(capsys, *said, "--json"))["transforms"] == {"price": "log", "rooms": "none"}
