"""Runs of packs that are killed at random moments, again and again, with another number of threads: the same bits."""

import json
import random

import pytest

from tests.faults.server import WHOLE, can_run, end_of

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that the server preloads")
ROUNDS = 20 if WHOLE else 2

CONFIG = """
name: pack
data: {source: spirals, rows: 900, noise: 0.3}
network: {hidden: [8], activation: tanh, dropout: 0.1, norm: batch_norm}
trainer: {epochs: 30, batch_size: 16, ema: 0.9, metrics: [accuracy, f1_macro], monitor: val_f1_macro}
pack:
  members: 4
  space:
    trainer.optimizer.lr: {log: [1.0e-3, 1.0e-1]}
    trainer.batch_size: [8, 16, 50]
    trainer.epochs: {int: [20, 40]}
    trainer.accumulate: [1, 3]
run: {checkpoint_seconds: 0.02}
"""
RUNS = {
    "members": [],
    "folds": ["pack.members=2", "pack.folds=3"],
    "bootstrap": ["pack.bootstrap=0.7", "trainer.reduce_lr={patience: 1}"],
    "patience": ["trainer.early_stopping={patience: 3}", "trainer.monitor=null"],
    "momentum, one cycle": ["trainer.optimizer={name: sgd, momentum: 0.9}", "trainer.schedule=one_cycle"],
    "some diverge": ["trainer.optimizer={name: sgd}", "pack.space.trainer.optimizer.lr=[0.01, 1e25]"],
    "numbers": ["data={source: friedman, rows: 900}", "trainer.metrics=[mae]", "trainer.monitor=val_mae"],
    "without validation": ["data.split.validation=0.0", "trainer.metrics=[]", "trainer.monitor=null"],
    "within epochs": [
        *("data.rows=16000", "trainer.epochs=2", "trainer.accumulate=3", "trainer.early_stopping={patience: 1}"),
        *("pack.space.trainer.epochs=[2]", "pack.space.trainer.accumulate=[3]", "pack.space.trainer.batch_size=[4, 8]"),
    ],
    "online": ["pack.online={size: 6, patience: 7}", "trainer.early_stopping={patience: 4}"],
    "online, some diverge": [
        *("pack.online={size: 4, patience: null}", "trainer.optimizer={name: sgd}"),
        "pack.space.trainer.optimizer.lr=[0.01, 1e25]",
    ],
    "online, muon": [
        *("pack.online={}", "trainer.optimizer=muon", "network.hidden=[8, 12]", "trainer.early_stopping={patience: 9}"),
        "pack.space.trainer.optimizer.muon_lr={log: [1e-3, 0.1]}",
    ],
    "often": ["run.checkpoint_seconds=0"],
    "rarely": ["run.checkpoint_seconds=1000"],
}


def told(folder):
    """All that two runs of the same training must have in common."""
    from safetensors.numpy import load_file

    arrays = {
        path.name: {key: array.tobytes() for key, array in load_file(path).items()}
        for path in sorted(folder.glob("*.safetensors"))
    }
    kinds = (".csv", ".jsonl", ".yaml", ".svg")
    texts = [path.read_text() for path in sorted(folder.iterdir()) if path.suffix in kinds]
    result = json.loads((folder / "result.json").read_text())
    left_out = ("run_dir", "seconds", "samples_per_second", "gflops", "share_of_peak")
    return arrays, texts, {key: value for key, value in result.items() if key not in left_out}


@pytest.mark.parametrize("name", RUNS if WHOLE else ["folds", "bootstrap", "some diverge", "within epochs", "online"])
def test_packs_that_are_killed_end_on_the_same_bits(name, server, tmp_path, capsys):
    rng = random.Random(name)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    start = ["train", str(config), "-q", *(word for setting in RUNS[name] for word in ("--set", setting))]
    status, said, _ = server.run(*start, "--run-dir", str(tmp_path / "whole"), threads=2)
    assert status == 0, said
    whole_took = server.cpu
    expected = told(tmp_path / "whole")
    kills = 0
    for i in range(ROUNDS):
        target = tmp_path / f"cut{i}"
        _, killed = end_of(server, start, target, rng, lambda _: rng.uniform(0.05, max(0.2, whole_took)))
        kills += killed
        assert told(target) == expected, f"round {i}"
    assert kills
    with capsys.disabled():
        print(f" {kills} kills", end="")
