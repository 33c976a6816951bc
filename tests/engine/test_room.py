"""The room that the cache takes: what was not used for longest goes, and never what this version needs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastbp.engine import room

ROOT = Path(__file__).parents[2]
OWN, OTHER = "a" * 32, "b" * 32


def put(folder, name, size=1000, days=0.0):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(bytes(size))
    then = time.time() - days * room.DAY
    os.utime(file, (then, then))
    return file


def names(top):
    return sorted(str(file.relative_to(top)) for file in top.rglob("*") if file.is_file())


def run(code, folder, **variables):
    return subprocess.run(
        [sys.executable, "-W", "always::RuntimeWarning", "-c", code],
        cwd=ROOT,
        env={**os.environ, "FASTBP_CACHE_DIR": str(folder), "FASTBP_QUIET": "1", **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 2**29),
        (" ", 2**29),
        ("0", 0),
        ("1000", 1000),
        ("512M", 2**29),
        ("2g", 2**31),
        (" 3 K ", 3072),
        ("1GiB", 2**30),
        ("1MB", 2**20),
        ("-1", None),
        ("1.5G", None),
        ("much", None),
        ("1T", None),
        ("9" * 30, None),
    ],
)
def test_sizes(text, size):
    assert room.limit(text) == size


def test_formulas_and_other_versions_go_by_their_last_use_until_the_rest_fits(tmp_path):
    own = tmp_path / OWN
    put(own, "product-float32.bin", days=9)
    put(own, "proofs-1.bin", days=9)
    put(own, "branch_custom_1-float32.bin", days=5)
    put(own, "custom_loss_2-float32.bin", days=1)
    put(tmp_path / OTHER, "product-float32.bin", days=6)
    put(tmp_path / OTHER, "update-float32.bin", days=2)
    room.make(tmp_path, own, 6000)
    assert len(names(tmp_path)) == 6
    room.make(tmp_path, own, 5500)
    assert f"{OTHER}/product-float32.bin" not in names(tmp_path)
    room.make(tmp_path, own, 3000)
    assert names(tmp_path) == [f"{OWN}/{n}.bin" for n in ("custom_loss_2-float32", "product-float32", "proofs-1")]
    room.make(tmp_path, own, 1)
    assert names(tmp_path) == [f"{OWN}/product-float32.bin", f"{OWN}/proofs-1.bin"]


def test_what_is_not_of_the_cache_is_never_touched(tmp_path):
    own = tmp_path / OWN
    put(own, "custom_1.bin")
    put(own, ".work-float32-abcd", days=0.5)  # another process writes it now
    put(own, ".work-float32-efgh", days=2)
    put(tmp_path / OTHER, "notes.txt")
    put(tmp_path / "photos", "me.bin")
    put(tmp_path, "custom_2.bin")
    (tmp_path / ("c" * 32)).symlink_to(tmp_path / "photos")
    (tmp_path / OTHER / "link.bin").symlink_to(tmp_path / "photos" / "me.bin")
    room.make(tmp_path, own, 1)
    left = [f"{OWN}/.work-float32-abcd", f"{OTHER}/link.bin", f"{OTHER}/notes.txt", "custom_2.bin", "photos/me.bin"]
    assert names(tmp_path) == sorted(left)
    assert room.clean(tmp_path, own) == (0, 0)
    assert names(tmp_path) == sorted(left)


def test_a_file_that_is_read_counts_as_used_that_day(tmp_path):
    old, fresh = put(tmp_path, "a.bin", days=3), put(tmp_path, "b.bin", days=0.5)
    before = fresh.stat().st_mtime
    for file in (old, fresh, tmp_path / "missing.bin"):
        room.used(file)
    assert time.time() - old.stat().st_mtime < 60
    assert fresh.stat().st_mtime == before


USE = """
from fastbp.engine import cache
for number in range(4):
    cache.write(f"custom_{number}-float32", bytes(1000))
cache.write("product-float32", bytes(1000))
for number in range(4):
    print(cache.read(f"custom_{number}-float32") is not None, end=" ")
print(cache.read("product-float32") is not None)
"""


@pytest.mark.parametrize(("size", "kept"), [("4K", 3), ("0", 4), ("", 4), ("1", 0)])
def test_what_is_written_keeps_to_the_size(size, kept, tmp_path):
    done = run(USE, tmp_path, FASTBP_CACHE_SIZE=size)
    assert done.stderr == ""
    *found, own = done.stdout.split()
    assert (found.count("True"), own) == (kept, "True")


def test_a_size_that_is_none_costs_one_warning(tmp_path):
    done = run(USE, tmp_path, FASTBP_CACHE_SIZE="lots")
    assert done.stderr.count("RuntimeWarning") == 1
    assert "`FASTBP_CACHE_SIZE` must be a size such as `512M` or `2G`, got `lots`" in done.stderr
    assert done.stdout.split() == ["True"] * 5


def test_a_formula_that_is_loaded_is_not_the_next_to_go(tmp_path):
    code = """
import os, sys
from fastbp.engine import cache
place = cache.folder()
for name in ("custom_1-float32", "custom_2-float32"):
    cache.write(name, bytes(1000))
    os.utime(place / f"{name}.bin", (0, 0) if name[7] == "1" else (9, 9))
cache.read("custom_1-float32")
os.environ["FASTBP_CACHE_SIZE"] = "3000"
cache.write("custom_3-float32", bytes(1000))
print(*sorted(file.name for file in place.iterdir()))
"""
    assert run(code, tmp_path).stdout.split() == ["custom_1-float32.bin", "custom_3-float32.bin"]


@pytest.mark.parametrize("as_json", [False, True])
def test_doctor_removes_what_is_for_others_and_says_how_much(as_json, tmp_path):
    put(tmp_path / OTHER, "product-float32.bin", size=2**20)
    put(tmp_path / OTHER, "update-float32.bin", size=2**19)
    run(USE, tmp_path)
    own = names(tmp_path)
    code = f"from fastbp.cli.main import main; main(['doctor', '--clean-cache', *{['--json'] * as_json}])"
    done = run(code, tmp_path)
    assert done.stderr == ""
    if as_json:
        said = {"cache_folder": str(tmp_path), "removed_files": 2, "removed_bytes": 3 * 2**19}
        assert json.loads(done.stdout) == said
    else:
        assert done.stdout == f"removed 2 files, 1.5 MiB, from {tmp_path}\n"
    assert names(tmp_path) == [name for name in own if not name.startswith(OTHER)]
    assert len(names(tmp_path)) == 5
    assert not (tmp_path / OTHER).exists()
