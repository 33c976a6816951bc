"""Every write of everything else than runs fails, or is the last: the old file is whole or the new one is.

Networks, callbacks, predictions, pictures, configurations and the cache. Here a sample; all by `scripts/faults`.
"""

import csv
import errno
import json
import re
import shutil
import signal

import pytest

import fastbp as fb
from tests.faults import jobs
from tests.faults.server import CONFIG, FOREVER, HALF, KILL, ONCE, SIGNAL, WHOLE, can_run, numbers

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that makes operations fail")
MODES = [ONCE, FOREVER, KILL, HALF, SIGNAL]
every_mode = pytest.mark.parametrize("mode", MODES, ids=["once", "forever", "kill", "half", "interrupt"])
FAILED = re.compile(
    r"fastbp: `(.+)` must be a file that can be written \((Input/output error|No space left on device)\)\n"
)


@pytest.fixture(scope="module")
def trained(server, tmp_path_factory):
    """A folder with a table, a run on it and its network."""
    folder = tmp_path_factory.mktemp("trained")
    with open(folder / "t.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["a", "b", "y"])
        out.writerows((f"{i / 9:.3f}", i % 7, "uv"[i % 2]) for i in range(400))
    text = CONFIG.replace("{source: spirals, rows: 200}", f"{{path: {folder / 't.csv'}, target: y}}")
    (folder / "config.yaml").write_text(text)
    status, said, _ = server.run("train", str(folder / "config.yaml"), "-q", "--run-dir", str(folder / "run"))
    assert (status, said) == (0, "")
    return folder


def fault(mode):
    """The words of one, and the ways in which a process may end of it."""
    code = {ONCE: errno.EIO, FOREVER: errno.ENOSPC, SIGNAL: signal.SIGINT}.get(mode, 0)
    ends = {ONCE: (0, 1), FOREVER: (1,), SIGNAL: (0, 130)}.get(mode, (0, -9))
    return {"mode": mode, "code": int(code)}, ends


def says_so(said, folder):
    """Whether one sentence names a file of this folder."""
    found = FAILED.fullmatch(said)
    return found and found[1].startswith(f"{folder}/") and ".fastbp-" not in found[1]


COMMANDS = {
    "network": ("net", lambda runs, path: [str(path), 2]),
    "drawing": ("net.svg", lambda runs, path: [str(path)]),
    "csv": ("out.csv", lambda runs, path: ["predict", str(runs / "run"), str(runs / "t.csv"), "-o", str(path)]),
    "jsonl": ("out.jsonl", lambda runs, path: ["predict", str(runs / "run"), str(runs / "t.csv"), "-o", str(path)]),
    "npz": ("out.npz", lambda runs, path: ["predict", str(runs / "run"), str(runs / "t.csv"), "-o", str(path)]),
    "graph": ("net.svg", lambda runs, path: ["show", str(runs / "run"), "--graph", str(path)]),
    "init": ("new.yaml", lambda runs, path: ["init", str(runs / "t.csv"), "-o", str(path)]),
}
FUNCTIONS = {"network": jobs.save, "drawing": jobs.draw}


@every_mode
@pytest.mark.parametrize("kind", COMMANDS)
def test_one_file(kind, mode, server, trained, tmp_path):
    name, arguments = COMMANDS[kind]
    words, ends = fault(mode)
    function = FUNCTIONS.get(kind)
    given = {} if function is None else {"function": f"{function.__module__}:{function.__name__}"}
    old = b"" if kind == "init" else b"the old one"  # which refuses to write over a file

    def run(folder, **more):
        return server.run(*arguments(trained, folder / name), **given, **more)

    def fresh(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        if old:
            (folder / name).write_bytes(old)
        return folder

    folder = fresh(0)
    status, _, total = run(folder, below=folder)
    assert status == 0
    assert total >= 3
    new = (folder / name).read_bytes()
    assert new not in (b"", old)
    for at in numbers(total, 5):
        folder = fresh(at)
        status, said, _ = run(folder, below=folder, at=at, **words)
        where = f"operation {at} of {total}, status {status}: {said}"
        assert status in (*ends, *((99,) if function and mode == SIGNAL else ())), where
        if mode in (ONCE, FOREVER):
            assert status == 0 or says_so(said, folder), where
            assert mode == FOREVER or [path.name for path in folder.iterdir()] in ([], [name]), where
        found = (folder / name).read_bytes() if (folder / name).exists() else b""
        assert found in (old, new), where
        assert status != 0 or found == new, where
        if kind == "init":
            (folder / name).unlink(missing_ok=True)
        assert run(folder)[0] == 0, where
        assert [path.name for path in folder.iterdir()] == [name], where
        assert (folder / name).read_bytes() == new, where


# A fit


def lines_of(path):
    """Lines without the seconds, which are others each time; the last is whole or it is cut off."""
    if not path.exists():
        return [], ""
    *lines, rest = path.read_text().split("\n")
    return [re.sub(r'(, "seconds": |,)[^,]*$', "", line) for line in lines], rest


@every_mode
def test_a_fit_whose_callbacks_write(mode, server, tmp_path):
    words, ends = fault(mode)
    old = fb.mlp([3, 5, 2], seed=77)

    def fresh(name):
        folder = tmp_path / name
        folder.mkdir()
        old.save(folder / "net")
        (folder / "log.csv").write_text("of yesterday\n")
        return folder

    right = fresh("right")
    status, said, total = server.call(jobs.fit, right, below=right)
    assert (status, said) == (0, "")
    assert total > 20
    table, log = lines_of(right / "log.csv")[0], lines_of(right / "log.jsonl")[0]
    assert (len(table), len(log)) == (1 + jobs.EPOCHS, jobs.EPOCHS)
    before_all = (fresh("old") / "net").read_bytes()
    epochs = [(right / "deep" / f"{i}").read_bytes() for i in range(1, jobs.EPOCHS + 1)]
    for at in numbers(total, 8):
        folder = fresh(f"{at}")
        status, said, _ = server.call(jobs.fit, folder, below=folder, at=at, **words)
        where = f"operation {at} of {total}, status {status}: {said}"
        assert status in (*ends, *((99,) if mode == SIGNAL else ())), where  # KeyboardInterrupt
        assert "AssertionError" not in said, where
        if mode in (ONCE, FOREVER):
            assert status == 0 or says_so(said, folder), where
        assert (folder / "net").read_bytes() in (before_all, *epochs), where
        fb.load(folder / "net")
        kept = [p.read_bytes() for p in sorted(folder.glob("deep/[0-9]"))]
        assert kept == epochs[: len(kept)], where
        for name, all_lines in (("log.csv", table), ("log.jsonl", log)):
            lines, rest = lines_of(folder / name)
            assert lines in (["of yesterday"], all_lines[: len(lines)]), where
            assert rest == "" or mode == HALF, where
        allowed = {"net", "log.csv", "log.jsonl", "deep"}
        assert mode != ONCE or {p.name for p in folder.rglob("*")} <= {
            *allowed,
            *(f"{i}" for i in range(1, jobs.EPOCHS + 1)),
        }, where
        before, rest = lines_of(folder / "log.jsonl")
        assert server.call(jobs.fit, folder)[:2] == (0, ""), where
        assert {p.name for p in folder.iterdir()} == allowed, where
        assert [p.read_bytes() for p in sorted((folder / "deep").iterdir())] == epochs, where
        assert (folder / "net").read_bytes() == epochs[-1], where
        assert lines_of(folder / "log.csv") == (table, ""), where
        again, end = lines_of(folder / "log.jsonl")
        assert (again[: len(before)], again[-len(log) :], end) == (before, log, ""), where
        assert len(again) == len(before) + bool(rest) + len(log), where
        for line in (folder / "log.jsonl").read_text().splitlines()[-len(log) :]:
            json.loads(line)


# The cache


@pytest.mark.parametrize("job", [jobs.keep, *([jobs.compile_formula] if WHOLE else [])], ids=lambda job: job.__name__)
@pytest.mark.parametrize("mode", MODES[:4], ids=["once", "forever", "kill", "half"])
def test_the_cache(mode, job, server, tmp_path):
    words, _ = fault(mode)
    status, said, total = server.call(job, tmp_path / "right", below=tmp_path / "right")
    assert (status, said) == (0, "")
    assert total >= 8
    names = {path.name for path in (tmp_path / "right").rglob("*.bin")}
    for at in numbers(total, 6) if job is jobs.keep else range(1, total + 1, 1 + total // 12):  # each is compiled twice
        folder = tmp_path / f"{at}"
        status, said, _ = server.call(job, folder, below=folder, at=at, **words)
        where = f"operation {at} of {total}, status {status}: {said}"
        assert status in ((0, -9) if mode in (KILL, HALF) else (0,)), where
        assert said == "", where
        if mode == ONCE:
            assert {p.name for p in folder.rglob("*") if p.is_file()} <= names, where
        assert server.call(job, folder)[:2] == (0, ""), where  # with no word of damage
        assert {p.name for p in folder.rglob("*") if p.is_file()} == names, where
        shutil.rmtree(folder)


def test_an_input_is_never_written_over(server, trained, tmp_path):
    """Not even where the output is written into what is read by another name."""
    shutil.copy(trained / "t.csv", tmp_path / "t.csv")
    (tmp_path / "link.csv").symlink_to("t.csv")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "t.csv")
    for name in ("t.csv", "link.csv", "hard.csv"):
        for at in (1, 3):
            command = ["predict", str(trained / "run"), str(tmp_path / "t.csv"), "-o", str(tmp_path / name)]
            status, said, count = server.run(*command, below=tmp_path, mode=ONCE, at=at)
            assert (status, count) == (2, 0), said
    assert (tmp_path / "t.csv").read_bytes() == (trained / "t.csv").read_bytes()
