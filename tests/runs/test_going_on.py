"""A run that goes on with other settings, as far as those may change, and that is killed while it does."""

import contextlib
import json

import pytest

from fastbp.cli.main import main
from fastbp.model.files import load
from fastbp.runs.training import Training

CONFIG = """
data: {source: digits}
network: {hidden: [16]}
trainer: {epochs: 30, batch_size: 64, optimizer: {name: adam, lr: 0.02}, early_stopping: {patience: 2}}
"""
MORE = ["--set", "trainer.early_stopping.patience=8"]


class Killed(BaseException):
    """In the place of kill -9."""


def run(*arguments):
    return main(["train", *map(str, arguments), "-q"])


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def ended(folder):
    result = json.loads((folder / "result.json").read_text())
    best = load(folder / "best.safetensors")
    return [result[name] for name in ("epochs", "best_epoch", "metrics", "stopped")], best.flat.tobytes()


def test_more_patience_is_not_forgotten_by_a_kill_before_the_first_checkpoint_that_knows_of_it(
    config, tmp_path, monkeypatch
):
    assert run(config, "--run-dir", tmp_path / "whole") == run(config, "--run-dir", tmp_path / "killed") == 0
    assert run("--resume", tmp_path / "whole", *MORE) == 0
    first = json.loads((tmp_path / "killed" / "result.json").read_text())["epochs"]

    def epoch(self, trainer, history):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Training, "epoch", epoch)
        with pytest.raises(Killed):
            run("--resume", tmp_path / "killed", *MORE)
    assert run("--resume", tmp_path / "killed") == 0
    assert ended(tmp_path / "killed") == ended(tmp_path / "whole")
    assert json.loads((tmp_path / "killed" / "result.json").read_text())["epochs"] > first


@pytest.mark.parametrize("early", [False, True], ids=["more epochs", "killed before its first checkpoint"])
def test_a_run_from_before_there_was_a_key_for_learned_tables_keeps_its_own(early, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(
        "c,y\n" + "\n".join(f"{'abcde'[i % 5]},{'uv'[i % 5 % 2]}" for i in range(90)) + "\n"
    )
    (tmp_path / "c.yaml").write_text(
        "data: {path: t.csv, target: y, encode: embedding, embed_std: 1.0}\ntrainer: {epochs: 3}\n"
    )
    more = ["--set", "trainer.epochs=5"]
    assert run("c.yaml", *more, "--run-dir", "whole") == 0
    with monkeypatch.context() as patch:
        if early:
            patch.setattr(Training, "begin", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed) if early else contextlib.nullcontext():
            run("c.yaml", "--run-dir", "old")
    path = tmp_path / "old" / "config.yaml"
    kept = [line for line in path.read_text().splitlines() if "embed_std" not in line]
    path.write_text("\n".join(kept) + "\n")
    assert run("--resume", "old", *more) == 0
    assert ended(tmp_path / "old") == ended(tmp_path / "whole")
    assert "  embed_std: 1.0\n" in path.read_text()


@pytest.mark.parametrize("limit", [[], ["--time-limit", "0.000001"]], ids=["finished", "stopped"])
def test_fewer_epochs_than_were_begun_are_refused(limit, config, tmp_path, capsys):
    target = tmp_path / "run"
    assert run(config, "--run-dir", target, "--set", "trainer.early_stopping=null", *limit) == (75 if limit else 0)
    capsys.readouterr()
    fewer = 0 if limit else 7
    assert run("--resume", target, "--set", f"trainer.epochs={fewer}") == 2
    said = capsys.readouterr().err
    assert "`trainer.epochs` must be at least" in said
    assert said.count("\n") == 1


def test_an_empty_folder_of_the_users_stays_where_nothing_was_trained(config, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    config.write_text("data: {path: nowhere.csv, target: y}\n")
    assert run(config, "--run-dir", folder) == 3
    assert folder.is_dir()
    assert run(config, "--run-dir", tmp_path / "ours") == 3
    assert not (tmp_path / "ours").exists()


def test_auto_finds_a_run_that_has_no_checkpoint_yet(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "begin", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run(config)
    assert run("--resume", "auto") == 0
    (found,) = (tmp_path / "runs").iterdir()
    assert (found / "result.json").is_file()


def test_the_configuration_that_a_run_was_begun_with_goes_on_with_it_though_its_paths_are_relative(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{i % 5},{i % 11}" for i in range(60)]
    for name in ("t.csv", "u.csv"):
        (tmp_path / name).write_text("\n".join(["a,b,y", *rows]) + "\n")
    for path, other in (("t.csv", "u.csv"), ("[t.csv, u.csv]", "[u.csv, t.csv]")):
        (tmp_path / "c.yaml").write_text(f"data: {{path: {path}, target: y}}\ntrainer: {{epochs: 2}}\n")
        folder = f"run of {path}"
        assert run("c.yaml", "--run-dir", folder) == 0
        assert run("c.yaml", "--resume", folder, "--set", "trainer.epochs=3") == 0
        assert json.loads((tmp_path / folder / "result.json").read_text())["epochs"] == 3
        assert run("c.yaml", "--resume", folder, "--set", f"data.path={other}") == 2
        assert "`data.path` must stay" in capsys.readouterr().err


REALMLP = """
preset: realmlp-td
data: {path: t.csv, target: y}
trainer: {epochs: 3, batch_size: 32}
"""


def test_a_run_of_realmlp_that_is_cut_anywhere_ends_as_it_would_have(tmp_path, monkeypatch):
    """Schedules, rows that are left out and ties; a checkpoint that stands within an epoch."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i * 37 % 101},{i % 7},{'abc'[i % 3]},{'uv'[i * i % 11 > 5]}" for i in range(200)]
    (tmp_path / "t.csv").write_text("p,q,f,y\n" + "\n".join(rows) + "\n")
    (tmp_path / "c.yaml").write_text(REALMLP)
    assert run("c.yaml", "--run-dir", "whole") == 0
    run("c.yaml", "--run-dir", "cut", "--set", "trainer.time_limit=1e-6")
    pieces = 1
    while not (tmp_path / "cut" / "result.json").exists() and pieces < 30:
        run("--resume", "cut")
        pieces += 1
    assert pieces > 4
    assert ended(tmp_path / "cut")[1] == ended(tmp_path / "whole")[1]
