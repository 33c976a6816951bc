"""What `fastbp init` chooses for a table, and what it says that it is not certain of."""

import csv
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.config.presets import plain
from fastbp.config.text import read
from fastbp.data.goal import TOLD_BINS, Goal
from fastbp.spec.bins import edges_of


@pytest.fixture
def started(tmp_path, monkeypatch, capsys):
    """The configuration that `init` writes for columns, as data and as text, and what it prints."""
    monkeypatch.chdir(tmp_path)

    def begin(**columns):
        with open("t.csv", "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(columns)
            out.writerows(zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True))
        Path("c.yaml").unlink(missing_ok=True)
        assert main(["init", "t.csv", "--target", "y", "-o", "c.yaml"]) == 0, capsys.readouterr().err
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not certain: ")]
        assert main(["check", "c.yaml", "-q"]) == 0, capsys.readouterr().err
        capsys.readouterr()
        text = Path("c.yaml").read_text()
        assert [line.removeprefix("# - ") for line in text.splitlines() if line.startswith("# - ")] == [
            line.removeprefix("not certain: ") for line in said
        ]
        return read("c.yaml").data, text, said

    return begin


def r2(started, capsys, **columns):
    """R² on the test rows of what `init` writes, after some of its epochs."""
    import json

    started(**columns)
    told = ["--run-dir", "run", "-q", "--set", "trainer.epochs=80"]
    assert main(["train", "c.yaml", *told]) == 0, capsys.readouterr().err
    return json.loads(Path("run/result.json").read_text())["metrics"]["test"]["r2"]


def heavy(rows=2000, seed=0):
    rng = np.random.default_rng(seed)
    return rng, np.exp(1.5 * rng.normal(size=rows))


def test_a_heavy_tail_is_ranked_where_ranks_tell_the_target_and_kept_where_numbers_do(started):
    rng, x = heavy()
    noise = 0.1 * rng.normal(size=len(x))
    found, text, _ = started(x=x, z=noise, y=3.0 * x + noise)
    assert found["data"]["columns"]["x"] == "number"
    assert "its numbers tell 1.00 of the target" in text
    found, text, _ = started(x=x, z=noise, y=np.log(x) + noise)
    assert found["data"]["columns"] == {"x": {"type": "number", "scale": "quantile"}, "z": "number"}


@pytest.mark.parametrize(("of", "least"), [("proportion", 0.99), ("logarithm", 0.97)])
def test_a_target_in_proportion_to_a_heavy_tail_and_one_to_its_logarithm_are_both_learned(started, capsys, of, least):
    rng, x = heavy()
    y = 3.0 * x if of == "proportion" else np.log(x)
    assert r2(started, capsys, x=x, z=rng.normal(size=len(x)), y=y + 0.1 * rng.normal(size=len(x))) > least


def test_classes_that_follow_the_order_of_a_heavy_tail_make_quantiles_of_it_and_those_of_its_end_do_not(started):
    rng, x = heavy()
    x = np.sign(rng.normal(size=len(x))) * x**2
    found, _, _ = started(x=x, y=np.where(x > 0.0, "over", "under"))
    assert found["data"]["columns"]["x"] == {"type": "number", "scale": "quantile"}
    found, _, _ = started(x=x, y=np.where(np.abs(x) < np.quantile(np.abs(x), 0.98), "usual", np.sign(x).astype(str)))
    assert found["data"]["columns"]["x"] == "number"


def test_whole_numbers_whose_name_says_that_they_name_things_are_categories(started):
    rng = np.random.default_rng(0)
    n = 1000
    few, many = rng.integers(10, size=n) * 7, rng.integers(100, size=n)
    columns = {"zipcode": few, "user_id": many, "width": many, "ids": rng.normal(size=n), "once_id": rng.permutation(n)}
    found, _, said = started(**columns, y=rng.normal(size=n))
    assert found["data"]["columns"] == {
        "zipcode": "category",
        "user_id": "category",
        "width": "number",
        "ids": "number",
        "once_id": "ignore",
    }
    assert said == [
        "not certain: `zipcode` is taken for 10 names of things: `number` if its numbers are amounts",
        "not certain: `user_id` is taken for 100 names of things: `number` if its numbers are amounts",
        "not certain: `once_id` is ignored: 0 to 999 (all different, and its name says that it names rows)",
    ]


