"""Files that are there as a whole or not at all: names, locks, sweeping, links, permissions."""

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fastbp import writing
from fastbp.errors import FileError
from fastbp.writing import TEMPORARY, sweep, whole, write_together

ROOT = Path(__file__).parents[1]
LEFT = ".fastbp-0123456789abcdef.tmp"
posix = pytest.mark.skipif(os.name != "posix", reason="locks and permissions are POSIX's")


def write(path, content=b"new"):
    with whole(path) as file:
        file.write(content)


def test_half_of_a_file_is_none(tmp_path):
    (tmp_path / "x.csv").write_text("old")
    with contextlib.suppress(KeyboardInterrupt), whole(tmp_path / "x.csv") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "x.csv").read_text() == "old"
    assert os.listdir(tmp_path) == ["x.csv"]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_none_of_several_files_moves_before_all_are_written(at, tmp_path):
    names = ["a", "b", "c"]
    for name in names:
        (tmp_path / name).write_text("old")
    contents = {tmp_path / name: None if i == at else b"new" for i, name in enumerate(names)}
    with pytest.raises(TypeError):
        write_together(contents)
    assert sorted(os.listdir(tmp_path)) == names
    assert {(tmp_path / name).read_text() for name in names} == {"old"}
    write_together(dict.fromkeys(contents, b"new"))
    assert sorted(os.listdir(tmp_path)) == names
    assert {(tmp_path / name).read_text() for name in names} == {"new"}


@posix
def test_a_link_stays_a_link_and_a_new_file_has_the_usual_mode(tmp_path):
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("target.csv")
    (tmp_path / "plain").write_text("")
    for name in ("link.csv", "new.csv"):
        write(str(tmp_path / name))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text() == (tmp_path / "new.csv").read_text() == "new"
    assert (tmp_path / "new.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_is_replaced_keeps_its_permissions(mode, tmp_path):
    (tmp_path / "x").write_text("old")
    (tmp_path / "x").chmod(mode)
    write(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


@posix
def test_what_is_no_file_is_written_to_as_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write(tmp_path / "pipe")
    reader.join()
    assert read == [b"new"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    write(os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@posix
def test_a_name_may_be_as_long_as_names_may_be(tmp_path):
    write(tmp_path / ("x" * 255))
    assert os.listdir(tmp_path) == ["x" * 255]


@pytest.mark.parametrize(("path", "number"), [("none/x", errno.ENOENT), ("file/x", errno.ENOTDIR), (".", errno.EISDIR)])
def test_an_error_names_the_file(path, number, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError) as info:
        write(tmp_path / path)
    assert str(info.value) == f"`{tmp_path / path}` must be a file that can be written ({os.strerror(number)})"
    assert (info.value.errno, info.value.filename) == (number, str(tmp_path / path))


# What others have left


@posix
def test_what_writes_that_were_killed_left_behind_is_swept_by_the_next(tmp_path):
    others = [".hidden", "a.tmp", LEFT[1:], LEFT + "x", ".fastbp-xyz.tmp", ".fastbp-0123456789ABCDEF.tmp"]
    for name in (LEFT, *others):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / LEFT.replace("0", "f")).symlink_to("a.tmp")
    (tmp_path / LEFT.replace("0", "e")).mkdir()
    write(tmp_path / "x")
    kept = [*others, "x", LEFT.replace("0", "f"), LEFT.replace("0", "e")]
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    assert (tmp_path / "a.tmp").read_bytes() == b"half"


@posix
def test_what_another_process_writes_at_the_moment_is_not_swept(tmp_path):
    code = f"from fastbp.writing import whole\nwith whole({str(tmp_path / 'x')!r}) as file: print(flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        other.stdout.readline()
        (name,) = os.listdir(tmp_path)
        sweep(tmp_path)
        write(tmp_path / "y")
        assert sorted(os.listdir(tmp_path)) == [name, "y"]
        other.kill()
    sweep(tmp_path)
    assert os.listdir(tmp_path) == ["y"]


@posix
def test_a_file_is_not_swept_until_it_has_moved(tmp_path, monkeypatch):
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (sweep(tmp_path), replace(*names)))
    write(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "new"
    assert os.listdir(tmp_path) == ["x"]


@posix
def test_a_file_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, names = writing._locked, []

    def late(handle):
        if len(names) < 2:
            names.extend(os.listdir(tmp_path))
            sweep(tmp_path)
        return lock(handle)

    monkeypatch.setattr(writing, "_locked", late)
    write(tmp_path / "x")
    assert len(names) == 2
    assert all(TEMPORARY.fullmatch(name) for name in names)
    assert (tmp_path / "x").read_text() == "new"
    assert os.listdir(tmp_path) == ["x"]


@posix
@pytest.mark.parametrize(("days", "left"), [(0.5, [LEFT, "x"]), (2, ["x"])])
def test_where_files_cannot_be_locked_what_was_left_goes_after_a_day(days, left, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / LEFT).write_bytes(b"half")
    then = (tmp_path / LEFT).stat().st_mtime - days * 86400
    os.utime(tmp_path / LEFT, (then, then))
    write(tmp_path / "x")
    assert sorted(os.listdir(tmp_path)) == left


@posix
def test_many_write_one_file_at_once(tmp_path):
    """Each finds its own file whole, and sweeps nothing that is under way."""
    path, wrong = tmp_path / "x", []

    def work(i):
        try:
            for _ in range(100):
                write(path, bytes([i]) * 5000)
                wrong.extend([content] if len(set(content := path.read_bytes())) != 1 or len(content) != 5000 else [])
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert os.listdir(tmp_path) == ["x"]
