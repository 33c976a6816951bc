"""What the server runs beside commands: functions that write files, and look at what is left in their process."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import fastbp as fb
from fastbp.data import shards
from fastbp.engine import cache

EPOCHS = 2
CONTENT = b"machine code" * 1000


def save(path: str, seed: int) -> None:
    fb.mlp([3, 40, 2], seed=seed).save(path)


def trainer() -> fb.Trainer:
    return fb.Trainer(fb.mlp([3, 5, 2], seed=4, dropout=0.2), loss="mse", batch_size=4, optimizer=fb.Adam(0.01))


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 3)).astype("f4"), rng.normal(size=(20, 2)).astype("f4")


def fit(folder: str) -> None:
    """Train with every callback that writes; where one fails, the trainer is as one that nothing happened to."""
    top = Path(folder)
    callbacks = [
        fb.CSVLogger(top / "log.csv"),
        fb.ModelCheckpoint(top / "net"),
        fb.JSONLogger(top / "log.jsonl", append=True),
        fb.ModelCheckpoint(top / "deep" / "{epoch}"),
    ]
    ours, (X, y) = trainer(), rows()
    try:
        ours.fit(X, y, EPOCHS, callbacks=callbacks)
    finally:
        assert ours.steps_done % 5 == 0
        other = trainer()
        other.fit(X, y, ours.steps_done // 5)
        for _ in range(2):
            assert ours.net.flat.tobytes() == other.net.flat.tobytes()
            ours.fit(X, y, 1)
            other.fit(X, y, 1)


def train_until(checkpoints: int, *arguments: str) -> int:
    """A command that writes a checkpoint whenever it may, and is killed before it has written so many."""
    from fastbp.cli.main import main
    from fastbp.runs.pack_training import PackTraining
    from fastbp.runs.saving import Saving
    from fastbp.runs.training import Training

    left = [checkpoints]
    for kind in (Training, PackTraining):

        def save(self: Any, *given: Any, before: Any = kind.save, **words: Any) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            before(self, *given, **words)

        kind.save = save  # type: ignore[method-assign]
    Saving.set_due = lambda self, seconds: setattr(self, "due", 0.0)  # type: ignore[method-assign, assignment]
    return main([*arguments])


def sweep_here(*arguments: str) -> int:
    """A sweep whose trials are trained by this process itself."""
    from fastbp.cli.main import main
    from fastbp.runs.stopping import Signals
    from fastbp.studies import sweeping

    def here(task: Any, *_: Any, **words: Any) -> None:
        with Signals() as signals:
            task(signals)

    sweeping.run_together = here
    return main([*arguments])


def draw(path: str) -> None:
    fb.mlp([3, 40, 2]).draw().save(path)


def use_cache(folder: str) -> None:
    """Let the cache be another folder."""
    os.environ["FASTBP_CACHE_DIR"] = folder
    cache.folder.cache_clear()
    cache._warned.clear()


def keep(folder: str) -> None:
    """Write to the cache and read it; what goes wrong is one warning, and what is read is whole or nothing."""
    use_cache(folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            cache.write("thing", CONTENT)
            assert cache.read("thing") in (None, CONTENT)
    _warned(said)


def keep_nothing() -> None:
    """Ask the cache that the environment names for a folder, and print what it says."""
    cache.folder.cache_clear()
    warnings.formatwarning = lambda message, *_: f"{message}\n"
    cache.write("thing", CONTENT)
    cache.write("another", CONTENT)
    assert cache.read("thing") in (None, CONTENT)


def want_room(folder: str) -> None:
    """Ask for rows that do not fit into memory where temporary files cannot be."""
    tempfile.tempdir = folder
    shards.SHARE, shards.LITTLE = 0.0, 0
    shards.room((10, 10), np.float32)


def compile_formula(folder: str) -> None:
    """Compile something that only this folder may have; it is right whatever happens to the folder."""
    use_cache(folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        function = fb.trace(lambda x: x * 3 + np.tanh(x) * x)
        value, (slope,) = function.value_and_gradient(0.0)
        assert (float(value), float(slope)) == (0.0, 3.0)
    _warned(said)


def _warned(said: list[warnings.WarningMessage]) -> None:
    texts = [str(one.message) for one in said]
    assert len(texts) <= 1, texts
    assert all(text.startswith("fastbp cannot keep its compiled kernels: ") for text in texts), texts


# A disk of its own


def mount(folder: str, size: int) -> bool:
    """A small disk at a folder, which only this process sees; False where the system does not let it."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_user, new_mounts, private = 0x10000000, 0x20000, 1 << 18 | 1 << 14
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(new_mounts if uid == 0 else new_user | new_mounts):
        return False
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    if libc.mount(b"none", b"/", None, private, None):
        return False
    return libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={size}".encode()) == 0


def may_mount(folder: str) -> int:
    return 0 if mount(folder, 1 << 20) else 1


def fill_disk(folder: str, size: int, config: str, out: str) -> int:
    """Train on a small disk; then make room and go on, and keep what is there then."""
    from fastbp.cli.main import main

    assert mount(folder, size)
    run = Path(folder, "run")
    code = main(["train", config, "-q", "--run-dir", str(run)])
    print("then there is room", file=sys.stderr)
    libc = ctypes.CDLL(None)
    assert libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 32, b"size=64m") == 0  # MS_REMOUNT
    if code != 0:
        again = main(["train", "--resume", str(run), "-q"]) if (run / "config.yaml").exists() else 2
        assert again == 0 or main(["train", config, "-q", "--run-dir", str(run)]) == 0
    shutil.copytree(run, out)
    return code