def test_whole_numbers_that_name_things_by_what_they_tell_are_categories_too(started):
    rng = np.random.default_rng(0)
    n, own = 3000, rng.normal(size=200)
    teacher, width, user = rng.integers(1, 101, n), rng.integers(1, 101, n), rng.integers(100, size=n)
    y = own[teacher] + width / 50.0 + own[100 + user] + rng.normal(size=n)
    columns = {
        "teacher": teacher,
        "width": width,
        "user_id": user,
        "room": 7 * user,
        "mark": np.char.add("m", user.astype(str)),
    }
    found, text, said = started(**columns, y=y)
    assert found["data"]["columns"] == {
        "teacher": "category",
        "width": "number",
        "user_id": "category",
        "room": "number",
        "mark": "category",
    }
    assert said == [
        "not certain: `teacher` is taken for 100 names of things: `number` if its numbers are amounts",
        "not certain: `user_id` is taken for 100 names of things: `number` if its numbers are amounts",
    ]
    why = r"teacher: category +# 1 to 100; 100 names of things, as the same number tells 0\.[1-9]\d+ of the target"
    assert re.search(why + r", neighbouring ones 0\.0\d+; a learned row for each\n", text)
    renamed = {"teacher_age" if name == "teacher" else name: x for name, x in columns.items()}
    assert started(**renamed, y=y)[0]["data"]["columns"]["teacher_age"] == "number"
    del columns["user_id"]
    assert started(**columns, y=y)[0]["data"]["columns"]["room"] == "number"
    del columns["mark"]
    assert started(**columns, y=y)[0]["data"]["columns"]["room"] == "category"


def test_numbers_have_bins_where_their_target_bends_and_none_where_it_is_straight(started, capsys):
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 3000))
    found, text, _ = started(x=x, z=z, y=np.abs(x) + z + 0.1 * rng.normal(size=3000))
    assert found["network"]["embed_numbers"] == {"name": "piecewise_linear", "bins": 16, "features": 16}
    assert found["network"]["tabm"] == {"k": 8, "mini": True}
    assert "8 members share the hidden layers" in text
    assert "bins of a number tell 0.1" in text
    assert main(["check", "c.yaml"]) == 0
    assert "PiecewiseLinearEmbedding" in capsys.readouterr().out
    found, text, _ = started(x=x, z=z, y=x + z + 0.1 * rng.normal(size=3000))
    assert found["network"]["embed_numbers"] is None
    assert "their bins tell only 0.000 more" in text
    found, _, _ = started(x=x, z=z, y=np.where(np.abs(x) > 1.0, "far", "near"))
    assert found["network"]["embed_numbers"]["bins"] == 16
    found, _, _ = started(x=x, z=z, y=np.where(x + rng.logistic(size=3000) > 0.0, "over", "under"))
    assert found["network"]["embed_numbers"] is None


def test_bins_are_more_where_rows_are_and_none_where_columns_of_numbers_are_many_or_there_are_none(started):
    sizes = (10, 999, 1000, 2500, 12_000, 10**6)
    assert [plain.bins_of(rows, 10, "numbers") for rows in sizes] == [0, 0, 4, 10, 48, 48]
    assert [plain.bins_of(rows, 10, "classes") for rows in sizes] == [0, 0, 4, 4, 12, 48]
    assert [plain.bins_of(10**6, columns, "labels") for columns in (1, 50, 500, 501)] == [48, 40, 4, 0]
    bent = np.linspace(-1.0, 1.0, 300)
    found, text, _ = started(x=bent, y=bent**2)
    assert found["network"]["embed_numbers"] is None
    assert "bends the way of numbers; rows are few" in text
    found, _, _ = started(c=["a", "b"] * 50, y=np.arange(100) % 2 + 0.5)
    assert "embed_numbers" not in found["network"]


