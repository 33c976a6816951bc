"""Sweeps of configurations: what is trained, told and kept."""

import json

import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.studies import sweeping
from tests.studies.sought import CONFIG, SPACE, rows

pytest.importorskip("optuna")


def sweep(path, space=SPACE, config=CONFIG, **words):
    return fb.sweep(config, space, storage=path / "study", **{"trials": 8, **words})


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


MORE = [
    {"network": {"hidden": [8], "tabm": {"k": 3}}, "trainer": {"epochs": 4, "ema": 0.9}},
    {
        "network": {"hidden": [8]},
        "trainer": {"epochs": 12, "calibrate": "temperature", "early_stopping": {"patience": 1}},
    },
    {
        "network": {"hidden": [8]},
        "trainer": {"epochs": 6, "reduce_lr": {"patience": 1}, "accumulate": 2, "clip_norm": 0.1},
    },
    {
        "data": {"source": "friedman", "rows": 90},
        "network": {"hidden": [8]},
        "trainer": {"epochs": 4, "monitor": "val_r2"},
    },
    {"data": {"source": "moons", "rows": 90, "split": {"validation": 0}}, "trainer": {"epochs": 4}},
]


@pytest.mark.parametrize("more", MORE)
def test_so_it_is_whatever_is_trained(more, tmp_path):
    space = {"trainer.optimizer.lr": {"log": [1e-3, 1e-1]}, "trainer.batch_size": [8, 16]}
    words = {"sampler": "random", "pruner": "none", "trials": 32, "keep": "result"}
    config = {"name": "more", "data": CONFIG["data"], **more}
    alone = sweep(tmp_path / "alone", space, config, together=1, **words)
    assert rows(sweep(tmp_path / "packed", space, config, together=4, **words)) == rows(alone)
    assert {row.state for row in alone.rows} == {"complete"}


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


def test_of_two_sweeps_that_begin_one_study_at_once_one_is_refused(tmp_path, monkeypatch):
    """The other comes between the beginning of the first and its first trial, when the study may still be corrected."""
    begun = sweeping.Sweeping.begin

    def begin(self):
        opened = begun(self)
        monkeypatch.setattr(sweeping.Sweeping, "begin", begun)
        sweep(tmp_path, {"trainer.batch_size": [8, 16]}, trials=2)
        return opened

    monkeypatch.setattr(sweeping.Sweeping, "begin", begin)
    with pytest.raises(fb.CheckpointError) as info:
        sweep(tmp_path, {"trainer.batch_size": [8, 32]}, trials=3)
    assert str(info.value).splitlines()[0] == (
        f"`{tmp_path / 'study' / 'sweep.yaml'}` must keep the study's settings, got `[8, 32]` as"
        " `sweep.space.trainer.batch_size`, which was `[8, 16]`"
    )


def test_a_study_without_a_trial_may_be_corrected(tmp_path):
    config = {**CONFIG, "data": {"path": str(tmp_path / "none.csv"), "target": "y"}}
    with pytest.raises(fb.DataError):
        sweep(tmp_path, config=config)
    assert len(sweep(tmp_path, trials=2)) == 2


def test_a_study_goes_on_with_the_rows_that_it_began_with(tmp_path):
    table = tmp_path / "t.csv"
    rows_ = "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40))
    config = {**CONFIG, "data": {"path": str(table), "target": "y"}}
    table.write_text(rows_)
    sweep(tmp_path, trials=2, config=config)
    table.write_text(rows_.replace("7,1", "77,1"))
    with pytest.raises(fb.CheckpointError) as info:
        sweep(tmp_path, trials=4, config=config)
    said = f"`{tmp_path / 'study'}` must go on with the rows that it began with, but these are others"
    assert str(info.value) == said
    table.write_text(rows_)
    assert len(sweep(tmp_path, trials=4, config=config)) == 4


def test_diverged_trials_fail_and_others_go_on(tmp_path):
    space = {"trainer.optimizer.lr": [1e-2, 1e30]}
    config = {**CONFIG, "trainer": {"epochs": 3, "optimizer": "sgd"}}
    study = sweep(tmp_path, space, config, sampler="grid")
    assert [row.state for row in study.rows] == ["complete", "failed"]
    assert study.rows[1].why.startswith("loss or gradients must be finite, got ")
    assert study.best_settings == {"trainer.optimizer.lr": 1e-2}


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_trials_of_a_pack_that_diverge_leave_others_as_they_are(pruner, tmp_path):
    space = {"trainer.optimizer.lr": [1e-2, 1e30], "trainer.batch_size": {"int": [8, 23]}}
    config = {**CONFIG, "trainer": {"epochs": 3, "optimizer": "sgd"}}
    words = {"sampler": "grid", "pruner": pruner, "trials": None}
    alone = sweep(tmp_path / "alone", space, config, together=1, **words)
    packed = sweep(tmp_path / "packed", space, config, together=4, **words)
    failed = {row.number: row.why for row in alone.rows if row.state == "failed"}
    assert len(failed) == 16
    assert failed == {row.number: row.why for row in packed.rows if row.state == "failed"}
    if pruner == "none":  # packs know less of others when they end epochs
        assert rows(packed) == rows(alone)


def test_a_sweep_of_nothing_but_failures_says_why(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    config = {**CONFIG, "data": {"path": str(table), "target": "y"}}
    with pytest.raises(fb.FastbpError, match="`c`") as info:
        sweep(tmp_path, {"data.split.column": ["a", "b", "c", "d"]}, config, sampler="grid")
    assert isinstance(info.value, fb.DataError)
    assert sorted(path.name for path in (tmp_path / "study" / "trials").glob("*.json")) == [
        "00000.json",
        "00001.json",
        "00002.json",
    ]


def test_whole_numbers_are_chosen_by_their_logarithm(tmp_path):
    space = {"network.hidden": {"width": {"log_int": [2, 128]}, "depth": 1}, "trainer.batch_size": {"log_int": [8, 8]}}
    study = sweep(tmp_path, space, trials=24, sampler="random", pruner="none", keep="result")
    asked = study.optuna.trials[0].distributions["network.hidden.width"]
    assert (type(asked).__name__, asked.low, asked.high, asked.log) == ("IntDistribution", 2, 128, True)
    widths = [row.settings["network.hidden"][0] for row in study.rows]
    assert {type(one) for one in widths} == {int}
    assert sum(one <= 16 for one in widths) > 8


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
