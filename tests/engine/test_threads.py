"""Threads: how many there are, who may start them, and what happens to forks, signals and the user's own arithmetic."""

import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine import threads as team
from fastbp.errors import ConfigError, ConfigTypeError

# How many: control groups


def tree(folder, files):
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return str(folder)


def limited(folder, own, files):
    (folder / "own").write_text(own)
    return team.quota(tree(folder / "root", files), str(folder / "own"))


INFINITE = float("inf")
NEW = {  # own, files, processors
    "at-the-root": ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
    "own": ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n"}, 2.0),
    "parent": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),
    "lowest": ("0::/a/b\n", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "100000 50000", "cpu.max": "max 1"}, 2.0),
    "another's": ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, INFINITE),
    "none": ("0::/a\n", {"a/cpu.max": "max 100000\n"}, INFINITE),
    "no-file": ("0::/a/b\n", {}, INFINITE),
    "no-number": ("0::/\n", {"cpu.max": "many 100000\n"}, INFINITE),
    "one-word": ("0::/\n", {"cpu.max": "100000\n"}, INFINITE),
    "empty": ("0::/\n", {"cpu.max": ""}, INFINITE),
    "a-colon-in-the-path": ("0::/a:b\n", {"a:b/cpu.max": "100000 100000\n"}, 1.0),
}


@pytest.mark.parametrize("case", NEW)
def test_the_quota_of_a_control_group_of_version_2(case, tmp_path):
    own, files, expected = NEW[case]
    assert limited(tmp_path, own, files) == expected


def old(place, allowed, period=100000):
    return {f"{place}/cpu.cfs_quota_us": f"{allowed}\n", f"{place}/cpu.cfs_period_us": f"{period}\n"}


OLD = {
    "own": ("3:cpu,cpuacct:/a\n", old("cpu/a", 250000), 2.5),
    "joint-name": ("3:cpu,cpuacct:/a\n", old("cpu,cpuacct/a", 250000), 2.5),
    "seen-from-inside": ("3:cpu,cpuacct:/docker/1234\n", old("cpu,cpuacct", 300000), 3.0),
    "parent": ("3:cpu:/a/b/c\n", {**old("cpu/a/b/c", -1), **old("cpu/a", 150000)}, 1.5),
    "lowest": ("3:cpu:/a\n", {**old("cpu/a", 400000), **old("cpu", 200000)}, 2.0),
    "none": ("3:cpu:/a\n", old("cpu/a", -1), INFINITE),
    "other-controllers": ("3:cpuset:/a\n2:cpuacct:/a\n", {**old("cpuset/a", 1), **old("cpu/a", 1)}, INFINITE),
    "no-period": ("3:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "100000\n"}, INFINITE),
    "both-versions": ("3:cpu:/a\n0::/b\n", {**old("cpu/a", 300000), "b/cpu.max": "100000 100000"}, 1.0),
    "nothing": ("", {}, INFINITE),
}


@pytest.mark.parametrize("case", OLD)
def test_the_quota_of_a_control_group_of_version_1(case, tmp_path):
    own, files, expected = OLD[case]
    assert limited(tmp_path, own, files) == expected


def test_there_is_no_quota_where_there_are_no_control_groups(tmp_path):
    assert team.quota(str(tmp_path), str(tmp_path / "missing")) == INFINITE


@pytest.mark.parametrize(
    ("mask", "quota", "expected"),
    [
        (8, INFINITE, 8),
        (8, 3.0, 3),
        (2, 3.0, 2),
        (8, 2.9, 2),
        (8, 1.0, 1),
        (8, 0.5, 1),
        (1, INFINITE, 1),
        (300, INFINITE, 256),
    ],
)
def test_there_are_as_many_threads_as_mask_and_quota_allow(mask, quota, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(mask)), raising=False)
    monkeypatch.setattr(team, "quota", lambda: quota)
    monkeypatch.delenv("FASTBP_NUM_THREADS", raising=False)
    assert team.default_threads.__wrapped__() == expected


def test_where_there_is_no_mask_the_machine_is_counted(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(team, "quota", lambda: INFINITE)
    assert team.processors() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert team.processors() == 1


# How many: the user's word


@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("3", 3), (" 2 ", 2), ("256", 256), ("", 7), ("  ", 7)])
def test_the_environment_may_choose(text, expected, monkeypatch):
    monkeypatch.setenv("FASTBP_NUM_THREADS", text)
    monkeypatch.setattr(team, "processors", lambda: 7)
    assert team.default_threads.__wrapped__() == expected


NOT_WHOLE = "`FASTBP_NUM_THREADS` must be a whole number, got `{}`"
NOT_BETWEEN = "`FASTBP_NUM_THREADS` must be between 1 and 256, got `{}`"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("two", ConfigTypeError, NOT_WHOLE),
        ("1.5", ConfigTypeError, NOT_WHOLE),
        ("1e2", ConfigTypeError, NOT_WHOLE),
        ("0x2", ConfigTypeError, NOT_WHOLE),
        ("1,2", ConfigTypeError, NOT_WHOLE),
        ("0", ConfigError, NOT_BETWEEN),
        ("-1", ConfigError, NOT_BETWEEN),
        ("257", ConfigError, NOT_BETWEEN),
        ("1" * 30, ConfigError, NOT_BETWEEN),
    ],
)
def test_what_the_environment_cannot_choose_is_refused(text, kind, message, monkeypatch):
    monkeypatch.setenv("FASTBP_NUM_THREADS", text)
    with pytest.raises(ConfigError) as info:
        team.default_threads.__wrapped__()
    assert type(info.value) is kind
    assert str(info.value) == message.format(text)