def test_what_bins_tell_is_without_what_they_would_by_chance():
    rng, chance, straight, bent = np.random.default_rng(0), [], [], []
    for _ in range(400):
        x, y = rng.normal(size=(2, 100))
        chance.append(Goal(y[:, None], None).told_in_bins(x))
        straight.append(Goal((x + y)[:, None], None).told_in_bins(x))
        bent.append(Goal((np.abs(x) + y)[:, None], None).told_in_bins(x))
    assert abs(np.mean(chance)) < 0.01
    assert -0.05 < np.mean(straight) < 0.0  # within a bin a line tells and its mean does not
    assert np.mean(bent) > 0.1
    missing = Goal(np.where(np.arange(100) % 2, np.nan, np.abs(x))[:, None], None)
    assert missing.told_in_bins(x) > 0.5
    assert Goal(np.ones((100, 1)), None).told_in_bins(x) == 0.0
    assert Goal(np.abs(x)[:, None], None).told_in_bins(np.sign(x)) == 0.0
    classes = Goal(None, np.where(np.arange(100) % 3, np.abs(x) > 0.7, -1).astype(int), ("a", "b"), (1, 1))
    assert classes.told_in_bins(x) > 0.4
    small, large = (Goal(size * np.abs(x)[:, None], None).told_in_bins(x) for size in (1.0, 1e200))
    assert large == pytest.approx(small, rel=1e-12)
    for rows in (1, 2):  # that have a target, each in a bin of its own
        y = np.where(np.arange(100) < rows, np.arange(100.0), np.nan)
        assert Goal(y[:, None], None).told_in_bins(x) == 0.0


def test_of_classes_bins_and_lines_explain_the_variance_of_a_column_of_0_and_1_each():
    rng = np.random.default_rng(1)
    x = rng.normal(size=500)
    codes = np.where(x < -0.5, 2, np.where(x < 0.5, rng.integers(0, 3, 500), 0))
    y = np.eye(4)[codes]
    edges = edges_of(x, TOLD_BINS)
    here = np.searchsorted(edges[1:-1], x, side="right")
    means = np.stack([y[here == j].mean(axis=0) for j in here])
    design = np.stack([np.ones(500), x], axis=1)
    line = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    left = [((y - said) ** 2).sum() / (500 - taken) for said, taken in ((line, 2), (means, TOLD_BINS))]
    must = (left[0] - left[1]) / (((y - y.mean(axis=0)) ** 2).sum() / 499)
    assert Goal(None, codes, tuple("abcd")).told_in_bins(x) == pytest.approx(must, rel=1e-12)


def test_many_classes_cost_no_column_each():
    rng = np.random.default_rng(2)
    goal = Goal(None, rng.integers(0, 5000, 20_000), tuple(map(str, range(5000))))
    tracemalloc.start()
    try:
        assert abs(goal.told_in_bins(rng.normal(size=20_000))) < 1e-3
        assert tracemalloc.get_traced_memory()[1] < 20e6  # a number for each row and class is 800 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("height", "written"), [(0.12, True), (0.06, False)])
def test_bins_are_written_from_half_of_a_hundredth_of_the_target_on(height, written, started):
    x, noise = np.random.default_rng(3).normal(size=(2, 20_000))
    found, _, _ = started(x=x, y=noise + height * np.where(np.abs(x) < 0.67, 1.0, -1.0))
    assert (found["network"]["embed_numbers"] is not None) == written


