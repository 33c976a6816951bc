"""Sweeps of configurations and functions: what is trained, told, kept and shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp as fb
from fastbp.cli.main import main

optuna = pytest.importorskip("optuna")

CONFIG = {
    "name": "tiny",
    "data": {"source": "blobs", "rows": 120, "noise": 2.0},
    "network": {"hidden": [8]},
    "trainer": {"epochs": 5, "metrics": ["accuracy"]},
}
SPACE = {
    "trainer.optimizer.lr": {"log": [1e-3, 1e-1]},
    "trainer.batch_size": [8, 16],
    "network.norm": [None, "layer_norm"],
    "network.dropout": {"uniform": [0, 0.5], "when": {"network.norm": "layer_norm"}},
}


def sweep(path, space=SPACE, config=CONFIG, **words):
    return fb.sweep(config, space, storage=path / "study", **{"trials": 8, **words})


def rows(study):
    return sorted((row.number, row.state, row.value, row.epochs, str(row.settings)) for row in study.rows)


def test_a_trial_is_the_run_of_its_configuration(tmp_path, monkeypatch):
    study = sweep(tmp_path, trials=4, pruner="none")
    monkeypatch.chdir(tmp_path)
    assert len(study) == 4
    for row in study.rows:
        data = json.loads(json.dumps(CONFIG))
        for key, value in row.settings.items():
            section, *path = key.split(".")
            at = data[section]
            for part in path[:-1]:
                at = at.setdefault(part, {"name": "adam"})
            at[path[-1]] = value
        (tmp_path / "alone.json").write_text(json.dumps({**data, "name": f"tiny-{row.number:05d}"}))
        assert main(["train", "alone.json", "--run-dir", f"alone{row.number}", "-q"]) == 0
        mine, own = study.folder.run(row.number), tmp_path / f"alone{row.number}"
        for name in ("config.yaml", "metrics.jsonl", "history.csv", "best.safetensors", "last.safetensors"):
            assert own.joinpath(name).read_text("latin-1").replace("threads: null", "threads: 1") == mine.joinpath(
                name
            ).read_text("latin-1")
        theirs, ours = (json.loads((run / "result.json").read_text()) for run in (own, mine))
        assert {k: theirs[k] for k in ("metrics", "baseline", "report", "best_epoch")} == {
            k: ours[k] for k in ("metrics", "baseline", "report", "best_epoch")
        }
        assert row.value == theirs["metrics"]["validation"]["loss"]
        assert fb.load(mine).predict([[0.0, 0.0]]).shape == (1, 3)


@pytest.mark.parametrize("keep", ["run", "result"])
def test_a_pack_of_trials_has_the_scores_that_each_has_alone(keep, tmp_path):
    words = {"sampler": "random", "pruner": "none", "keep": keep, "trials": 16}
    alone = sweep(tmp_path / "alone", together=1, **words)
    packed = sweep(tmp_path / "packed", together=4, **words)
    assert rows(packed) == rows(alone)
    if keep == "run":
        for number in range(16):
            a, b = (one.folder.run(number) / "best.safetensors" for one in (alone, packed))
            assert a.read_bytes() == b.read_bytes()


def test_trials_are_packed_where_they_may_be(tmp_path, monkeypatch):
    from fastbp.studies.together import Together

    sizes = []
    train = Together.train
    monkeypatch.setattr(Together, "train", lambda self: sizes.append(len(self.runs)) or train(self))
    sweep(tmp_path / "a", trials=40, pruner="none")
    assert max(sizes) == 4
    sizes.clear()
    sweep(tmp_path / "b", {**SPACE, "data.scale": ["standard", "none"]}, trials=40, pruner="none")
    assert sizes == []


def test_a_pack_with_a_pruner_is_the_same_each_time(tmp_path):
    words = {"trials": 40, "pruner": {"name": "median", "startup": 3}}
    first, second = sweep(tmp_path / "a", **words), sweep(tmp_path / "b", **words)
    assert rows(first) == rows(second)
    assert {"complete", "pruned"} <= {row.state for row in first.rows}


def test_only_results_stay_if_that_is_wanted(tmp_path):
    study = sweep(tmp_path, keep="result")
    names = sorted(file.name for file in (study.folder.path / "trials").iterdir())
    assert names == [f"{i:05d}.json" for i in range(8)]
    best = json.loads(study.folder.result(study.best.number).read_text())
    assert best["value"] == study.best_value == study.optuna.best_value
    assert best["settings"] == study.best_settings
    assert set(best["metrics"]) == {"train", "validation", "test"}
    assert study.best_run is None


def test_metrics_are_sought_upwards(tmp_path):
    config = {**CONFIG, "trainer": {**CONFIG["trainer"], "monitor": "val_accuracy"}}
    study = sweep(tmp_path, config=config)
    assert study.optuna.direction.name == "MAXIMIZE"
    done = [row for row in study.rows if row.state == "complete"]
    assert [row.value for row in done] == sorted((row.value for row in done), reverse=True)
    assert all(row.value == row.metrics["validation"]["accuracy"] for row in done)


def test_more_trials_go_on_and_other_settings_are_refused(tmp_path):
    first = sweep(tmp_path, trials=4, pruner="none")
    again = sweep(tmp_path, trials=4, pruner="none")
    assert rows(again) == rows(first)
    more = sweep(tmp_path, trials=6, pruner="none")
    assert rows(more)[:4] == rows(first)
    assert len(more) == 6
    with pytest.raises(fb.CheckpointError) as info:
        sweep(tmp_path, trials=6)
    assert str(info.value) == (
        f"`{tmp_path / 'study' / 'sweep.yaml'}` must keep the study's settings, got `null` as `sweep.pruner`, which was"
        " `none`\nhint: another `--storage` begins another study; `sweep.trials` may change"
    )


def test_a_study_without_a_trial_may_be_corrected(tmp_path):
    config = {**CONFIG, "data": {"path": str(tmp_path / "none.csv"), "target": "y"}}
    with pytest.raises(fb.DataError):
        sweep(tmp_path, config=config)
    assert len(sweep(tmp_path, trials=2)) == 2


def test_diverged_trials_fail_and_others_go_on(tmp_path):
    space = {"trainer.optimizer.lr": [1e-2, 1e30]}
    config = {**CONFIG, "trainer": {"epochs": 3, "optimizer": "sgd"}}
    study = sweep(tmp_path, space, config, sampler="grid", together=2)
    assert [row.state for row in study.rows] == ["complete", "failed"]
    assert "not finite" in study.rows[1].why or "finite" in study.rows[1].why
    assert study.best_settings == {"trainer.optimizer.lr": 1e-2}


def test_a_sweep_of_nothing_but_failures_says_why(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    config = {**CONFIG, "data": {"path": str(table), "target": "y"}}
    with pytest.raises(fb.DataError):
        sweep(tmp_path, {"data.split.column": ["a", "b", "c", "d"]}, config, sampler="grid")


def test_a_grid_has_each_combination_once_and_ends_there(tmp_path):
    space = {"trainer.batch_size": [8, 16], "network.norm": [None, "layer_norm"]}
    study = sweep(tmp_path, space, trials=None, sampler="grid", pruner="none", keep="result")
    found = sorted((row.settings["trainer.batch_size"], str(row.settings["network.norm"])) for row in study.rows)
    assert found == [(8, "None"), (8, "layer_norm"), (16, "None"), (16, "layer_norm")]


@pytest.mark.parametrize(
    "sampler", ["tpe", "random", "nsga2", {"name": "tpe", "startup": 2}, {"name": "nsga2", "population": 3}]
)
def test_samplers_are_the_same_each_time(sampler, tmp_path):
    words = {"sampler": sampler, "keep": "result", "together": 1, "trials": 12}
    assert rows(sweep(tmp_path / "a", **words)) == rows(sweep(tmp_path / "b", **words))
    other = sweep(tmp_path / "c", seed=1, **words)
    assert rows(other) != rows(sweep(tmp_path / "a", **words))


@pytest.mark.parametrize("sampler", ["cmaes", "qmc"])
def test_samplers_that_need_more_say_so_or_work(sampler, tmp_path):
    needs = {"cmaes": "cmaes", "qmc": "scipy"}[sampler]
    try:
        __import__(needs)
    except ImportError:
        with pytest.raises(fb.DependencyError) as info:
            sweep(tmp_path, sampler=sampler)
        assert str(info.value) == (
            f"the sampler `{sampler}` needs {needs}, which is not installed\nhint: pip install {needs}"
        )
    else:
        words = {"sampler": sampler, "keep": "result", "together": 1}
        first = sweep(tmp_path / "a", **words)
        assert rows(first) == rows(sweep(tmp_path / "b", **words))
        values = [row.settings["trainer.optimizer.lr"] for row in first.rows]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    "pruner",
    [
        "halving",
        "hyperband",
        {"name": "percentile", "percentile": 10, "startup": 1},
        {"name": "threshold", "upper": 0.5, "warmup": 1},
    ],
)
def test_pruners_end_runs_early(pruner, tmp_path):
    study = sweep(tmp_path, pruner=pruner, trials=30, keep="result", sampler="random")
    pruned = [row for row in study.rows if row.state == "pruned"]
    assert pruned
    assert all(row.epochs < 5 for row in pruned)
    if isinstance(pruner, dict) and pruner["name"] == "threshold":
        assert all(row.epochs >= 2 and row.value > 0.5 for row in pruned)


def test_nothing_is_prepared_twice_that_trials_share(tmp_path, monkeypatch):
    from fastbp.runs import subject

    calls = []
    prepare = subject.prepare
    monkeypatch.setattr(subject, "prepare", lambda *a: calls.append(1) or prepare(*a))
    sweep(tmp_path / "a", keep="result")
    assert len(calls) == 1
    sweep(tmp_path / "b", {**SPACE, "data.scale": ["standard", "none"]}, keep="result")
    assert len(calls) == 3


# Functions


def parabola(trial):
    x, k = trial.suggest_float("x", -1, 1), trial.suggest_categorical("k", ["a", "b"])
    for step in range(3):
        trial.report((x - 0.5) ** 2 + (k == "a"), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return (x - 0.5) ** 2 + (k == "a")


def test_a_function_is_searched(tmp_path):
    study = fb.sweep(parabola, trials=40)
    again = fb.sweep(parabola, trials=40)
    assert rows(study) == rows(again)
    assert study.best_value < 0.05
    assert study.best_settings == study.optuna.best_params
    assert study.best_settings["k"] == "b"
    assert set(study.importance) == {"x", "k"}
    folder = study.folder.path
    assert folder.is_dir()
    del study
    assert not folder.exists()


def test_a_function_is_searched_by_several_processes_and_upwards(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import fastbp as fb\n"
        "def up(trial):\n"
        "    return -((trial.suggest_float('x', -1, 1) - 0.5) ** 2)\n"
        "if __name__ == '__main__':\n"
        "    study = fb.sweep(up, trials=30, jobs=2, mode='max', storage='s')\n"
        "    print(len(study), study.best_value > -0.05)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([sys.executable, "script.py"], **words)
    assert (done.stdout, done.stderr) == ("30 True\n", "")


HIDDEN = """
import sys, types
import fastbp as fb
module = types.ModuleType("hidden")
sys.modules["hidden"] = module
exec("def up(trial): return 0.0", module.__dict__)
if __name__ == "__main__":
    try:
        fb.sweep(module.up, jobs=2, storage="s")
    except fb.FastbpError as error:
        print(error)
