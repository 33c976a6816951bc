"""Runs that are killed at random moments, again and again, with another number of threads each time: the same bits.

Here a few of them; a thousand by `scripts/faults`, which prints how many there were.
"""

import random

import pytest

from tests.faults.server import CONFIG, WHOLE, can_run, end_of, told

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that the server preloads")
ROUNDS = 20 if WHOLE else 1

RUNS = {
    "adamw, averages": [],
    "momentum, one cycle": ["trainer.optimizer={name: sgd, momentum: 0.9, lr: 0.05}", "trainer.schedule=one_cycle"],
    "nesterov, cosine": [
        "trainer.optimizer={name: sgd, momentum: 0.9, nesterov: true, lr: 0.05}",
        "trainer.schedule=cosine",
    ],
    "sgd, accumulated": ["trainer.optimizer={name: sgd, lr: 0.1}", "trainer.accumulate=3"],
    "nadam, clipped": ["trainer.optimizer={name: nadam, lr: 0.01}", "trainer.clip_norm=0.5"],
    "radam": ["trainer.optimizer={name: radam, lr: 0.01}"],
    "amsgrad": ["trainer.optimizer={name: adam, amsgrad: true, lr: 0.01}"],
    "rmsprop, centred": ["trainer.optimizer={name: rmsprop, centered: true, momentum: 0.5, lr: 0.01}"],
    "adagrad": ["trainer.optimizer={name: adagrad, lr: 0.05}"],
    "adadelta": ["trainer.optimizer={name: adadelta, lr: 1.0}"],
    "lion, layer norm": ["trainer.optimizer={name: lion, lr: 0.001}", "network.norm=layer_norm"],
    "muon, slower": [
        "trainer.optimizer={name: muon, muon_lr: 0.05}",
        "trainer.reduce_lr={patience: 1, factor: 0.7}",
        "network.hidden=[16, 24]",
    ],
    "float64": ["dtype=float64"],
    "slower and slower": ["trainer.reduce_lr={patience: 1}", "trainer.optimizer={name: adam, lr: 0.1}"],
    "stopped early": ["trainer.early_stopping={patience: 2}", "trainer.optimizer={name: adam, lr: 0.5}"],
    "penalty, frozen": ["trainer.penalty=1e-4 * abs(w)", 'trainer.frozen=["0.bias"]'],
    "factors": ['trainer.lr_factors={"0": 0.1}', 'trainer.decay_factors={"4": 2.0}'],
    "numbers": ["data={source: friedman}", "trainer.loss=huber", "trainer.metrics=[mae]"],
    "metrics": ["trainer.metrics=[accuracy, f1_macro]", "trainer.monitor=val_f1_macro"],
    "often": ["run.checkpoint_seconds=0"],
    "rarely": ["run.checkpoint_seconds=1000"],
    "another seed": ["seed=7"],
    "large batches": ["trainer.batch_size=400"],
    "a deeper net": ["network.hidden=[16, 16, 16]"],
    "a formula": ["network.activation=x / (1 + abs(x))"],
}


@pytest.mark.parametrize(
    "name", RUNS if WHOLE else ["adamw, averages", "momentum, one cycle", "stopped early", "rarely"]
)
def test_runs_that_are_killed_end_on_the_same_bits(name, server, tmp_path, capsys):
    rng = random.Random(name)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    settings = ["data.rows=1500", "trainer.epochs=60", "trainer.early_stopping=null", "run.checkpoint_seconds=0.02"]
    own = {setting.partition("=")[0] for setting in RUNS[name]}
    settings = [setting for setting in settings if setting.partition("=")[0] not in own]
    words = [word for setting in [*settings, *RUNS[name]] for word in ("--set", setting)]
    start = ["train", str(config), "-q", *words]
    status, said, _ = server.run(*start, "--run-dir", str(tmp_path / "whole"), threads=2)
    assert (status, said) == (0, "")
    expected = told(tmp_path / "whole")
    kills = 0

    def moment(attempt):
        return rng.choice([rng.uniform(0.01, 0.1), rng.uniform(0.01, 0.4 if attempt else 0.6)])

    for i in range(ROUNDS):
        target = tmp_path / f"cut{i}"
        every, killed = end_of(server, start, target, rng, moment)
        assert all(said == "" or said.startswith("fastbp: nothing was trained, ") for said in every), every
        kills += killed
        assert told(target) == expected, f"round {i}"
    assert kills
    with capsys.disabled():
        print(f" {kills} kills", end="")
