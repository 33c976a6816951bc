"""The other commands, from the outside."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import COMMANDS, main
from fastbp.errors import DataWarning
from fastbp.model.files import FORMATS
from fastbp.model.sealed import sealed, unsealed
from fastbp.runs.prediction import model_at

ROOT = Path(__file__).parents[2]


def table(path, rows=300, seed=0):
    """A table with numbers, categories, holes and a target that both decide."""
    rng = np.random.default_rng(seed)
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["age", "job", "income", "answer"])
        for _ in range(rows):
            age, job = rng.integers(20, 70), ["baker, master", "cook", "smith"][rng.integers(3)]
            income = "" if rng.random() < 0.1 else f"{rng.normal(30, 9):.2f}"
            out.writerow([age, job, income, "yes" if (age > 45) != (job == "cook") else "no"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a table and a run on it."""
    folder = tmp_path_factory.mktemp("run")
    table(folder / "people.csv")
    before = os.getcwd()
    os.chdir(folder)
    Path("config.yaml").write_text(
        "data: {path: people.csv, target: answer, indicator: true}\n"
        "network: {hidden: [16], activation: tanh}\n"
        "trainer: {epochs: 40, optimizer: {name: adam, lr: 0.02}}\n"
    )
    assert main(["train", "config.yaml", "--run-dir", "run", "-q"]) == 0
    os.chdir(before)
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


# All of them


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name, capsys):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: fastbp {name}")
    assert len(out.splitlines()) > 3


def test_help_takes_no_time_and_loads_nothing_heavy():
    code = (
        "import sys; from fastbp.cli.main import main; main(['--help']);"
        "print(sorted({'numba', 'numpy', 'yaml', 'msgspec'} & {*sys.modules}))"
    )
    times = []
    for _ in range(5):
        begun = os.times()
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        ended = os.times()  # of processors, as others may have them meanwhile
        times.append(ended.children_user + ended.children_system - begun.children_user - begun.children_system)
        assert done.stdout.endswith("[]\n")
    assert min(times) < 0.15


def test_a_command_that_is_nearly_right_comes_with_a_hint(capsys):
    assert main(["trian"]) == 2
    known = ", ".join(f"`{name}`" for name in COMMANDS)
    message = f"fastbp: a command must be one of {known}, got `trian`\nhint: did you mean `train`?\n"
    assert capsys.readouterr().err.startswith(message)


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "fastbp", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"fastbp {fb.__version__}\n"


# predict and evaluate


