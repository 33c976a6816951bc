"""Every operation on files fails, or is the last: what is there afterwards is right, or said to be wrong, and goes on.

Here a sample; all of them by `scripts/faults`.
"""

import errno
import json

import pytest

from tests.faults.server import (
    CONFIG,
    FILES,
    FOREVER,
    HALF,
    KILL,
    ONCE,
    RARELY,
    can_run,
    numbers,
    recover,
    told,
)

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that makes operations fail")


@pytest.fixture(scope="module")
def runs(server, tmp_path_factory):
    """A folder with the configuration and runs that nothing happened to."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "config.yaml").write_text(CONFIG)
    for name, more in (("often", []), ("rarely", RARELY)):
        status, said, _ = server.run("train", str(folder / "config.yaml"), "-q", "--run-dir", str(folder / name), *more)
        assert (status, said) == (0, "")
    return folder


def commands(runs, target, kind):
    """What trains, with a part of it done before, where that is wanted."""
    config = str(runs / "config.yaml")
    fresh = ["train", config, "-q", "--run-dir", str(target), *(RARELY if kind != "often" else [])]
    if kind != "resumed":
        return None, fresh
    return [*fresh, "--set", "trainer.epochs=2"], ["train", "--resume", str(target), "-q", "--set", "trainer.epochs=4"]


@pytest.mark.parametrize("kind", ["often", "rarely", "resumed"])
@pytest.mark.parametrize("mode", [ONCE, FOREVER, KILL, HALF], ids=["once", "forever", "kill", "half"])
def test_training(mode, kind, server, runs, tmp_path):
    expected = told(runs / ("often" if kind == "often" else "rarely"))
    before, command = commands(runs, tmp_path / "count", kind)
    if before:
        assert server.run(*before)[0] == 0
    total = server.run(*command, below=tmp_path / "count")[2]
    assert total > 30
    for at in numbers(total, 8):
        target = tmp_path / f"run{at}"
        before, command = commands(runs, target, kind)
        if before:
            assert server.run(*before)[0] == 0
        code = errno.ENOSPC if mode == FOREVER else errno.EIO
        status, said, _ = server.run(*command, below=target, mode=mode, at=at, code=code)
        where = f"operation {at} of {total}, status {status}: {said}"
        assert "Traceback" not in said, where
        assert status in ((-9, 0) if mode in (KILL, HALF) else (0, 1, 2)), where
        if mode in (ONCE, FOREVER):
            assert status == 0 or said.startswith("fastbp: "), where
            assert said.count("\n") <= 2 * said.count("fastbp: "), where
        if status != 0 or mode == FOREVER:
            recover(server, target, command)
        assert told(target) == expected, where
        left = {path.name for path in target.iterdir()} - FILES
        assert left <= ({".lock"} if mode == ONCE else set()), where  # an empty one that could not be removed
        assert {path.name for path in target.iterdir()} >= FILES, where


def test_a_slow_disk_takes_no_more_than_its_share(server, tmp_path):
    """Many tiny epochs, a checkpoint wanted after each, and every fsync takes 50 ms."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    more = ["--set", "trainer.epochs=600", "--set", "data.rows=2000"]
    target = tmp_path / "run"
    status, said, _ = server.run("train", str(config), "-q", "--run-dir", str(target), *more, fsync_ms=50)
    assert (status, said) == (0, "")
    seconds = json.loads((target / "result.json").read_text())["seconds"]
    once = 2 + 4  # the configuration and its folder at first, three files, at once, and their folder in the end
    assert 0.05 * (server.syncs - once) <= 0.03 * seconds
