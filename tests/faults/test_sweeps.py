"""Sweeps whose every operation on files fails, or is the last: the same command goes on to the same trials.

Here a sample; all of them by `scripts/faults`.
"""

import errno
import json

import pytest

from tests.faults import jobs
from tests.faults.server import FOREVER, HALF, KILL, ONCE, can_run, numbers

pytest.importorskip("optuna")
pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that makes operations fail")

CONFIG = """
name: searched
data: {source: spirals, rows: 120}
network: {hidden: [6], activation: tanh}
trainer: {epochs: 3, batch_size: 32}
run: {checkpoint_seconds: 0}
sweep:
  trials: 4
  sampler: random
  keep: KEPT
  together: 1
  space: {trainer.optimizer.lr: {log: [1e-3, 1e-1]}, network.dropout: [0, {uniform: [0, 0.5]}]}
"""


def sweep(folder, storage):
    return ["sweep", str(folder / "config.yaml"), "--jobs", "1", "-q", "--storage", str(storage)]


def told(server, storage):
    """What is known of the trials, without times."""
    out = storage.parent / f"{storage.name}.json"
    out.touch()
    status, said, _ = server.run("sweep", "show", str(storage), "--json", stdout=out)
    assert status == 0, said
    found = json.loads(out.read_text())
    for trial in found["trials"]:
        trial.pop("seconds", None)
    return sorted(found["trials"], key=lambda trial: trial["trial"])


@pytest.mark.parametrize("kept", ["run", "result"])
@pytest.mark.parametrize("mode", [ONCE, FOREVER, KILL, HALF], ids=["once", "forever", "kill", "half"])
def test_a_sweep(mode, kept, server, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG.replace("KEPT", kept))
    storage = tmp_path / "count"
    status, said, total = server.call(jobs.sweep_here, *sweep(tmp_path, storage), below=storage)
    assert status == 0, said
    assert total > 40
    expected = told(server, storage)
    assert len(expected) == 4
    left = {path.relative_to(storage) for path in storage.rglob("*")}
    for at in numbers(total, 4):
        storage = tmp_path / f"sweep{at}"
        command = sweep(tmp_path, storage)
        code = errno.ENOSPC if mode == FOREVER else errno.EIO
        status, said, _ = server.call(jobs.sweep_here, *command, below=storage, mode=mode, at=at, code=code)
        where = f"operation {at} of {total}, status {status}: {said}"
        assert "Traceback" not in said, where
        assert status in ((-9, 0) if mode in (KILL, HALF) else (0, 1, 2)), where
        if mode in (ONCE, FOREVER) and status:
            assert said.startswith("fastbp: "), where
        if status or mode == FOREVER:
            status, said, _ = server.call(jobs.sweep_here, *command)
            assert status == 0, f"{where}; then {said}"
        assert told(server, storage) == expected, where
        if mode != ONCE:
            assert {path.relative_to(storage) for path in storage.rglob("*")} == left, where
