"""The programs of the page of exports about rows of tables and pipelines print what stands below them."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("skl2onnx")
pytest.importorskip("pandas")
import pandas as pd

from fastbp.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def houses():
    """The table that the page's run was trained on."""
    rng = np.random.default_rng(0)
    area, city = rng.normal(90.0, 25.0, 400).round(1), rng.choice(["Oslo", "Rome", "Bern"], 400)
    built = pd.to_datetime("1950-01-01") + pd.to_timedelta(rng.integers(0, 27000, 400), "D")
    each = np.select([city == "Oslo", city == "Rome"], [6.0, 4.0], 7.5)
    price = (area * each + 30 * rng.normal(size=400)).round(1)
    area[rng.integers(400, size=20)] = np.nan
    return pd.DataFrame({"area": area, "city": city, "built": built, "price": price})


@pytest.mark.filterwarnings("ignore")
def test_programs_print_what_stands_below_them(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    houses().to_csv("houses.csv", index=False)
    Path("c.yaml").write_text(
        "data: {path: houses.csv, target: price}\nnetwork: {hidden: [32]}\ntrainer: {epochs: 50}\n"
    )
    assert main(["train", "c.yaml", "--run-dir", "run", "-q"]) == 0
    capsys.readouterr()
    _, _, behind = PAGE.read_text(encoding="utf-8").partition("\n## Rows of tables\n")
    programs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", behind.partition("\n## ")[0], re.DOTALL)
    assert len(programs) == 2
    for program, shown in programs:
        exec(program, {})
        assert capsys.readouterr().out == shown