"""


def test_a_function_that_processes_cannot_import_ends_the_sweep(tmp_path):
    (tmp_path / "script.py").write_text(HIDDEN.replace("sys.modules[", "if __name__ == '__main__': sys.modules["))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([sys.executable, "script.py"], **words)
    assert "ended with code 1, which it says more of above" in done.stdout
    assert "No module named 'hidden'" in done.stderr


def test_an_error_of_a_function_is_told_and_raised(tmp_path):
    def broken(trial):
        trial.suggest_int("n", 1, 3)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fb.sweep(broken, storage=tmp_path / "s")
    study = fb.sweep(lambda trial: trial.suggest_int("n", 1, 3), trials=4, storage=tmp_path / "s")
    assert [row.why for row in study.rows if row.state == "failed"] == ["RuntimeError: no"]
    assert len(study) == 4


@pytest.mark.parametrize(
    ("objective", "words", "message"),
    [
        (3, {}, "`objective` must be a function of a trial, a configuration as a dict, or its file, got `3`"),
        (parabola, {"space": {}}, "`space` must be left out where the objective is a function, got `{}`"),
        (parabola, {"mode": "down"}, "`mode` must be one of `min`, `max`, got `down`"),
        (parabola, {"jobs": 0}, "`jobs` must be at least 1, got `0`"),
        (parabola, {"trials": 0}, "`trials` must be at least 1, got `0`"),
        (parabola, {"sampler": "tep"}, "`sampler` must be one of "),
        (parabola, {"sampler": "grid"}, "`sampler` must not be `grid` with a function"),
        (lambda trial: 0, {"jobs": 2}, "`objective` must be a function at the top of a module with `jobs` above 1"),
        ({"data": {"source": "moons"}}, {}, "`sweep` must be given, with a `space` of what is searched"),
        (
            CONFIG,
            {"space": SPACE, "mode": "max"},
            "`mode` must be left out where the objective is a configuration, whose `trainer.monitor` says it",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(objective, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fb.ConfigError) as info:
        fb.sweep(objective, **words)
    assert str(info.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


# Commands


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = {**CONFIG, "sweep": {"trials": 12, "sampler": "random", "space": SPACE}}
    (tmp_path / "s.json").write_text(json.dumps(said))
    return "s.json"


def test_the_command_ranks_its_trials(file, capfd):
    assert main(["sweep", file, "--jobs", "1"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("trial  val_loss  test loss  test accuracy     state  best epoch")
    assert "\nsetting" in out
    assert out.endswith("study folder sweeps/tiny\n")
    assert "12/12 trials" in err
    assert main(["sweep", "show", "sweeps/tiny", "--top", "3", "-o", "t.csv", "-o", "t.json"]) == 0
    shown, err = capfd.readouterr()
    assert [line.split() for line in shown.split("\n")[1:4]] == [line.split() for line in out.split("\n")[1:4]]
    assert "and 9 more" in shown
    assert err.split("\n")[:2] == ["wrote t.csv", "wrote t.json"]
    lines = Path("t.csv").read_text().splitlines()
    assert len(lines) == 13
    assert lines[0].startswith("trial,state,value,trainer.optimizer.lr,trainer.batch_size,network.norm")
    assert Path("sweeps/tiny/importance.svg").read_text().startswith("<svg")
    assert main(["sweep", "show", "sweeps/tiny", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert data == json.loads(Path("t.json").read_text())
    assert [one["trial"] for one in data["trials"]] == [int(line.split(",")[0]) for line in lines[1:]]


def test_the_command_is_quiet_and_gives_json(file, capfd):
    assert main(["sweep", file, "--jobs", "1", "-q", "--json", "--set", "sweep.trials=3"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert len(json.loads(out)["trials"]) == 3


def test_check_says_what_is_searched(file, capfd):
    assert main(["check", file]) == 0
    assert capfd.readouterr().out.endswith(
        "\n12 trials, chosen by `random`, pruned by `median`\n"
        "trainer.optimizer.lr  log-uniform between 0.001 and 0.1\n"
        "trainer.batch_size    one of 8, 16\n"
        "network.norm          one of null, layer_norm\n"
        "network.dropout       uniform between 0 and 0.5, where `network.norm` is layer_norm\n"
    )
    assert main(["check", file, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["sweep"]["trials"] == 12


def test_a_time_limit_stops_a_sweep(file, capfd):
    assert main(["sweep", file, "--jobs", "1", "--time-limit", "0.1", "--set", "sweep.trials=100000"]) == 75
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith("fastbp: the time limit of 0.1 seconds is reached\nhint: the same command goes on\n")


def test_never_more_threads_than_processors(file, capfd, monkeypatch):
    from fastbp.studies import party

    monkeypatch.setattr(party, "processors", lambda: 2)
    assert [party.fitting(jobs, 1, 100) for jobs in (None, 1, 2, 3)] == [2, 1, 2, 2]
    assert [party.fitting(jobs, 2, 100) for jobs in (None, 4)] == [1, 1]
    assert party.fitting(None, 3, 100) == 1
    assert party.fitting(2, 1, 1) == 1
    assert main(["sweep", file, "--jobs", "9", "--set", "sweep.trials=12"]) == 0
    said = "fastbp: 2 of 9 processes, with one thread each, are as many as there are processors for\n"
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "s.json"], "s.json:1: `sweep` must be left out where one run is trained\nhint: `fastbp sweep`"),
        (["sweep", "show", "."], "`.` must be the folder of a sweep, but has no `journal.log`"),
        (["sweep", "none.json"], "none.json: a config must be readable"),
        (["sweep", "s.json", "--set", "sweep.trial=3"], "--set sweep.trial=3: `sweep` must have known keys only"),
    ],
)
def test_what_a_command_refuses(words, message, file, capfd):
    assert main(words) != 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"fastbp: {message}")


WITHOUT = """
import sys
sys.modules["optuna"] = None
from fastbp.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_optuna_it_says_what_to_install(file, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", WITHOUT, "sweep", file]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    said = 'fastbp: a sweep needs optuna, which is not installed\nhint: pip install "fastbp[sweep]"\n'
    assert (done.stdout, done.stderr) == ("", said)