def predicted(capsys, *arguments):
    capsys.readouterr()
    assert main(["predict", *arguments]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_predictions_are_those_of_the_network_on_the_prepared_table(here, capsys):
    rows = predicted(capsys, "run", "people.csv", "--probabilities")
    truth = list(csv.DictReader(Path("people.csv").read_text().splitlines()))
    assert len(rows) == len(truth)
    right = np.mean([a["answer"] == b["answer"] for a, b in zip(rows, truth, strict=True)])
    assert right > 0.9
    for row in rows:
        chances = {name: float(row[f"answer = {name}"]) for name in ("no", "yes")}
        assert abs(sum(chances.values()) - 1.0) < 1e-6
        assert max(chances, key=chances.get) == row["answer"]


def test_a_table_needs_no_targets_and_may_have_its_columns_in_any_order(here, capsys):
    expected = [row["answer"] for row in predicted(capsys, "run", "people.csv")]
    with open("people.csv") as file, open("bare.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, ["job", "extra", "income", "age"])
        writer.writeheader()
        for row in csv.DictReader(file):
            writer.writerow({"job": row["job"], "extra": 1, "income": row["income"], "age": row["age"]})
    assert [row["answer"] for row in predicted(capsys, "run/best.safetensors", "bare.csv")] == expected


def test_a_category_that_was_never_seen_is_predicted(here, capsys):
    Path("new.csv").write_text("age,job,income\n30,pilot,20\n60,,\n")
    with pytest.warns(DataWarning) as said:
        assert len(predicted(capsys, "run", "new.csv")) == 2
    assert [str(w.message) for w in said] == [
        "new.csv: column `job` has values that training did not see in 1 of 2 rows (50.0%), such as `pilot`"
    ]
    for command in ("predict", "evaluate"):
        Path("new.csv").write_text("age,job,income,answer\n30,pilot,20,no\n")
        assert main([command, "run", "new.csv", "--strict"]) == 3
        assert capsys.readouterr().err == (
            "fastbp: new.csv:2: column `job` must have a value that training saw, got `pilot`\n"
        )


def test_a_table_of_unseen_categories_is_refused_from_a_share_on(here, capsys):
    rows = ["age,job,income", *["30,cook,20"] * 30, *["30,pilot,20"] * 7]
    Path("new.csv").write_text("\n".join(rows) + "\n")
    with pytest.warns(DataWarning, match="7 of 37 rows"):
        assert len(predicted(capsys, "run", "new.csv")) == 37
    Path("new.csv").write_text("\n".join([*rows, "30,pilot,20"]) + "\n")
    assert main(["predict", "run", "new.csv"]) == 3
    assert capsys.readouterr().err == (
        "fastbp: new.csv: column `job` must have values that training saw in all rows but 20.0% at most, got others in"
        " 21.1%, such as `pilot`\n"
        "hint: training saw `baker, master`, `cook`, `smith`; `data.unseen` in its configuration sets the limit\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,income\n30,20\n", "new.csv: there must be a column `job`, got `age`, `income`"),
        ("age,job,income\nold8,cook,20\n", "new.csv:2: column `age` must be a number, got `old8`"),
        (
            "age,job,income\n30,cook\n",
            "new.csv:2: a row must have 3 fields, got 2\nhint: empty fields need a delimiter too",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_row(here, text, message, capsys):
    Path("new.csv").write_text(text)
    assert main(["predict", "run", "new.csv"]) == 3
    assert capsys.readouterr().err == f"fastbp: {message}\n"


def test_predictions_go_to_files_of_three_kinds(here, capsys):
    expected = [row["answer"] for row in predicted(capsys, "run", "people.csv")]
    for name in ("out.csv", "out.jsonl", "out.npz"):
        assert main(["predict", "run", "people.csv", "-o", name]) == 0
    assert [row["answer"] for row in csv.DictReader(Path("out.csv").read_text().splitlines())] == expected
    assert [json.loads(line)["answer"] for line in Path("out.jsonl").read_text().splitlines()] == expected
    assert np.load("out.npz")["answer"].tolist() == expected
    assert main(["predict", "run", "people.csv", "-o", "out.txt"]) == 2


def test_the_own_columns_can_be_kept(here, capsys):
    rows = predicted(capsys, "run", "people.csv", "--keep")
    assert list(rows[0]) == ["age", "job", "income", "answer", "predicted answer"]


def test_evaluation_is_that_of_the_run(here, capsys):
    result = json.loads(Path("run/result.json").read_text())
    capsys.readouterr()
    assert main(["evaluate", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == result["metrics"]
    assert main(["evaluate", "run", "people.csv", "-m", "accuracy", "-m", "roc_auc", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]["files"]
    weights = {"train": 210, "validation": 45, "test": 45}
    whole = sum(result["metrics"][k]["accuracy"] * n for k, n in weights.items()) / 300
    assert abs(found["accuracy"] - whole) < 1e-9
    assert 0.9 < found["roc_auc"] <= 1.0


def test_a_network_without_a_recipe_says_what_it_lacks(here, capsys):
    fb.mlp([3, 2]).save("bare.safetensors")
    assert main(["predict", "bare.safetensors", "people.csv"]) == 2
    assert "must hold a recipe that turns tables into inputs, but has a network only" in capsys.readouterr().err


def test_python_loads_what_a_run_saved(here):
    net = fb.load("run/best.safetensors")
    assert net.predict(np.zeros((2, net.inputs), np.float32)).shape == (2, 2)


def test_numbers_are_predicted_in_the_units_of_the_table(here, capsys):
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    Path("line.csv").write_text("x,y\n" + "".join(f"{a:.5f},{1000 + 50 * a:.5f}\n" for a in x))
    Path("line.yaml").write_text(
        "data: {path: line.csv, target: y}\nnetwork: {hidden: []}\ntrainer: {optimizer: lbfgs, epochs: 50}\n"
    )
    assert main(["train", "line.yaml", "--run-dir", "line", "-q", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["metrics"]["test"]
    assert scores["r2"] > 0.9999
    assert scores["rmse"] < 0.5
    rows = predicted(capsys, "line", "line.csv")
    assert np.allclose([float(r["y"]) for r in rows], 1000 + 50 * x, atol=1.0)


# check, gradcheck, init, show, schema


def test_check_shows_layers_rows_and_parameters_and_compiles_nothing(here):
    code = (
        "import sys; from fastbp.cli.main import main; main(['check', 'config.yaml']);"
        "from fastbp.engine.compiler import compilations; print(len(compilations()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FASTBP_CACHE_DIR": str(here / "empty")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stderr == ""
    *shown, last = done.stdout.splitlines()
    assert last == "0"
    assert re.match(r"0 Linear +6 +16 +112$", shown[1])
    assert next(line for line in shown if "classes" in line) == "2 classes: no 55%, yes 45%"
    assert "train 210 rows, validation 45 rows, test 45 rows" in shown


def test_check_as_json(here, capsys):
    assert main(["check", "config.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == 6 * 16 + 16 + 16 * 2 + 2
    assert found["config"]["trainer"]["optimizer"]["lr"] == 0.02


def test_gradcheck_passes_and_fails_where_the_tolerance_cannot_be_kept(here, capsys):
    assert main(["gradcheck", "config.yaml"]) == 0
    assert "within 1e-06" in capsys.readouterr().out
    assert main(["gradcheck", "config.yaml", "--tolerance", "1e-18", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["passed"]
    assert [p["name"] for p in found["parameters"]] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_init_writes_a_configuration_that_trains(here, capsys):
    assert main(["init", "people.csv", "-o", "new.yaml"]) == 0
    text = Path("new.yaml").read_text()
    assert "job: category   # 3 values: baker, master, cook, smith" in text
    assert main(["train", "new.yaml", "--set", "trainer.epochs=2", "-q", "--run-dir", "started"]) == 0
    assert main(["init", "people.csv", "-o", "new.yaml"]) == 2
    assert "must not exist yet, got `new.yaml`" in capsys.readouterr().err


def test_init_takes_the_target_it_is_told(here, capsys):
    assert main(["init", "people.csv", "-t", "age", "-o", "-"]) == 0
    out = capsys.readouterr().out
    assert "  target: age\n" in out
    assert main(["init", "people.csv", "-t", "ages", "-o", "-"]) == 3
    assert "hint: did you mean `age`?" in capsys.readouterr().err


def test_show_draws_the_curve_and_marks_the_best_epoch(here, capsys):
    assert main(["show", "run", "--epochs", "3"]) == 0
    out = capsys.readouterr().out
    assert "val_loss" in out
    assert any("⠀" <= c <= "⣿" for c in out)
    best = json.loads(Path("run/result.json").read_text())["best_epoch"]
    assert re.search(rf"^{best} .* best$", out, re.M)
    assert main(["show", "run", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["epochs"]) == 40


def test_the_schema_is_json(capsys):
    assert main(["schema"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["$ref"] == "#/$defs/Config"


def test_doctor_tells_of_the_machine(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fastbp"] == fb.__version__
    assert re.match(r"\d+ on one thread, \d+ on \d+$", found["peak_gflops"])
    assert {"level", "threads", "threading_layer", "cache_folder", "numba", "machine_code"} <= set(found)
    for real in ("float32", "float64"):
        assert re.match(r"(\d+) of \1 answers right, digest [0-9a-f]{16}$", found[f"self_test_{real}"])


def test_bench_agrees_before_it_times(capsys):
    assert main(["bench", "--seconds", "0.01", "--json"]) == 0
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert len(cases) == 4
    assert all(case["ratio"] > 0 for case in cases)


# The configurations that come with the repository

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_configuration_of_the_repository_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    text = path.read_text()
    missing = [file for file in re.findall(r"/usr/share/\S+", text) if not Path(file).exists()]
    if missing:
        pytest.skip(f"needs {missing[0]}")
    settings = ["--set", "trainer.epochs=1", "--run-dir", str(tmp_path / "run")]
    if "\nsweep:" in text:
        pytest.importorskip("optuna")
        settings = ["--set", "trainer.epochs=1", "--set", "sweep.trials=3", "--storage", str(tmp_path / "study")]
        assert main(["sweep", str(path), "-q", "--json", "--jobs", "1", *settings]) == 0
        assert [one["epochs"] for one in json.loads(capsys.readouterr().out)["trials"]] == [1, 1, 1]
        return
    assert main(["train", str(path), "-q", "--json", *settings]) == 0
    result = json.loads(capsys.readouterr().out)
    runs = [result] if "epochs" in result else [one for member in result["members"] for one in member["networks"]]
    assert {one["epochs"] for one in runs} == {1}
    assert model_at(str(tmp_path / "run")).recipe.inputs.width  # what was written can be read


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (
            "data:\n  path: people.csv\n",
            2,
            "fastbp: bad.yaml:1: `data.target` must name what to predict in people.csv; there are",
        ),
        (
            "data: {path: people.csv, target: answer}\ntrainer:\n  loss: mse\n",
            2,
            "fastbp: bad.yaml:3: `trainer.loss` must be one for classes",
        ),
        ("data: {path: people.csv, target: answers}\n", 3, "fastbp: people.csv: there must be a column `answers`"),
    ],
)
def test_what_only_the_data_show_to_be_wrong_is_told_with_its_line_too(here, text, code, message, capsys):
    Path("bad.yaml").write_text(text)
    assert main(["check", "bad.yaml"]) == code
    assert capsys.readouterr().err.startswith(message)


def test_names_that_look_like_numbers_stay_as_they_are_written(here, capsys):
    rows = "".join(f"{c},{'a' if c == '1.0' else 'b'}\n" for c in ("1.0", "2.0", "3.0") * 40)
    Path("codes.csv").write_text("c,y\n" + rows)
    Path("codes.yaml").write_text(
        "data: {path: codes.csv, target: y, columns: {c: category}}\n"
        "network: {hidden: []}\ntrainer: {epochs: 60, optimizer: {name: adam, lr: 0.1}}\n"
    )
    assert main(["train", "codes.yaml", "--run-dir", "codes", "-q"]) == 0
    Path("some.csv").write_text("c\n1.0\n2.0\n")
    Path("more.csv").write_text("c\n1.0\n2.0\nx\n")
    assert [r["y"] for r in predicted(capsys, "codes", "some.csv")] == ["a", "b"]
    with pytest.warns(DataWarning, match="column `c`"):
        assert [r["y"] for r in predicted(capsys, "codes", "more.csv")][:2] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["predict", "run", "people.csv", "-o", "none/x.csv"],
            "fastbp: `none/x.csv` must be a file that can be written (No such file or directory)\n",
        ),
        (
            ["init", "people.csv", "-o", "none/x.yaml"],
            "fastbp: `none/x.yaml` must be a file that can be written (No such file or directory)\n",
        ),
        (
            ["show", "run", "--graph", "no/where.svg"],
            "fastbp: `no/where.svg` must be a file that can be written (No such file or directory)\n",
        ),
        (
            ["train", "config.yaml", "--run-dir", "people.csv/x"],
            "fastbp: `--run-dir` must be where folders can be made",
        ),
    ],
)
def test_a_place_that_cannot_be_written_to_is_a_sentence(here, arguments, message, capsys):
    assert main(arguments) in (1, 2)
    assert capsys.readouterr().err.startswith(message)


def test_gradcheck_passes_where_kinks_lie_near(here):
    Path("kinks.yaml").write_text(
        "data: {source: friedman, rows: 400}\nnetwork: {hidden: [64, 64], activation: relu}\n"
    )
    assert main(["gradcheck", "kinks.yaml", "--rows", "207", "-q"]) == 0


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("[]", "must hold an object about its network"),
        ("null", "must hold an object about its network"),
        ('{"recipe": {"inputs": 3}}', "holds a damaged recipe: `recipe` must have `outputs`"),
        (("inputs", 0, "fill"), "holds a damaged recipe: `inputs[0].fill` must have 1 number, got 2"),
        (("inputs", 1, "values"), "holds a damaged recipe: `inputs` must become the network's 6 columns, got 5"),
    ],
    ids=["list", "null", "keys", "fill", "width"],
)
def test_a_damaged_recipe_is_a_sentence_with_its_file(here, about, message, capsys):
    net = fb.load("run/best.safetensors")
    if isinstance(about, str):
        words, arrays = unsealed(Path("run/best.safetensors"), "a network", FORMATS)
        Path("odd.safetensors").write_bytes(sealed(arrays, {**words, "about": about}))
    else:
        part = net.about["recipe"]
        for key in about[:-1]:
            part = part[key]
        part[about[-1]] = [0.0, 0.0] if about[-1] == "fill" else ["cook", "smith"]
        net.save("odd.safetensors")
    assert main(["predict", "odd.safetensors", "people.csv"]) == 2
    assert capsys.readouterr().err == f"fastbp: `odd.safetensors` {message}\n"


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(("delimiter", "found"), [("ab", "one character, got `ab`"), ('"', "neither a quote")])
def test_a_delimiter_that_is_none_is_a_sentence(here, command, delimiter, found, capsys):
    assert main([command, "run", "people.csv", "--delimiter", delimiter]) == 2
    assert capsys.readouterr().err.startswith(f"fastbp: `--delimiter` must be {found}")
