"""Runs of presets that are killed at random moments, again and again, with another number of threads: the same bits."""

import random

import numpy as np
import pytest

from fastbp.config.presets import presets
from tests.faults.server import WHOLE, can_run, end_of, told
from tests.faults.test_pack_kills import told as told_of_pack

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that the server preloads")
ROUNDS = 20 if WHOLE else 2
ROWS = 400

RUNS = {  # with less to do than they have
    "plain": ["trainer.epochs=60"],
    "realmlp-td": ["trainer.epochs=30", "network.hidden=[24, 24]"],
    "tabm-mini": ["network.tabm.k=4", "network.hidden=[16, 16]", "trainer.epochs=40"],
    "tabm": ["network.tabm.k=3", "network.hidden=[16, 16]", "trainer.epochs=30"],
    "tabpack": ["pack.members=4", "network.hidden=[16, 16]", "trainer.epochs=25"],
    "tabpack-muon": ["pack.members=3", "network.hidden=[8, 16]", "trainer.epochs=12"],
    "thorough": ["pack.members=3", "pack.folds=3", "trainer.epochs=20"],
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
    settings = ["run.checkpoint_seconds=0.02", *RUNS[name]]
    start = ["train", str(config), "-q", *(word for setting in settings for word in ("--set", setting))]
    status, said, _ = server.run(*start, "--run-dir", str(tmp_path / "whole"), threads=2)
    assert status == 0, said
    whole_took = server.cpu
    all_of = told_of_pack if presets()[name].pack else told
    expected = all_of(tmp_path / "whole")
    kills = 0
    for i in range(ROUNDS):
        target = tmp_path / f"cut{i}"
        _, killed = end_of(server, start, target, rng, lambda _: rng.uniform(0.05, max(0.2, whole_took)))
        kills += killed
        assert all_of(target) == expected, f"round {i}"
    assert kills
    with capsys.disabled():
        print(f" {kills} kills", end="")
