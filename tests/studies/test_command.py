"""`fastbp sweep` and `fastbp sweep show`: what they print, write and refuse."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp.cli.main import main
from tests.studies.sought import CONFIG, SPACE

pytest.importorskip("optuna")


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


@pytest.mark.parametrize("keep", ["run", "result"])
def test_the_best_configuration_is_a_file_that_trains_to_the_same_score(keep, file, capfd):
    assert main(["sweep", file, "--jobs", "1", "-q", "--json", "--set", f"sweep.keep={keep}"]) == 0
    best = json.loads(capfd.readouterr().out)["trials"][0]
    assert main(["sweep", "show", "sweeps/tiny", "-o", "best.yaml"]) == 0
    assert main(["train", "best.yaml", "-q", "--run-dir", "again"]) == 0
    assert json.loads(Path("again/result.json").read_text())["metrics"] == best["metrics"]


def test_a_sweep_without_a_trial_that_is_complete_ends_with_a_code(file, capfd):
    words = ["--jobs", "1", "-q", "--set", "trainer.optimizer=sgd", "--set", "sweep.trials=4"]
    space = "sweep.space={trainer.optimizer.lr: {log: [1.0e+20, 1.0e+30]}}"
    assert main(["sweep", file, *words, "--set", space]) == 1
    out, err = capfd.readouterr()
    assert "\n4 trials: 4 failed\n" in out
    assert err == "fastbp: no trial is complete\n"


def test_a_study_that_may_only_be_read_is_shown(file, capfd, monkeypatch):
    assert main(["sweep", file, "--jobs", "1", "-q"]) == 0
    expected = capfd.readouterr().out
    open_ = os.open

    def reading(path, flags, *more, **words):
        if flags & (os.O_RDWR | os.O_WRONLY) and Path(path).absolute().is_relative_to(Path("sweeps").absolute()):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_(path, flags, *more, **words)

    monkeypatch.setattr(os, "open", reading)
    assert main(["sweep", "show", "sweeps/tiny", "--top", "10"]) == 0
    out, err = capfd.readouterr()
    assert out == expected
    assert err == "fastbp: `sweeps/tiny/importance.svg` must be a file that can be written (Permission denied)\n"
    assert main(["sweep", file, "--set", "sweep.trials=13"]) == 1
    assert "must be a file that can be written (Permission denied)" in capfd.readouterr().err


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


def test_the_printed_configuration_has_the_sweep(file, capfd):
    assert main(["check", file, "--print-config", "-q"]) == 0
    printed = capfd.readouterr().out
    Path("again.yaml").write_text(printed)
    assert main(["check", "again.yaml", "--print-config", "-q"]) == 0
    assert capfd.readouterr().out == printed
    found = []
    for path in (file, "again.yaml"):
        assert main(["check", path, "--json"]) == 0
        found.append(json.loads(capfd.readouterr().out))
    assert found[0] == found[1]


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
        (["sweep", "s.json", "--jobs", "0"], "`--jobs` must be at least 1, got `0`"),
        (["sweep", "s.json", "--storage", "sqlite:///s.db"], "`--storage` must be a folder, in which studies are kept"),
        (
            ["sweep", "s.json", "--set", "sweep.space={network.hidden.0: [4, 8]}"],
            "--set sweep.space={network.hidden.0: [4, 8]}: `sweep.space.network.hidden.0` must be in a map, but"
            " `network.hidden` of the configuration is none\nhint: a value of a list is `network.hidden[0]`\n",
        ),
        (
            ["sweep", "s.json", "--set", "trainer.monitor=val_acuracy"],
            "--set trainer.monitor=val_acuracy: `trainer.monitor` must be `loss`, `val_loss`, or `val_` and a metric,"
            " got `val_acuracy`\nhint: did you mean `val_accuracy`?",
        ),
        (
            ["sweep", "s.json", "--storage", "s.json"],
            "`s.json` must be a folder, or where one can be made, got Not a directory",
        ),
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