def test_finer_bins_are_written_where_they_tell_more_beside_a_number_that_many_rows_share(started):
    rng = np.random.default_rng(4)
    gain = np.where(rng.random(20_000) < 0.9, 0.0, rng.random(20_000))
    noise = rng.normal(size=20_000)
    found, text, _ = started(gain=gain, y=noise + 4.0 * ((gain * 8).astype(int) % 2))
    assert found["network"]["embed_numbers"] == {
        "name": "piecewise_linear",
        "bins": 48,
        "least": 30,
        "features": 16,
    }
    assert re.search(r"finer ones beside numbers that many rows share 0\.\d{3} more", text)
    found, _, _ = started(gain=rng.random(20_000), y=noise + np.abs(noise))
    assert found["network"]["embed_numbers"] is None
    found, _, _ = started(x=noise, y=np.abs(noise))
    assert "least" not in found["network"]["embed_numbers"]


def test_bins_of_classes_count_as_inputs_in_how_much_is_dropped(started):
    x, z = np.random.default_rng(0).normal(size=(2, 3000))
    found, _, _ = started(x=x, z=z, y=np.where(np.abs(x) > 1.0, "far", "near"))
    rows, inputs = 2100, 2
    assert plain.bins_of(rows, inputs, "classes") == 4
    assert found["network"]["dropout"] == plain.dropout_of(rows, inputs + 8)
    columns = {f"x{i}": np.random.default_rng(i).normal(size=3000) for i in range(9)}
    found, _, _ = started(**columns, y=np.where(np.sum(np.abs(list(columns.values())), axis=0) > 7.0, "far", "near"))
    assert found["network"]["dropout"] == 0.2 != plain.dropout_of(rows, 9)


def test_categories_are_written_as_what_they_become_in_the_rows_that_train(started, capsys):
    rng = np.random.default_rng(0)
    for rows, most in ((1000, 50), (400, 28)):
        of = {f"c{count}": [f"w{i}" for i in np.arange(rows) % count] for count in (most, most + 1)}
        found, text, _ = started(**of, y=rng.normal(size=rows))
        assert found["data"]["encode"] == "auto"
        assert found["data"]["columns"] == dict.fromkeys(of, "category")
        learned = [line.split(":")[0].strip() for line in text.splitlines() if "a learned row for each" in line]
        assert learned == [f"c{most + 1}"]
        assert main(["check", "c.yaml"]) == 0
        out = capsys.readouterr().out
        assert (f"one-hot, {most} columns" in out, f"embedding, {(most + 3) // 2} numbers" in out) == (True, True)
        assert f"and {most + (most + 3) // 2} inputs" in text
        assert re.search(r"epochs: \d+  # of (\d+) steps", text)[1] == re.search(r"(\d+) steps an epoch", out)[1]


def test_equal_numbers_among_texts_are_one_category_for_init_as_for_training(started, capsys):
    texts = ["250.0", "250.00", *(f"w{i}" for i in range(49))]
    _, text, _ = started(c=[texts[i % 51] for i in range(1020)], y=np.random.default_rng(0).normal(size=1020))
    assert main(["check", "c.yaml"]) == 0
    assert "one-hot, 50 columns" in capsys.readouterr().out
    assert "and 50 inputs" in text


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (
            np.arange(600) % 3,
            "`y` has 3 different whole numbers, taken for classes: `task: numbers` if they are amounts",
        ),
        (np.arange(600) % 12 * 2, "`y` has 12 different whole numbers, taken for numbers: `task: classes` if they are"),
        (np.arange(600) % 2, ""),
        (np.arange(600) / 7.0, ""),
    ],
)
def test_a_target_that_may_be_classes_or_amounts_is_named(started, y, said):
    _, _, doubts = started(x=np.random.default_rng(0).normal(size=600), y=y)
    assert [doubt for doubt in doubts if "`y`" in doubt] == (
        [doubt for doubt in doubts if said in doubt] if said else []
    )
    assert bool(doubts) == bool(said)


