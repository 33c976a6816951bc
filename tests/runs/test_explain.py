"""What columns are worth: against a table whose column is really shuffled, and Jacobians row by row."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.data.frame import Frame
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.pictures.bars import Bar, bars
from fastbp.runs.explain import explain
from fastbp.runs.prediction import Model
from fastbp.runs.scores import subject_at
from fastbp.runs.views import columns_of
from fastbp.train.explain import shuffle
from tests.pictures.svg import SVG, inside, parsed, styled, texts

TRY = "\ntry `fastbp explain --help`"
HEAD = ["age", "job", "income", "town", "answer"]


def rows(count=240, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        age, job, town = int(rng.integers(20, 70)), ["baker", "cook", "smith"][rng.integers(3)], "xyz"[rng.integers(3)]
        income = "" if rng.random() < 0.2 else f"{rng.normal(30, 9):.2f}"
        yield [age, job, income, town, "yes" if (age > 45) != (job == "cook") else "no"]


def write(path, table):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([HEAD, *table])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    write(folder / "people.csv", rows())
    write(folder / "others.csv", rows(60, seed=1))
    (folder / "people.yaml").write_text(
        "data: {train: people.csv, test: others.csv, target: answer, indicator: true,"
        " columns: {town: {type: category, encode: embedding, size: 2}}}\n"
        "network: {hidden: [16], activation: tanh}\n"
        "trainer: {epochs: 30, metrics: [accuracy, log_loss], optimizer: {name: adam, lr: 0.02}}\n"
    )
    (folder / "friedman.yaml").write_text(
        "data: {source: friedman, rows: 300}\nnetwork: {hidden: [16]}\n"
        "trainer: {epochs: 20, monitor: val_rmse, optimizer: {name: adam, lr: 0.02}}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("people", "friedman"):
            assert main(["train", f"{name}.yaml", "--run-dir", name, "-q"]) == 0
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_importance_is_what_is_lost_where_a_column_of_the_table_is_shuffled(here, tmp_path):
    found = explain("people", repeats=2, seed=3).importance
    assert found.columns == HEAD[:4]
    table, model = list(rows(60, seed=1)), Model.load("people")
    for c, name in enumerate(found.columns):
        at = HEAD.index(name)
        for repeat in range(2):
            order = shuffle(60, 3, c, repeat)
            mixed = [[*row[:at], table[order[i]][at], *row[at + 1 :]] for i, row in enumerate(table)]
            write(tmp_path / "mixed.csv", mixed)
            loss = subject_at("people").loss
            score = model.evaluate(model.read((str(tmp_path / "mixed.csv"),), {}), ["accuracy"], loss)["accuracy"]
            assert found.drops[c, repeat] == found.score - score
    assert {found.columns[i] for i in np.argsort(-found.mean)[:2]} == {"age", "job"}


def test_a_metric_whose_low_values_are_good_gets_worse_upwards(here):
    for metric in ("log_loss", "loss"):
        found = explain("people", metric=metric).importance
        assert found.metric == metric
        assert found.mean[found.columns.index("age")] > 0.1
    assert explain("friedman").importance.metric == "rmse"  # which is monitored
    assert explain("people").importance.metric == "accuracy"  # the first of its metrics


def test_columns_are_the_inputs_that_they_become(here):
    inputs = subject_at("people").recipe.inputs
    assert columns_of(inputs) == {"age": [0], "job": [1, 2, 3], "income": [4, 5], "town": [6]}
    found = columns_of(subject_at("friedman").recipe.inputs)
    assert found == {str(i): [i] for i in range(10)}
    holes = Numbers(None, "standard", "mean", indicator=True)
    holes.fit(Frame(np.array([[1.0, np.nan, 3.0], [2.0, 5.0, np.nan], [3.0, 4.0, 1.0]])))
    assert columns_of(Inputs([holes])) == {"0": [0], "1": [1, 3], "2": [2, 4]}


def test_sensitivity_is_the_mean_of_the_jacobians_magnitudes(here):
    found, subject, net = explain("people", part="train"), subject_at("people"), fb.load("people/best.safetensors")
    X = subject.parts["train"].X
    total = np.mean([np.abs(net.jacobian(row)).mean(axis=0) for row in X], axis=0, dtype=np.float64)
    job, town = (found.sensitivities[found.importance.columns.index(name)] for name in ("job", "town"))
    assert job == pytest.approx(total[1:4].sum(), rel=1e-6)
    assert town is None
    numbers, subject = explain("friedman"), subject_at("friedman")
    net, x = fb.load("friedman/best.safetensors"), subject.parts["test"].X
    first = np.mean([np.abs(net.jacobian(row))[0, 0] for row in x], dtype=np.float64)
    assert numbers.sensitivities[0] == pytest.approx(first * subject.recipe.outputs.spread[0], rel=1e-6)


def test_codes_of_many_categories_are_explained_as_the_columns_that_they_stand_for(tmp_path, monkeypatch):
    from fastbp.spec.coded import Coded
    from fastbp.train import explain as module

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = [f"{x:.3f},s{i % 20},k{i % 3},{x + i % 20 + i % 2 / 9:.3f}" for i, x in enumerate(rng.normal(size=400))]
    Path("t.csv").write_text("\n".join(["x,shop,kind,y", *lines]))
    Path("c.yaml").write_text("data: {path: t.csv, target: y}\ntrainer: {epochs: 5, optimizer: {name: adam, lr: 0.02}}")
    assert main(["train", "c.yaml", "--run-dir", "run", "-q"]) == 0
    subject, net = subject_at("run"), fb.load("run/best.safetensors")
    rows, columns = subject.parts["train"], columns_of(subject.recipe.inputs)
    assert {name: len(at) for name, at in columns.items()} == {"x": 1, "shop": 20, "kind": 3}
    X = np.asarray(rows.X)
    assert X.shape[1] > rows.X.narrow.shape[1]
    wanted = fb.permutation_importance(net, X, rows.y, "r2", "mse", columns=columns, repeats=2)
    slopes = fb.sensitivity(net, X)[0] * subject.recipe.outputs.spread[0]

    in_full, dense = [], Coded.__array__
    monkeypatch.setattr(
        Coded, "__array__", lambda self, *of, **how: in_full.append(len(self)) or dense(self, *of, **how)
    )
    monkeypatch.setattr(module, "NUMBERS", 240)
    found = explain("run", part="train", metric="r2", repeats=2)
    assert (len(in_full), max(in_full)) == (28, 10)
    assert found.importance.columns == [*columns]
    np.testing.assert_allclose(found.importance.drops, wanted.drops, rtol=1e-5, atol=1e-9)
    assert found.sensitivities == [pytest.approx(slopes[at].sum(), rel=1e-6) for at in columns.values()]


def test_blocks_of_rows_do_not_change_the_sensitivity(monkeypatch):
    from fastbp.train import explain as module

    net = fb.mlp([3, 8, 2], activation="tanh", seed=0)
    X = np.random.default_rng(0).standard_normal((50, 3))
    whole = fb.sensitivity(net, X)
    monkeypatch.setattr(module, "NUMBERS", 42)
    assert fb.sensitivity(net, X).tobytes() == whole.tobytes()
    slopes = np.random.default_rng(1).standard_normal((50, 2))
    wanted = np.mean(np.abs(net.jacobian(X) * slopes[:, :, None]), axis=0)
    np.testing.assert_allclose(fb.sensitivity(net, X, slopes), wanted, rtol=1e-6)
    with pytest.raises(fb.errors.ShapeError) as caught:
        fb.sensitivity(net, X, slopes[:1])
    assert str(caught.value) == "`slopes` must have shape `(50, 2)`, got `(1, 2)`"


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(here):
    one, again, other = (explain("people", metric="log_loss", seed=s).importance.drops for s in (0, 0, 1))
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != other.tobytes()
    orders = {tuple(shuffle(9, s, c, r)) for s in range(2) for c in range(2) for r in range(2)}
    assert len(orders) == 8
    assert all(sorted(order) == list(range(9)) for order in orders)
    assert shuffle(6, 2**40 + 7, 1, 2).tolist() != shuffle(6, 7, 1, 2).tolist()


def test_arrays_are_explained_in_python_and_left_as_they_are():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4)).astype(np.float32)
    net = fb.Network([fb.Linear(1)], inputs=4)
    net.parameters["0.weight"] = [[2.0], [0.0], [1.0], [-1.0]]
    y, before = net.predict(X), X.copy()
    found = fb.permutation_importance(net, X, y, "mse", "mse", columns={"a": [0], "b": [1], "c": [2, 3]}, repeats=20)
    assert found.score == 0.0
    assert X.tobytes() == before.tobytes()
    assert found.drops.shape == (3, 20)
    assert found.mean == pytest.approx([8.0, 0.0, 4.0], rel=0.15, abs=1e-12)  # 2 w² Var x, for both columns of c
    assert found.spread == pytest.approx(np.std(found.drops, axis=1))
    assert 0 < found.spread[0] < 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, X: fb.permutation_importance(net, X, X[:, :1], "r2", "mse", columns={"a": [2]}),
         "`columns['a']` must be below 2, the network's inputs, got `2`"),
        (lambda net, X: fb.permutation_importance(net, X, X[:, :1], "r2", "mse", columns={"a": 1}),
         "`columns['a']` must be a list of places, got `1`"),
        (lambda net, X: fb.permutation_importance(net, X, X[:, :1], "r2", "mse", columns=[0]),
         "`columns` must be a dict of name to places, got `[0]`"),
        (lambda net, X: fb.permutation_importance(net, X, X[:, :1], "r2", "mse", repeats=0),
         "`repeats` must be at least 1, got `0`"),
        (lambda net, X: fb.sensitivity(net, X[0]), "`X` must have shape `(rows, 2)` with rows >= 1, got `(2,)`"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_one_sentence(call, message):
    with pytest.raises(fb.ConfigError) as raised:
        call(fb.mlp([2, 1]), np.zeros((5, 2)))
    assert str(raised.value) == message


# The command


def test_the_command_prints_and_writes_the_same(here, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    files = [tmp_path / f"e.{kind}" for kind in ("json", "csv", "svg")]
    arguments = ["explain", "people", "--repeats", "3", *(a for f in files for a in ("-o", str(f)))]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    found = json.loads(files[0].read_text())
    assert err.splitlines() == [f"wrote {file}" for file in files]
    lines = out.splitlines()
    assert lines[0] == f"accuracy {found['score']:.4g} on 60 test rows, 3 shuffles of each column"
    worth = [column["importance"] for column in found["columns"]]
    assert worth == sorted(worth, reverse=True)
    for line, column in zip(lines[3:], found["columns"], strict=True):
        worth_of = f"{column['importance']:.4f}".replace("-0.0000", "0.0000")
        assert line.split()[:4] == [column["column"], worth_of, "±", f"{column['spread']:.4f}"]
        assert np.mean(column["drops"]) == pytest.approx(column["importance"])
    bar = [line.count("━") + 0.5 * line.count("╸") for line in lines[3:]]
    assert len(lines[3]) == 80
    assert bar[1] == pytest.approx(bar[0] * worth[1] / worth[0], abs=0.51)
    with open(files[1], newline="") as file:
        assert [(row["column"], float(row["importance"])) for row in csv.DictReader(file)] == [
            (column["column"], column["importance"]) for column in found["columns"]
        ]
    assert found["columns"][0]["column"] in [t for _, _, t, _ in texts(files[2].read_text())]
    assert main(["explain", "people", "--repeats", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert main(["explain", "people", "--top", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "and 3 more columns"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["people", "-o", "x.png"], 2,
         "`--output` must be a file whose name ends in `.json`, `.csv` or `.svg`, got `x.png`"),
        (["people", "--part", "tset"], 2,
         "`--part` must be one of `train`, `validation`, `test`, got `tset`\nhint: did you mean `test`?"),
        (["people", "--repeats", "0"], 2, "`--repeats` must be at least 1, got `0`"),
        (["people", "--rows", "0"], 2, "`--rows` must be at least 1, got `0`"),
        (["people", "--points", "9"], 2, "`--points` must be given together with `--dependence`" + TRY),
        (["people", "--dependence", "job", "--repeats", "3"], 2,
         "`--repeats` must not be given together with `--dependence`, where it has no effect" + TRY),
        (["people", "-d", "jab"], 2,
         "`--dependence` must be one of `age`, `job`, `income`, `town`, got `jab`\nhint: did you mean `job`?"),
        (["people", "others.csv", "--part", "test"], 2, "`--part` must be left out where files are given" + TRY),
    ],
)  # fmt: skip
def test_what_the_command_refuses(here, arguments, code, message, capsys):
    assert main(["explain", *arguments]) == code
    assert capsys.readouterr().err == f"fastbp: {message}\n"
    assert not Path("x.png").exists()


def test_a_network_with_preprocessing_is_explained_with_tables_in_python(here):
    net, others = fb.load("people/best.safetensors"), list(rows(60, seed=1))
    run = explain("people").importance
    found = fb.importance(net, "others.csv")
    assert found.drops.tobytes() == run.drops.tobytes()
    table = {name: [row[i] for row in others] for i, name in enumerate(HEAD)}
    answers = table.pop("answer")
    assert fb.importance(net, table, answers).drops.tobytes() == run.drops.tobytes()
    said = fb.dependence(net, table, "income", points=3)
    assert said.values[-1] is None
    for value, mean in zip(said.values, said.mean, strict=True):
        one = net.predict({**table, "income": [value] * 60}, probabilities=True)
        assert mean == pytest.approx([one["answer = no"].mean(), one["answer = yes"].mean()], abs=1e-6)


def test_rows_are_drawn_by_the_seed_where_there_are_many(here, capsys):
    assert main(["explain", "people", "--part", "train", "--rows", "50"]) == 0
    train = len(subject_at("people").parts["train"])
    assert f" on 50 of {train} train rows, 5 shuffles of each column" in capsys.readouterr().out
    assert main(["explain", "people", "--part", "train", "--rows", "50", "-d", "job"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"answer = yes by `job` on 50 of {train} train rows"


def test_packs_and_bare_ensembles_are_explained_with_arrays():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 3)).astype(np.float32)
    y = X[:, :1] * X[:, 1:2]
    pack = fb.Pack([fb.mlp([3, 16, 1], activation="tanh", seed=seed) for seed in range(3)], loss="mse")
    pack.fit(X, y, epochs=30)
    found = fb.importance(pack, X, y, "rmse")
    ensemble = fb.Ensemble(pack)
    assert found.drops.tobytes() == fb.importance(ensemble, X, y, "rmse").drops.tobytes()
    assert found.score == pytest.approx(fb.metrics.rmse(y, ensemble.predict(X)), rel=1e-6)
    said = fb.dependence(pack, X, 0, points=4)
    X[:, 0] = said.values[2]
    assert said.mean[2, 0] == pytest.approx(ensemble.predict(X).mean(), abs=1e-6)


def test_bars_are_as_long_as_their_numbers_and_start_at_zero():
    picture = bars("Worth", [[Bar("a", 4.0, 1.0), Bar("b", -1.0), Bar("c" * 90, None)]], ["accuracy"])
    shown = [r for r in parsed(picture).iter(f"{SVG}rect") if r.get("class") == "s0fill"]
    a, b = ((float(r.get("x")), float(r.get("width"))) for r in shown)
    assert a[1] == pytest.approx(4 * b[1], abs=0.3)
    assert a[0] == pytest.approx(b[0] + b[1], abs=0.11)
    assert {"4", "-1", "none"} <= {t for _, _, t, _ in texts(picture)}
    assert inside(picture)
    assert styled(picture)
    for odd in ([], [Bar("a", 0.0)], [Bar("a", None)]):
        assert inside(bars("Worth", [odd], ["accuracy"]))
