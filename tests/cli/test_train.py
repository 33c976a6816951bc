"""`fastbp train` from the outside: files, output, exit codes, stopping and going on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import fastbp as fb
from fastbp.cli.main import main

ROOT = Path(__file__).parents[2]
CONFIG = """
name: small
data: {source: spirals, rows: 400}
network: {hidden: [16], activation: tanh, dropout: 0.1}
trainer: {epochs: 6, batch_size: 16, optimizer: {name: adam, lr: 0.01}}
run: {checkpoint_seconds: 0}
"""
FILES = {
    *("config.yaml", "environment.json", "metrics.jsonl", "history.csv", "best.safetensors", "last.safetensors"),
    *("checkpoint.safetensors", "curves.svg", "confusion.svg", "calibration.svg", "result.json"),
    *("confusion.csv", "calibration.csv"),
}


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return str(path)


def bits(path):
    return {name: array.tobytes() for name, array in load_file(path).items()}


def process(*arguments, **variables):
    environment = {**os.environ, "FASTBP_QUIET": "1", "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "fastbp", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# What a run leaves behind


def test_a_run_leaves_everything_in_its_folder(config, tmp_path, capsys):
    assert main(["train", config, "--run-dir", "run"]) == 0
    out, err = capsys.readouterr()
    assert {p.name for p in Path("run").iterdir()} == FILES
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 7))
    assert list(lines[0]) == ["epoch", "loss", "val_loss", "val_accuracy", "lr"]
    assert Path("run/history.csv").read_text().splitlines()[0] == ",".join(lines[0])
    assert len(Path("run/history.csv").read_text().splitlines()) == 7
    assert err.count("epoch ") == 6
    assert "epoch 6/6 loss=" in err
    result = json.loads(Path("run/result.json").read_text())
    best = min(lines, key=lambda line: line["val_loss"])["epoch"]
    assert result["best_epoch"] == best
    assert f"best epoch {best} of 6" in out
    assert "run folder run" in out
    assert Path("run/curves.svg").read_text().startswith("<svg")
    environment = json.loads(Path("run/environment.json").read_text())
    assert environment["fastbp"] == fb.__version__


def test_the_best_network_is_the_one_of_the_best_epoch(config):
    assert main(["train", config, "--run-dir", "run", "-q", "--set", "trainer.optimizer.lr=1.0"]) == 0
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    result = json.loads(Path("run/result.json").read_text())
    best = result["best_epoch"]
    assert best < 6  # the rate is so large that the last epoch is not the best
    assert result["metrics"]["validation"]["loss"] == lines[best - 1]["val_loss"]
    assert bits("run/best.safetensors") != bits("run/last.safetensors")


def test_json_is_one_object_with_what_it_came_to(config, capsys):
    assert main(["train", config, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err.count("epoch ") == 6
    assert set(found["metrics"]) == {"train", "validation", "test"}
    assert set(found["metrics"]["test"]) == {"loss", "accuracy"}
    assert Path(found["run_dir"]).parent.name == "runs"
    assert found["seconds"] > 0
    assert found["samples_per_second"] > 0


def test_a_run_folder_has_a_name_a_date_and_four_digits_and_is_never_written_over(config, capsys):
    names = []
    for _ in range(2):
        assert main(["train", config, "-q", "--json", "--set", "trainer.epochs=1"]) == 0
        names.append(Path(json.loads(capsys.readouterr().out)["run_dir"]).name)
    assert names[0] != names[1]
    for name in names:
        stem, day, clock, code = name.split("-")
        assert (stem, len(day), len(clock), len(code)) == ("small", 8, 6, 4)
    assert main(["train", config, "--run-dir", f"runs/{names[0]}"]) == 2
    folder = Path("runs") / names[0]
    assert f"`--run-dir` must be a new or empty folder, got `{folder}`" in capsys.readouterr().err


def test_the_resolved_configuration_runs_again_to_the_same_bits(config):
    main(["train", config, "--run-dir", "one", "-q", "--set", "trainer.epochs=3"])
    main(["train", "one/config.yaml", "--run-dir", "two", "-q"])
    assert Path("one/best.safetensors").read_bytes() == Path("two/best.safetensors").read_bytes()
    assert Path("one/config.yaml").read_text() == Path("two/config.yaml").read_text()
    assert Path("one/metrics.jsonl").read_text() == Path("two/metrics.jsonl").read_text()


def test_what_is_set_wins_over_files_and_later_files_over_earlier(config, tmp_path, capsys):
    Path("more.yaml").write_text("trainer: {epochs: 2, batch_size: 50}\n")
    assert main(["train", config, "-c", "more.yaml", "--set", "trainer.epochs=3", "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert "  epochs: 3\n" in printed
    assert "  batch_size: 50\n" in printed
    assert "lr: 0.01\n" in printed


def test_quiet_says_nothing_on_stderr(config, capsys):
    main(["train", config, "-q"])
    assert capsys.readouterr().err == ""


# The end of a run


def test_early_stopping_ends_it_and_says_so(config, capsys):
    settings = ["--set", "trainer.optimizer.lr=2.0", "--set", "trainer.epochs=80"]
    settings += ["--set", "trainer.early_stopping={patience: 2}"]
    assert main(["train", config, "--run-dir", "run", "-q", *settings]) == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["epochs"] == result["best_epoch"] + 2 < 80
    assert result["stopped"] == "`val_loss` did not improve for 2 epochs"


def test_a_run_that_diverges_keeps_the_best_network_and_exits_with_4(config, capsys):
    code = main(
        [
            "train",
            config,
            "--run-dir",
            "run",
            "-q",
            "--set",
            "trainer.optimizer={name: sgd, lr: 1e30}",
            "--set",
            "network.activation=relu",
        ]
    )
    err = capsys.readouterr().err
    assert code == 4
    assert "loss or gradients must be finite" in err
    assert "first in layer" in err
    assert "hint: a smaller learning rate" in err


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("trainer.epochs=0", 2, "`trainer.epochs` must be at least 1, got `0`"),
        ("trainer.optimizer.lr=-1", 2, "`trainer.optimizer.lr` must be above 0, got `-1.0`"),
        ("trainer.lr_factors={nope: 2.0}", 2, "`trainer.lr_factors` must name layers or parameters"),
        ("trainer.loss=mse", 2, "`trainer.loss` must be one for classes, such as `cross_entropy`"),
        ("data={source: files, path: none.csv, target: y}", 3, "none.csv: must be a file, but does not exist"),
        (
            "network={hidden: null, activation: null, dropout: 0, layers: [{name: linear, features: 7}]}",
            2,
            "`network.layers` must have 3 outputs",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_exit_code_and_leaves_no_folder(config, change, code, message, capsys):
    assert main(["train", config, "--run-dir", "run", "--set", change]) == code
    out, err = capsys.readouterr()
    assert err.startswith("fastbp: ")
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert not Path("run").exists()


# Going on


def whole_run(config, name="whole"):
    assert main(["train", config, "--run-dir", name, "-q"]) == 0
    return bits(f"{name}/checkpoint.safetensors"), Path(f"{name}/metrics.jsonl").read_text()


LONG = (
    CONFIG.replace("epochs: 6", "epochs: 1500")
    .replace("rows: 400", "rows: 2000")
    .replace("batch_size: 16", "batch_size: 8, schedule: cosine, ema: 0.9, accumulate: 2, reduce_lr: {patience: 5}")
)


@pytest.fixture
def long(config):
    Path(config).write_text(LONG)
    return config


def wait_for(path, child):
    for _ in range(600):
        if Path(path).exists() and Path(path).stat().st_size:
            return
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    raise AssertionError(f"no {path}")


def test_a_run_that_is_killed_goes_on_to_the_same_bits_with_other_threads(long):
    expected = whole_run(long)
    rng = np.random.default_rng(0)
    kills = 0
    for i in range(4):
        arguments = ["--resume", "cut"] if i else [long, "--run-dir", "cut"]
        child = process("train", *arguments, "-q", FASTBP_NUM_THREADS=str(1 + i % 2))
        wait_for("cut/config.yaml", child)
        time.sleep(rng.uniform(0.05, 0.3))
        child.kill()
        child.communicate()
        kills += 1
    assert kills == 4
    child = process("train", "--resume", "cut", "-q")
    assert child.communicate()[1] == ""
    assert child.returncode == 0
    assert (bits("cut/checkpoint.safetensors"), Path("cut/metrics.jsonl").read_text()) == expected
    assert bits("cut/best.safetensors") == bits("whole/best.safetensors")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_after_the_chunk_with_a_checkpoint_in_mid_epoch(long, number, code):
    expected = whole_run(long)
    child = process("train", long, "--run-dir", "cut", "-q")
    wait_for("cut/metrics.jsonl", child)
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == code
    assert out == ""
    assert err == f"fastbp: stopped by {number.name}\nhint: go on with `fastbp train --resume cut`\n"
    assert main(["train", "--resume", "cut", "-q"]) == 0
    assert (bits("cut/checkpoint.safetensors"), Path("cut/metrics.jsonl").read_text()) == expected


def test_a_time_limit_stops_it_and_a_later_call_goes_on(long, capsys):
    expected = whole_run(long)
    assert main(["train", long, "--run-dir", "cut", "-q", "--time-limit", "0.15s"]) == 75
    assert "the time limit of 0.15 seconds is reached" in capsys.readouterr().err
    assert not Path("cut/result.json").exists()
    assert main(["train", "--resume", "cut", "-q"]) == 0
    assert (bits("cut/checkpoint.safetensors"), Path("cut/metrics.jsonl").read_text()) == expected


@pytest.mark.parametrize("seconds", [0, 1000])  # a checkpoint at every epoch, or at the end alone
def test_more_epochs_go_on_from_the_last(config, seconds, capsys):
    """Everything in the folder, and what is said, is that of one run of all epochs."""
    rarely = ["-q", "--set", f"run.checkpoint_seconds={seconds}"]
    assert main(["train", config, "--run-dir", "run", *rarely, "--set", "trainer.epochs=2"]) == 0
    few = bits("run/best.safetensors")
    assert main(["train", "--resume", "run", "-q", "--set", "trainer.epochs=6"]) == 0
    capsys.readouterr()
    assert main(["train", config, "--run-dir", "whole", *rarely]) == 0
    assert "best epoch 6 of 6" in capsys.readouterr().out
    same_run("run", "whole")
    assert bits("run/best.safetensors") != few


def same_run(one, other):
    """Both folders tell of the same training to the last bit."""
    for name in ("checkpoint", "best", "last"):
        assert bits(f"{one}/{name}.safetensors") == bits(f"{other}/{name}.safetensors"), name
    for name in ("metrics.jsonl", "history.csv"):
        assert Path(one, name).read_text() == Path(other, name).read_text()
    results = [json.loads(Path(folder, "result.json").read_text()) for folder in (one, other)]
    for name in ("metrics", "best_epoch", "epochs", "steps", "stopped"):
        assert results[0][name] == results[1][name], name


@pytest.mark.parametrize("moment", ["last", "best", "result"])
@pytest.mark.parametrize("began", [0, 2])  # at once, or after a first part whose networks are there
def test_a_run_that_is_cut_off_while_it_writes_its_last_files_ends_when_it_goes_on(config, monkeypatch, moment, began):
    rarely = ["-q", "--set", "run.checkpoint_seconds=1000"]
    assert main(["train", config, "--run-dir", "whole", *rarely]) == 0
    first = ["--resume", "cut", "-q", "--set", "trainer.epochs=6"] if began else [config, "--run-dir", "cut", *rarely]
    if began:
        assert main(["train", config, "--run-dir", "cut", *rarely, "--set", f"trainer.epochs={began}"]) == 0
    real = os.replace

    def dies(source, target):
        if Path(target).stem == moment:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies)
        assert main(["train", *first]) == 130
    assert main(["train", "--resume", "cut", "-q"]) == 0
    same_run("cut", "whole")


def test_a_complete_run_says_again_what_it_came_to(config, capsys):
    main(["train", config, "--run-dir", "run", "-q"])
    before = bits("run/checkpoint.safetensors")
    first = capsys.readouterr().out
    assert main(["train", "--resume", "run", "-q"]) == 0
    again = capsys.readouterr().out
    assert again.splitlines()[:4] == first.splitlines()[:4]
    assert bits("run/checkpoint.safetensors") == before


def test_only_epochs_time_and_patience_may_change(config, capsys):
    main(["train", config, "--run-dir", "run", "-q"])
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--set", "trainer.batch_size=8"]) == 2
    message = (
        "fastbp: --set trainer.batch_size=8: `trainer.batch_size` must stay `16` when a run is resumed,"
        " where epochs, time limit and patience may change, got `8`\n"
    )
    assert capsys.readouterr().err == message


def test_what_is_no_run_cannot_go_on(config, capsys):
    assert main(["train", "--resume", "nothing"]) == 2
    assert capsys.readouterr().err == "fastbp: `nothing` must be the folder of a run, but has no `config.yaml`\n"
    assert main(["train", "--resume", "auto"]) == 2
    message = "fastbp: `--resume auto` must find a run to resume in `runs`\n"
    assert capsys.readouterr().err == message


def test_a_damaged_checkpoint_is_refused(config, capsys):
    main(["train", config, "--run-dir", "run", "-q"])
    path = Path("run/checkpoint.safetensors")
    *whole, last = path.read_bytes()
    path.write_bytes(bytes([*whole, last ^ 1]))
    capsys.readouterr()
    assert main(["train", "--resume", "run"]) == 2
    assert "is damaged: its checksum is wrong" in capsys.readouterr().err


def test_two_processes_do_not_work_on_one_run(config, capsys):
    fcntl = pytest.importorskip("fcntl")
    main(["train", config, "--run-dir", "run", "-q"])
    capsys.readouterr()
    with open("run/.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(["train", "--resume", "run", "--set", "trainer.epochs=9"]) == 2
    assert capsys.readouterr().err == "fastbp: `run` must be a run that no other process uses\n"


def test_a_lock_that_a_dead_process_left_is_nobodys(config):
    main(["train", config, "--run-dir", "run", "-q"])
    Path("run/.lock").write_text("1")
    assert main(["train", "--resume", "run", "-q", "--set", "trainer.epochs=7"]) == 0


def test_auto_is_the_newest_run_finished_or_not(long, capsys):
    settings = ["--set", "run.folder=here", "-q"]
    assert main(["train", long, "--time-limit", "0.05", *settings]) == 75
    (cut,) = Path("here").iterdir()
    assert main(["train", "--resume", "auto", *settings]) == 0
    assert (cut / "result.json").exists()
    assert main(["train", long, "--set", "trainer.epochs=1", *settings]) == 0
    (newest,) = {*Path("here").iterdir()} - {cut}
    capsys.readouterr()
    assert main(["train", "--resume", "auto", "--set", "trainer.epochs=3", *settings]) == 0
    assert len((newest / "metrics.jsonl").read_text().splitlines()) == 3
    assert "nothing" not in capsys.readouterr().err


def test_what_has_nothing_to_train_says_so(config, capsys):
    main(["train", config, "--run-dir", "run", "-q"])
    capsys.readouterr()
    assert main(["train", "--resume", "run", "-q"]) == 0
    assert capsys.readouterr().err == (
        "fastbp: nothing was trained, as `trainer.epochs` is `6` and so many were done before\n"
        "hint: `--set trainer.epochs=12` trains 6 more\n"
    )
    assert main(["train", "--resume", "run", "-q", "--set", "trainer.epochs=3"]) == 2
    assert capsys.readouterr().err == (
        "fastbp: --set trainer.epochs=3: `trainer.epochs` must be at least 6, the epochs begun so far, got `3`,"
        " so nothing was trained\n"
    )
    assert main(["train", "--resume", "run", "-q", "--set", "trainer.epochs=7"]) == 0
    assert capsys.readouterr().err == ""


def test_a_run_that_stopped_early_says_that_nothing_is_left_to_train(config, capsys):
    settings = ["--set", "trainer.optimizer.lr=2.0", "--set", "trainer.epochs=80"]
    settings += ["--set", "trainer.early_stopping={patience: 2}", "-q"]
    assert main(["train", config, "--run-dir", "run", *settings]) == 0
    epochs = json.loads(Path("run/result.json").read_text())["epochs"]
    capsys.readouterr()
    assert main(["train", "--resume", "run", "-q"]) == 0
    assert capsys.readouterr().err == (
        f"fastbp: nothing was trained, as the run has ended after {epochs} epochs: `val_loss` did not improve for 2"
        " epochs\nhint: another `trainer.early_stopping` goes on\n"
    )


def test_the_limit_of_a_call_is_of_that_call_alone(long):
    assert main(["train", long, "--run-dir", "cut", "-q", "--time-limit", "0.05"]) == 75
    assert main(["train", "--resume", "cut", "-q"]) == 0


def test_patience_may_be_added_when_a_run_goes_on(config):
    main(["train", config, "--run-dir", "run", "-q"])
    settings = ["--set", "trainer.epochs=90", "--set", "trainer.early_stopping.patience=2"]
    assert main(["train", "--resume", "run", "-q", *settings]) == 0
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) < 90


def test_a_run_does_not_go_on_with_other_rows(config, capsys):
    Path("t.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(100)))
    Path("t.yaml").write_text("data: {path: t.csv, target: y}\ntrainer: {epochs: 2}\n")
    assert main(["train", "t.yaml", "--run-dir", "run", "-q"]) == 0
    Path("t.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    capsys.readouterr()
    assert main(["train", "--resume", "run", "-q", "--set", "trainer.epochs=3"]) == 2
    message = "fastbp: `run` must be resumed with the same rows, but its files have others\n"
    assert capsys.readouterr().err == message


def test_a_run_finds_its_files_from_another_folder(config, capsys, monkeypatch, tmp_path):
    Path("t.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(100)))
    Path("t.yaml").write_text("data: {path: t.csv, target: y}\ntrainer: {epochs: 2}\n")
    assert main(["train", "t.yaml", "--run-dir", "run", "-q"]) == 0
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert main(["train", "--resume", "../run", "-q", "--set", "trainer.epochs=3"]) == 0
    assert main(["evaluate", "../run", "--json"]) == 0


def test_training_goes_on_when_nobody_reads_its_lines(long):
    child = process("train", long, "--run-dir", "run", "--set", "trainer.epochs=50")
    child.stderr.close()
    assert child.stdout.read().startswith(" ")
    child.stdout.close()
    assert child.wait() == 0


def test_lbfgs_keeps_its_networks_when_its_time_is_up_but_does_not_go_on(config, capsys):
    settings = [
        "--set",
        "trainer.optimizer={name: lbfgs}",
        "--set",
        "network.dropout=0",
        "--set",
        "trainer.epochs=9000",
    ]
    assert main(["train", config, "--run-dir", "run", "-q", "--time-limit", "0.001", *settings]) == 75
    message = (
        "fastbp: the time limit of 0.001 seconds is reached\n"
        "hint: the networks so far are in run, and lbfgs cannot go on from them\n"
    )
    assert capsys.readouterr().err == message
    assert fb.load("run/best.safetensors").inputs == 2
    assert main(["train", "--resume", "run"]) == 2
    message = "fastbp: `--resume` needs an optimiser with steps, and `lbfgs` has none\n"
    assert capsys.readouterr().err == message


def test_a_run_that_is_cut_off_after_its_early_stop_stays_stopped(config, monkeypatch):
    """Between the last epoch's checkpoint and the end of the run there is nothing left to train."""
    settings = ["--set", "trainer.optimizer.lr=2.0", "--set", "trainer.epochs=80"]
    settings += ["--set", "trainer.early_stopping={patience: 2}"]
    assert main(["train", config, "--run-dir", "whole", "-q", *settings]) == 0
    with monkeypatch.context() as patch:
        patch.setattr("fastbp.runs.training.Training.finished", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(["train", config, "--run-dir", "cut", "-q", *settings]) == 130
    assert main(["train", "--resume", "cut", "-q"]) == 0
    assert Path("cut/metrics.jsonl").read_text() == Path("whole/metrics.jsonl").read_text()
    for name in ("checkpoint", "best", "last"):
        assert bits(f"cut/{name}.safetensors") == bits(f"whole/{name}.safetensors")


def test_a_finished_run_that_goes_on_is_unfinished_until_its_end(config):
    main(["train", config, "--run-dir", "run", "-q"])
    settings = ["--set", "trainer.epochs=100000", "--time-limit", "0.05"]
    assert main(["train", "--resume", "run", "-q", *settings]) == 75
    assert not Path("run/result.json").exists()


def test_auto_goes_on_with_a_run_whose_folder_was_given_beside_the_place_to_look(long):
    assert main(["train", long, "-q", "--time-limit", "0.05", "--run-dir", "e/x"]) == 75
    assert main(["train", "--resume", "auto", "-q", "--set", "run.folder=e"]) == 0
    assert Path("e/x/result.json").exists()


def test_a_link_to_nothing_is_no_folder(config, capsys):
    Path("link").symlink_to("nothing")
    assert main(["train", config, "--run-dir", "link"]) == 2
    assert capsys.readouterr().err.startswith("fastbp: `--run-dir` must be a new or empty folder, got a link, `link`\n")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FASTBP_LANES", "7", "`FASTBP_LANES` must be one of `4`, `8`, `16`, got `7`"),
        ("FASTBP_NUM_THREADS", "abc", "`FASTBP_NUM_THREADS` must be a whole number, got `abc`"),
        ("NUMBA_THREADING_LAYER", "foo", "`NUMBA_THREADING_LAYER` must be one that Numba can load, got `foo`"),
    ],
)
def test_an_environment_that_cannot_be_is_a_sentence_about_it(config, variable, value, message):
    command = [sys.executable, "-m", "fastbp", "train", config, "--set", "trainer.epochs=2", "-q"]
    if variable == "NUMBA_THREADING_LAYER":  # enough work for two threads, as one needs no layer
        command += ["--set", "trainer.threads=2", "--set", "network.hidden=[512, 512]"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FASTBP_QUIET": "1", variable: value}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].removeprefix("fastbp: ").removeprefix("validation: ") == message
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("call", ["fb.mlp([2, 2])", "fb.trace(lambda x: x)", "fb.Adam()"])
def test_python_hears_of_a_level_that_there_is_not_as_well(call):
    code = f"import fastbp as fb\ntry:\n    {call}\nexcept fb.ConfigError as error:\n    print(error)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FASTBP_LANES": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("`FASTBP_LANES` must be one of `4`, `8`, `16`, got `7`\n", "")
