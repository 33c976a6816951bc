"""The bench on real tables, with made-up ones: what is measured, what is kept, and what its command refuses."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import __main__ as cli
from bench.tabular import command, page, places, results, rivals, rivals_of
from fastbp.config.presets import presets


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A cache with a set of classes, `adult`, and one of numbers, `house`, and this Python as the environment."""
    monkeypatch.setenv("FASTBP_TABLES", str(tmp_path))
    monkeypatch.setattr(places, "environment", lambda: Path(sys.executable))
    rng = np.random.default_rng(0)
    for name, metric in (("adult", "roc_auc"), ("house", "rmse")):
        folder = tmp_path / name
        folder.mkdir()
        x = rng.normal(size=400)
        y = np.where(x > 0.2, "yes", "no") if name == "adult" else 3.0 * x
        rows = [[i, x[i], "ab"[i % 2], y[i]] for i in range(400)]
        for part, some in (("whole", rows), ("train", rows[:280]), ("validation", rows[280:340]), ("test", rows[340:])):
            with open(folder / f"{part}.csv", "w", newline="") as file:
                csv.writer(file).writerows([["id", "x", "c", "y"], *some])
        (folder / "about.json").write_text(json.dumps({"target": "y", "metric": metric, "ids": ["id"], "rows": 400}))
    rivals_of.version.cache_clear()
    return tmp_path


def test_ours_and_a_rival_are_scored_on_the_test_rows_and_kept(tables, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    assert cli.main(["tabular", "adult", "house", "--models", "init,sklearn*1", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if "400" in line]
    assert [line[:5] for line in lines] == [
        [name, "400", metric, model, seeds]
        for name, metric in (("adult", "roc_auc"), ("house", "rmse"))
        for model, seeds in (("init", "2"), ("sklearn", "1"))
    ]
    assert float(lines[0][5]) > 0.97
    assert float(lines[2][5]) < 0.5
    assert all(float(line[8]) > 0.0 for line in lines)
    kept = json.loads((tables / "results" / "init" / "adult-1.json").read_text())
    assert kept["of"] == results.of_ours()

    def again(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(command.ours, "trained", again)
    monkeypatch.setattr(rivals_of, "trained", again)
    assert cli.main(["tabular", "adult", "house", "--models", "init,sklearn*1", "--seeds", "2"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "400" in line] == [
        line for line in out.splitlines() if "400" in line
    ]
    with pytest.raises(AssertionError, match="measured again"):
        command.main(["adult", "--models", "init", "--set", "trainer.epochs=1"])
    monkeypatch.setattr(results, "of_ours", lambda: "another package")
    with pytest.raises(AssertionError, match="measured again"):
        command.main(["adult", "--models", "init"])


def test_to_choose_validation_rows_are_scored_and_no_test_row_is_read(tables, capsys):
    (tables / "adult" / "test.csv").write_text("nothing\n")
    assert command.main(["adult", "--models", "init", "--seeds", "1", "--choose"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert float(line.split("|")[6]) > 0.9
    assert not (tables / "results" / "init").exists()


def test_a_preset_with_a_time_limit_is_trained_that_long(tables, monkeypatch):
    said = []
    monkeypatch.setattr(command.ours, "called", lambda *words, folder: said.append(words) or run(words, folder))
    monkeypatch.setattr(command.ours, "milliseconds", lambda *_: 1.0)

    def run(words, folder):
        if "init" in words:
            (folder / "config.yaml").write_text("name: a")
        if "train" in words:
            (folder / "runs" / "r").mkdir(parents=True)
        return '{"metrics": {"test": {"roc_auc": 0.5}}}'

    found = command.ours.trained(tables / "adult", "plain@60s", 3, ["trainer.epochs=2"])
    assert found["score"] == 0.5
    init, train, _ = (" ".join(map(str, words)) for words in said)
    assert init.endswith("--target y --preset plain")
    (tables / "c.yaml").write_text("pack: {folds: 3}")
    assert command.ours.rows(tables / "adult", tables / "c.yaml")["train"] == [
        str(tables / "adult" / f"{part}.csv") for part in ("train", "validation")
    ]
    chosen = command.ours.rows(tables / "adult", tables / "c.yaml", choose=True)
    assert (chosen["train"], chosen["test"]) == tuple(
        str(tables / "adult" / f"{part}.csv") for part in ("train", "validation")
    )
    assert train.endswith("--set seed=3 --set trainer.epochs=2 --time-limit 60s")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "a set must be one of house,"),
        (["--models", "nothing"], "each must be one of init, standard,"),
        (["--models", "lightgbm@60s"], "must have a time such as `60s` behind a preset's @, got `lightgbm@60s`"),
        (["--models", "plain@soon"], "must have a time such as `60s` behind a preset's @, got `plain@soon`"),
        (["--models", "lightgbm", "--choose"], "`--choose` must be of presets, without rivals and `--report`"),
        (["--seeds", "0"], "must be a whole number, at least 1, got `0`"),
        (
            ["adult", "--models", "pytabkit-realmlp"],
            "`pytabkit-realmlp` needs `--python` of an environment with pytabkit and PyTorch",
        ),
    ],
)
def test_what_it_cannot_do_it_says_before_anything_runs(arguments, said, tables, capsys, monkeypatch):
    monkeypatch.setattr(rivals_of, "version", lambda *_: "")
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_a_name_is_of_a_preset_or_of_a_rival():
    assert not {"init", *presets()} & set(rivals_of.NAMES)


def test_the_page_has_the_table_of_the_last_report(tmp_path):
    file = tmp_path / "page.md"
    file.write_text(f"before\n{page.BEGIN}old\n{page.END}after\n")
    page.write("of a day", ["| a |", "| b |"], file)
    assert file.read_text() == f"before\n{page.BEGIN}\nof a day\n\n| a |\n| b |\n\n{page.END}after\n"
    file.write_text("nothing")
    with pytest.raises(SystemExit, match="must have"):
        page.write("", [], file)
    real = page.PAGE.read_text(encoding="utf-8")
    assert (real.count(page.BEGIN), real.count(page.END)) == (1, 1)


def test_dates_and_texts_are_prepared_for_trees():
    pandas = pytest.importorskip("pandas")
    days = [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(90)]
    found = rivals.prepared(pandas.DataFrame({"n": range(90), "d": days, "c": list("abc") * 30}))
    assert found.shape == (90, 1 + 5 + 1)
    assert str(found["column 6"].dtype) == "category"
    assert found["column 2"].tolist() == [1 + i % 12 for i in range(90)]