def test_a_trainer_says_what_is_wrong_with_the_environment(monkeypatch):
    monkeypatch.setenv("FASTBP_NUM_THREADS", "all")
    monkeypatch.setattr(team, "default_threads", team.default_threads.__wrapped__)
    net = fb.mlp([4, 3])
    for call in (lambda: fb.Trainer(net), lambda: net.predict(np.zeros((1, 4)))):
        with pytest.raises(ConfigTypeError) as info:
            call()
        assert str(info.value) == NOT_WHOLE.format("all")


@pytest.mark.parametrize("threads", [1, 2, 256])
def test_the_caller_has_the_last_word(threads, monkeypatch):
    monkeypatch.setattr(team, "default_threads", lambda: 7)
    assert fb.Trainer(fb.mlp([4, 3]), threads=threads).threads == threads
    assert fb.Trainer(fb.mlp([4, 3])).threads == 7


# The user's arithmetic


TINY = np.float32(1e-40)
X = np.random.default_rng(0).standard_normal((300, 64)).astype(np.float32)
Y = np.arange(300) % 10


def subnormals_live():
    """Whether NumPy still computes with numbers below the smallest normal one, as a scalar and in vectors."""
    many = np.full(100, TINY) * np.float32(1)
    return bool(TINY * np.float32(1) != 0 and (many != 0).all() and np.float64(5e-324) * 1.0 != 0)


def diverge(net):
    with pytest.raises(fb.DivergedError):
        fb.Trainer(net, optimizer=fb.SGD(lr=1e38), batch_size=100, threads=2).run(1e4 * X, Y, 50)


CALLS = {
    "predict": lambda net: net.predict(X),
    "predict-one": lambda net: net.predict(X[0]),
    "predict-alone": lambda net: net.predict(X, threads=1),
    "vjp": lambda net: net.vjp(X, np.ones((300, 10))),
    "jvp": lambda net: net.jvp(X, X),
    "jacobian": lambda net: net.jacobian(X[:3]),
    "gradients": lambda net: net.loss_and_gradients(X, Y),
    "evaluate": lambda net: net.evaluate(X, Y),
    "step": lambda net: fb.Trainer(net, threads=2).step(X, Y),
    "small-steps": lambda net: [fb.Trainer(net, threads=1).step(X[:8], Y[:8]) for _ in range(3)],
    "run": lambda net: fb.Trainer(net, batch_size=100, threads=2).run(X, Y, 5),
    "run-alone": lambda net: fb.Trainer(net, batch_size=100, threads=1).run(X, Y, 5),
    "fit": lambda net: fb.Trainer(net, threads=2).fit(X, Y, validation=(X, Y)),
    "diverged": diverge,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subnormals_live_on_after_a_call(call, dtype, monkeypatch):
    monkeypatch.setattr(team, "default_threads", lambda: 2)
    assert subnormals_live()
    if call != "diverged" or dtype == "float32":
        CALLS[call](fb.mlp([64, 100, 10], dtype=dtype, dropout=0.1))
    assert subnormals_live()


def test_subnormals_live_on_after_a_call_that_is_refused():
    with pytest.raises(fb.DataError):
        fb.mlp([64, 10]).loss_and_gradients(np.full((3, 64), np.nan), [0, 1, 2])
    assert subnormals_live()


def in_a_thread(call):
    """What a call on a thread of its own returns."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(60)
    return found[0]


def test_subnormals_live_on_in_any_thread():
    net = fb.mlp([64, 100, 10])
    assert in_a_thread(lambda: (net.predict(X), fb.Trainer(net).run(X, Y, 3), subnormals_live())[-1])


def test_the_check_sees_subnormals_that_were_flushed():
    from numba import njit

    from fastbp.kernels.memory import flush_subnormals

    flush = njit(lambda: flush_subnormals())
    assert in_a_thread(lambda: (flush(), subnormals_live())[-1]) is False
    assert subnormals_live()


# How threads wait between regions

LAUNCHES = """
import os, numpy as np, fastbp as fb
from fastbp.engine import threads
pack = fb.Pack(fb.mlp([4, 8, 2]), n=3, threads=2)
pack.run(np.zeros((64, 4), np.float32), np.zeros(64, int), 5)
print(threads._state["launched"], *(os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")))
"""


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, str(team.PATIENCE)), ({"GOMP_SPINCOUNT": "12345"}, "12345"), ({"OMP_WAIT_POLICY": "active"}, "30000000000")],
    ids=["by default", "as often as is said", "as is said"],
)
def test_threads_of_openmp_sleep_soon_after_a_region_unless_the_user_says_more(given, spins):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    env = own | {"NUMBA_THREADING_LAYER": "omp", "OMP_DISPLAY_ENV": "verbose"} | given
    found = subprocess.run([sys.executable, "-c", LAUNCHES], env=env, capture_output=True, text=True, check=False)
    if "GOMP_SPINCOUNT" not in found.stderr:
        pytest.skip("Numba's threads are not those of GCC's OpenMP here")
    assert re.search(r"GOMP_SPINCOUNT = '(\d+)'", found.stderr).group(1) == spins
    assert found.stdout.split() == ["True", *(str(given.get(name)) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))]
