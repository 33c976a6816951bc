"""What `train` and `evaluate` say of a network, from the outside."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.explain import text
from fastbp.cli.main import main
from fastbp.cli.report import paragraphs
from fastbp.data.prepare import Part
from fastbp.runs.scores import _constant


def shown(capsys, *arguments):
    capsys.readouterr()
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs on two classes, three classes and numbers."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    with open(folder / "two.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["a", "b", "answer"])
        for a, b in rng.standard_normal((200, 2)).round(3).tolist():
            out.writerow([a, b, "yes" if a + 0.5 * b + rng.normal() > 0.7 else "no"])
    for name, data in (
        ("two", "{path: two.csv, target: answer}"),
        ("three", "{source: spirals, rows: 300}"),
        ("numbers", "{source: friedman, rows: 200}"),
    ):
        (folder / f"{name}.yaml").write_text(f"data: {data}\nnetwork: {{hidden: [8]}}\ntrainer: {{epochs: 5}}\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert main(["train", f"{name}.yaml", "--run-dir", name, "-q"]) == 0
    return folder


@pytest.fixture
def here(runs, monkeypatch):
    monkeypatch.chdir(runs)
    monkeypatch.setenv("COLUMNS", "100")
    return runs


def of_run(name):
    """Outputs, targets and names of the test rows of a run."""
    from fastbp.runs.scores import subject_at

    subject, net = subject_at(name), fb.load(f"{name}/best.safetensors")
    part = subject.parts["test"]
    return net.predict(part.X), part.y, subject


def test_the_report_is_that_of_the_test_rows(here, capsys):
    raw, y, subject = of_run("two")
    found = json.loads(shown(capsys, "evaluate", "two", "--json"))["report"]
    expected = fb.metrics.report(raw, y, loss="cross_entropy", names=["no", "yes"])
    assert found == {"part": "test", **json.loads(json.dumps(expected))}
    assert json.loads(Path("two/result.json").read_text())["report"] == found
    assert found["binary"]["positive"] == "yes"
    other = json.loads(shown(capsys, "evaluate", "two", "--part", "train", "--positive", "no", "--json"))["report"]
    assert other["part"] == "train"
    assert other["rows"] == len(subject.parts["train"])
    assert other["binary"]["positive"] == "no"


def test_a_report_of_files_is_of_their_rows(here, capsys):
    found = json.loads(shown(capsys, "evaluate", "two", "two.csv", "--json"))
    assert found["report"]["rows"] == 200
    assert found["report"]["accuracy"] == found["metrics"]["files"]["accuracy"]


def test_numbers_are_reported_in_the_units_of_the_table(here, capsys):
    raw, y, subject = of_run("numbers")
    outputs = subject.recipe.outputs
    t, p = (np.float64(a) * outputs.spread + outputs.center for a in (y, raw))
    (row,) = json.loads(shown(capsys, "evaluate", "numbers", "--json"))["report"]["columns"]
    assert row["mae"] == pytest.approx(np.abs(t - p).mean(), rel=1e-5)
    assert row["median_error"] == pytest.approx(np.median(np.abs(t - p)), rel=1e-5)
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean((t - p) ** 2)), rel=1e-5)
    text = shown(capsys, "evaluate", "numbers")
    assert f"{row['median_error']:.4f}" in text
    assert text.splitlines()[5].split() == ["30", "test", "rows", "rmse", "mae", "median_error", "r2"]


def test_the_text_has_every_class_the_matrix_and_the_bins(here, capsys):
    text = shown(capsys, "evaluate", "two")
    found = json.loads(shown(capsys, "evaluate", "two", "--json"))["report"]
    lines = [line.split() for line in text.splitlines()]
    for row in found["each"]:
        said = [row["name"], *(f"{row[k]:.4f}" for k in ("precision", "recall", "f1")), str(row["support"])]
        assert said in lines
    for row, counts in zip(found["each"], found["confusion"], strict=True):
        assert [row["name"], *(str(n) if n else "." for n in counts)] in lines
    for b in found["calibration"]["bins"]:
        assert [f"{b['predicted']:.4f}", f"{b['actual']:.4f}"] in [line[-2:] for line in lines]
    assert f"`yes` as the positive class: ROC AUC {found['binary']['roc_auc']:.4f}" in text
    assert f"Brier score {found['brier']:.4f}" in text


def test_errors_in_small_units_are_shown():
    each = {"name": "rate", "rmse": 6.524e-7, "mae": 4.904e-7, "median_error": 0.0, "r2": 0.00012}
    report = {"task": "numbers", "part": "test", "rows": 60, "columns": [each]}
    assert paragraphs(report, 80, "test").splitlines() == [
        "60 test rows       rmse        mae  median_error      r2",
        "rate          6.524e-07  4.904e-07        0.0000  0.0001",
    ]


def test_importances_in_small_units_are_shown():
    def row(column, importance):
        return {"column": column, "importance": importance, "spread": importance / 10, "sensitivity": None}

    found = {"repeats": 5, "rows": 60, "of": 60, "part": "test", "metric": "mse", "score": 4e-13}
    for large, shown in ((0.5, ["0.5000", "±", "0.0500"]), (5e-10, ["5.000e-10", "±", "5.000e-11"])):
        lines = text(found | {"columns": [row("x", large), row("z", 1e-12)]}, 30, 80).splitlines()
        assert next(line for line in lines if line.startswith("x ")).split()[1:4] == shown


def test_the_summary_of_a_run_has_the_report_before_its_speed(here, capsys):
    text = shown(capsys, "train", "--resume", "two", "-q")
    order = [text.index(word) for word in ("baseline", "precision", "true \\ predicted", "ROC AUC", "Brier", "GFLOP/s")]
    assert order == sorted(order)
    assert "came true" not in text  # which `evaluate` has


def test_the_baseline_says_the_same_of_every_row(here):
    for name, loss in (("two", "cross_entropy"), ("three", "cross_entropy"), ("numbers", "mse")):
        _, y, subject = of_run(name)
        found = json.loads(Path(name, "result.json").read_text())["baseline"]
        train = subject.parts["train"].y
        if loss == "mse":
            assert found["loss"] == pytest.approx(np.mean((y - train.mean()) ** 2), rel=1e-4)
            assert found["r2"] == pytest.approx(1 - np.mean((y - train.mean()) ** 2) / y.var(), abs=1e-4)
            continue
        share = np.bincount(train) / len(train)
        assert found["loss"] == pytest.approx(-np.log(share[y]).mean(), rel=1e-5)
        assert found["accuracy"] == pytest.approx(np.mean(y == share.argmax()))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("made", "task"),
    [
        (fb.MSE(), "numbers"),
        (fb.Poisson(), "numbers"),
        (fb.GaussianNLL(), "numbers"),
        (fb.BinaryCrossEntropy(), "labels"),
        (fb.CrossEntropy(), "classes"),
    ],
)
def test_a_baseline_is_the_best_constant_of_its_loss(made, task, weighted, monkeypatch):
    rng = np.random.default_rng(1)
    count = 3 if task == "classes" else 2
    y = {
        "numbers": rng.integers(1, 9, (50, count)).astype(np.float32),
        "labels": (rng.random((50, count)) < 0.3).astype(np.float32),
        "classes": rng.integers(0, count, 50) % 2 * 2,  # the class 1 has no rows
    }[task]
    y.flat[0], weight = y.flat[1], rng.uniform(0.1, 5.0, 50) if weighted else None
    outputs = count * made.outputs_per_target

    def of(bias):
        net = fb.Network([fb.Linear(outputs)], inputs=1, dtype="float64")
        net.parameters["0.weight"] = np.zeros((1, outputs))
        net.parameters["0.bias"] = bias
        return net.evaluate(np.zeros((50, 1)), y, made, weight)

    with monkeypatch.context() as bare:
        bare.setattr(np, "log", None)  # whose last bits are the machine's
        best = _constant(Part(np.zeros((50, 1)), y, weight), outputs, made, task)
    seen = [0, 2] if task == "classes" else range(outputs)
    for step in np.eye(outputs)[seen] * 0.01:
        assert of(best) < min(of(best + step), of(best - step))


def test_pictures_are_written_where_one_says(here, tmp_path, capsys):
    shown(capsys, "evaluate", "three", "--pictures", str(tmp_path / "new"))
    names = {f"{name}.{end}" for name in ("confusion", "calibration") for end in ("svg", "csv")}
    assert {p.name for p in (tmp_path / "new").iterdir()} == names
    for name in names:
        assert (tmp_path / "new" / name).read_text() == Path("three", name).read_text()
    shown(capsys, "evaluate", "numbers", "--pictures", str(tmp_path / "none"))
    assert not list((tmp_path / "none").iterdir())


def test_tables_beside_pictures_have_the_numbers_of_the_result(here):
    report = json.loads(Path("three/result.json").read_text())["report"]
    with open("three/confusion.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["true \\ predicted", *(row["name"] for row in report["each"])]
    assert [row[0] for row in rows] == head[1:]
    assert [[int(count) for count in row[1:]] for row in rows] == report["confusion"]
    with open("three/calibration.csv", newline="") as file:
        bins = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert bins == report["calibration"]["bins"]
    assert bins[0]["rows"] > 0


def test_a_matrix_that_is_too_wide_becomes_its_largest_mistakes():
    t = np.arange(30) % 15
    z = np.eye(15)[t]
    z[3] = z[4]
    found = fb.metrics.report(z, t, loss="cross_entropy", names=[f"class-{i:02d}" for i in range(15)])
    wide, narrow = paragraphs(found, 300), paragraphs(found, 60)
    assert "true \\ predicted" in wide
    assert "true \\ predicted" not in narrow
    assert ["class-03", "class-04", "1"] in [line.split() for line in narrow.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["three", "--part", "tests"], "`--part` must be one of `train`, `validation`, `test`, got `tests`"),
        (["two", "--positive", "maybe"], "`--positive` must be one of `no`, `yes`, got `maybe`"),
        (["three", "--positive", "1"], "`--positive` must be given for two classes only, got `1` for 3"),
        (["two", "two.csv", "--part", "test"], "`--part` must be left out where files are given"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(here, arguments, message, capsys):
    capsys.readouterr()
    assert main(["evaluate", *arguments]) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"fastbp: {message}"
