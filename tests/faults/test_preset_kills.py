"""Runs of presets that are killed at random epochs, again and again, with another number of threads: the same bits."""

import random

import numpy as np
import pytest

from fastbp.config.presets import presets
from tests.faults import jobs
from tests.faults.server import WHOLE, can_run, told
from tests.faults.test_pack_kills import told as told_of_pack

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that the server preloads")
ROUNDS = 10 if WHOLE else 1
ROWS = 400
KILLS = 6  # of each run, at most

RUNS = {  # with less to do than they have, and their best epochs well before their last
    "plain": ["trainer.epochs=80", "trainer.optimizer.lr=0.02"],
    "realmlp-td": ["trainer.epochs=60", "network.hidden=[24, 24]"],
    "tabm-mini": ["network.tabm.k=4", "network.hidden=[16, 16]", "trainer.epochs=40"],
    "tabm": ["network.tabm.k=3", "network.hidden=[16, 16]", "trainer.epochs=30"],
    "tabpack": ["pack.members=4", "network.hidden=[16, 16]", "trainer.epochs=60", "trainer.batch_size=16"],
    "tabpack-muon": ["pack.members=3", "network.hidden=[8, 16]", "trainer.epochs=30", "trainer.batch_size=16"],
    "thorough": ["pack.members=3", "pack.folds=3", "trainer.epochs=40", "trainer.optimizer.lr=0.03"],
}


def table(path):
    """Numbers, one with holes, categories, and two classes of them."""
    rng = np.random.default_rng(0)
    lines = ["a,b,c,y"]
    for i in range(ROWS):
        a, b, c = rng.normal(), rng.normal(), int(rng.integers(12))
        said = abs(a) + 0.5 * b + 0.3 * (c % 3) + 0.3 * rng.normal() > 0.9
        lines.append(f"{a:.4f},{'' if i % 17 == 0 else f'{b:.4f}'},k{c},{'yes' if said else 'no'}")
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", RUNS if WHOLE else ["plain", "tabm-mini", "tabpack", "thorough"])
def test_presets_that_are_killed_end_on_the_same_bits(name, server, tmp_path, capsys):
    rng = random.Random(name)
    table(tmp_path / "t.csv")
    config = tmp_path / "config.yaml"
    config.write_text(f"preset: {name}\ndata: {{path: {tmp_path / 't.csv'}, target: y}}\n")
    start = ["train", str(config), "-q", *(word for setting in RUNS[name] for word in ("--set", setting))]
    status, said, _ = server.run(*start, "--run-dir", str(tmp_path / "whole"), threads=2)
    assert status == 0, said
    all_of = told_of_pack if presets()[name].pack else told
    expected = all_of(tmp_path / "whole")
    kills = 0
    for i in range(ROUNDS):
        target, begun = tmp_path / f"cut{i}", 0
        command, status = [*start, "--run-dir", str(target)], -9
        while status == -9:
            checkpoints, threads = rng.randint(1, 15) if begun < KILLS else 10**6, rng.choice([1, 2, 3])
            status, said, _ = server.call(jobs.train_until, checkpoints, *command, threads=threads)
            begun += status == -9
            if (target / "config.yaml").is_file():
                command = ["train", "--resume", str(target), "-q"]
        assert status == 0, said
        assert all_of(target) == expected, f"round {i}"
        kills += begun
    assert kills > 2 * ROUNDS
    with capsys.disabled():
        print(f" {kills} kills", end="")