def test_dates_that_are_two_numbers_differ_in_every_row_and_ignored_texts_are_named(started):
    rng = np.random.default_rng(0)
    texts = [f"what somebody wrote about {i}" for i in range(300)]
    found, _, said = started(
        day=[f"0{1 + i % 9}/0{1 + i % 7}/2024" for i in range(300)],
        about=texts,
        population=rng.permutation(300) * 3 + 5,
        y=rng.normal(size=300),
    )
    assert found["data"]["columns"]["day"] == {"type": "date", "order": "day"}
    assert len(said) == 3
    assert said[0].startswith("not certain: whether days or months come first in the dates of `day`, such as 0")
    assert said[1] == "not certain: `about` is ignored: 300 texts of about 5 words"
    assert said[2] == "not certain: `population` is different in every row: `ignore` if it names rows"


def test_rare_classes_may_be_weighted_and_metrics_fit_the_task(started):
    x = np.random.default_rng(0).normal(size=600)
    for y, metrics, rare in (
        (np.arange(600) % 2, ["roc_auc", "balanced_accuracy"], None),
        (np.where(np.arange(600) % 10 == 0, "sick", "well"), ["roc_auc", "balanced_accuracy"], "sick has 10%"),
        (np.array(["a", "b", "c"])[np.arange(600) % 3], ["accuracy", "balanced_accuracy"], None),
        (np.array([f"c{i}" for i in range(8)])[np.arange(600) % 8], ["accuracy", "balanced_accuracy"], None),
        (x + np.random.default_rng(1).normal(size=600), ["rmse", "r2"], None),
    ):
        found, text, _ = started(x=x, y=y)
        assert found["trainer"]["metrics"] == metrics
        assert ("# class_weight: balanced" in text) == (rare is not None)
        assert rare is None or rare in text


def test_numbers_whose_squares_overflow_are_ranked_or_kept_as_others_are(started):
    rng, x = heavy()
    found, _, _ = started(x=x * 1e200, z=rng.normal(size=len(x)), y=np.log(x) + 0.1 * rng.normal(size=len(x)))
    assert found["data"]["columns"]["x"] == {"type": "number", "scale": "quantile"}


@pytest.mark.filterwarnings("ignore:.* has values that training did not see")
def test_texts_of_nearly_as_many_values_as_rows_are_ignored_unless_nothing_else_is_left(started):
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 300))
    street, few = [f"{i % 151} Elm" for i in range(300)], [f"{i % 150} Elm" for i in range(300)]
    found, _, said = started(street=street, few=few, x=x, y=y)
    assert found["data"]["columns"] == {"street": "ignore", "few": "category", "x": "number"}
    assert said == [
        "not certain: `street` is ignored: 151 values in 300 rows; `category` if they tell the target, `words` if"
        " their words do"
    ]
    found, _, said = started(street=street, again=street, y=y)
    assert (found["data"]["columns"], said) == ({"street": "category", "again": "category"}, [])
    cabin = [f"{i % 70} Elm" if i < 80 else "" for i in range(300)]  # whether there is one may tell
    assert started(cabin=cabin, x=x, y=y)[0]["data"]["columns"]["cabin"] == "category"


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
def test_rows_in_the_order_of_time_may_not_be_divided_by_chance(started, order):
    rng = np.random.default_rng(0)
    day = np.datetime64("2024-01-01") + np.repeat(np.arange(100), 3)
    day = {"rising": day, "falling": day[::-1], "mixed": rng.permutation(day)}[order].astype(str)
    day[7] = ""
    _, _, said = started(day=day, y=rng.normal(size=300))
    told = (
        "not certain: the rows are in the order of `day`, and those to validate and test on are drawn among them: to"
        " predict what comes later, divide the table by time, into `data.train`, `data.validation` and `data.test`"
    )
    assert said == ([] if order == "mixed" else [told])
