"""Streamed runs whose every operation on files fails, or is the last, and that are killed at random moments.

Here a sample; all of them by `scripts/faults`.
"""

import errno
import random

import numpy as np
import pytest

from tests.faults.server import FILES, FOREVER, HALF, KILL, ONCE, RARELY, WHOLE, can_run, end_of, numbers, told

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that makes operations fail")
ROUNDS = 20 if WHOLE else 1

CONFIG = """
name: streamed
data: {{path: {path}, target: y, stream: true, block_rows: 32, window_blocks: 2}}
network: {{hidden: [8], activation: tanh, dropout: 0.1}}
trainer: {{epochs: 4, batch_size: 16, ema: 0.9, early_stopping: {{patience: 50}}}}
run: {{checkpoint_seconds: 0}}
"""


@pytest.fixture(scope="module")
def given(server, tmp_path_factory):
    """A folder with a table, its configuration, and a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("streamed")
    rng = np.random.default_rng(0)
    lines = ["a,b,c,y"]
    for i in range(400):
        a, b = rng.normal(size=2)
        gap = "" if i % 17 == 0 else f"{b:.4f}"
        lines.append(f"{a:.4f},{gap},k{rng.integers(5)},{'yes' if a > b else 'no'}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    (folder / "config.yaml").write_text(CONFIG.format(path=folder / "t.csv"))
    status, said, _ = server.run(*command(folder, folder / "whole"))
    assert status == 0, said
    return folder


def command(given, place, *more):
    """What trains in a place, where its rows are too."""
    store = ["--set", f"data.store={place / 'rows'}"]
    return ["train", str(given / "config.yaml"), "-q", "--run-dir", str(place / "run"), *store, *more]


@pytest.mark.parametrize("more", [[], RARELY], ids=["often", "rarely"])
@pytest.mark.parametrize("mode", [ONCE, FOREVER, KILL, HALF], ids=["once", "forever", "kill", "half"])
def test_streamed_training(mode, more, server, given, tmp_path):
    place = tmp_path / "count"
    place.mkdir()
    status, said, total = server.run(*command(given, place, *more), below=place)
    assert status == 0, said
    assert total > 60
    expected = told(place / "run")
    if not more:
        assert expected == told(given / "whole" / "run")
    rows = sorted(path.relative_to(place) for path in (place / "rows").rglob("*"))
    for at in numbers(total, 8):
        place = tmp_path / f"run{at}"
        place.mkdir()
        wanted = command(given, place, *more)
        code = errno.ENOSPC if mode == FOREVER else errno.EIO
        status, said, _ = server.run(*wanted, below=place, mode=mode, at=at, code=code)
        where = f"operation {at} of {total}, status {status}: {said}"
        assert "Traceback" not in said, where
        assert status in ((-9, 0) if mode in (KILL, HALF) else (0, 1, 2)), where
        if status != 0 or mode == FOREVER:
            recover(server, place / "run", wanted)
        assert told(place / "run") == expected, where
        left = {path.name for path in (place / "run").iterdir()}
        assert left - FILES <= ({".lock"} if mode == ONCE else set()), where
        assert left >= FILES, where
        found = sorted(path.relative_to(place) for path in (place / "rows").rglob("*"))
        assert mode == ONCE or found == rows, where


def recover(server, run, wanted):
    """Go on as a user would: `--resume`, and where there is nothing to resume the command again."""
    status, said, _ = server.run("train", "--resume", str(run), "-q")
    if status == 2 and "has no `config.yaml`" in said:
        status, said, _ = server.run(*wanted)
    assert status == 0, said


def test_streamed_runs_that_are_killed_end_on_the_same_bits(server, given, tmp_path, capsys):
    rng = random.Random(0)
    expected = told(given / "whole" / "run")
    kills = 0
    for i in range(ROUNDS):
        place = tmp_path / f"cut{i}"
        place.mkdir()
        start = command(given, place)
        run = start.index("--run-dir")
        start = start[:run] + start[run + 2 :]
        every, killed = end_of(server, start, place / "run", rng, lambda attempt: rng.uniform(0.01, 0.25))
        assert all("Traceback" not in said for said in every), every
        kills += killed
        assert told(place / "run") == expected, f"round {i}"
    assert kills
    with capsys.disabled():
        print(f" {kills} kills", end="")
