"""The compile cache: whatever happens to its files or its folder, the results are right and nothing is in the way.

Everything runs in processes of its own, on a folder of its own. The program below uses three compiled functions, so
that a process that finds none takes little time.
"""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp.engine import cache, compiler
from fastbp.kernels import levels
from fastbp.kernels.tile import LANES

ROOT = Path(__file__).parents[2]
FUNCTIONS = {"invoke-float32", "scan_labels-float32", "scan_reals-float32"}
PROGRAM = """
import fastbp as fb
from fastbp.engine.compiler import compilations
net = fb.mlp([4, 8, 3])
for X, y in ([[1, 2, 3, 4], [5, 6, float("nan"), 8]], [0, 1]), ([[1, 2, 3, 4], [5, 6, 7, 8]], [2, 3]):
    try:
        net.loss_and_gradients(X, y)
    except fb.DataError as error:
        print(error)
print("compiled", *sorted(compilations()))
"""
RIGHT = [
    "`X` must be finite, got `nan` at `[1, 2]`",
    "`y` must be between 0 and 2, the network's outputs, got `3` at `[1]`",
]
COLD = "fastbp: compiling kernels for this machine, once (a few seconds)"


def environment(folder, **variables):
    """This process's, with a cache folder of its own; a variable that is None is taken out."""
    out = {**os.environ, "FASTBP_CACHE_DIR": str(folder), "FASTBP_QUIET": "1", **variables}
    return {key: value for key, value in out.items() if value is not None}


def start(code=PROGRAM, folder="", cwd=ROOT, **variables):
    return subprocess.Popen(
        [sys.executable, "-W", "always::RuntimeWarning", "-c", code],
        cwd=cwd,
        env=environment(folder, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.splitlines(), errors.splitlines()


def run(*args, **kwargs):
    return finish(start(*args, **kwargs))


def compiled(out):
    """The functions that the program had to compile; its results must be right."""
    assert out[:-1] == RIGHT
    return set(out[-1].split()[1:])


def files(folder):
    (inner,) = folder.iterdir()
    return {file.name: file for file in inner.iterdir()}


def is_whole(file):
    magic, content = cache.MAGIC, file.read_bytes()
    body = content[len(magic) + 32 :]
    return content.startswith(magic) and hashlib.sha256(body).digest() == content[len(magic) :][:32] and len(body) > 600


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    assert compiled(run(folder=folder)[0]) == FUNCTIONS
    return folder


@pytest.fixture
def folder(warm, tmp_path):
    """A copy of a warm cache."""
    return Path(shutil.copytree(warm, tmp_path / "cache"))


# What it is for


def test_a_second_process_compiles_nothing_and_says_nothing(folder):
    out, errors = run(folder=folder, FASTBP_QUIET=None)
    assert compiled(out) == set()
    assert errors == []
    assert set(files(folder)) == {f"{name}.bin" for name in FUNCTIONS}
    assert all(map(is_whole, files(folder).values()))


TRAINING = """
import numpy as np, fastbp as fb
from fastbp.engine.compiler import compilations
X, y = np.ones((64, 64), np.float32), np.arange(64) % 10
net = fb.mlp([64, 300, 10], dropout=0.1)
trainer = fb.Trainer(net, batch_size=64, threads=2)
trainer.step(X, y), trainer.run(X, y, 2), trainer.fit(X, y, validation=(X, y)), net.predict(X), net.jacobian(X[:2])
print("compiled", *compilations())
"""


def test_a_second_process_that_trains_and_predicts_compiles_nothing():
    own = os.environ.get("FASTBP_CACHE_DIR") or str(cache.user_folder())
    run(TRAINING, own)
    assert run(TRAINING, own)[0] == ["compiled"]


# What it says


@pytest.mark.parametrize(("quiet", "lines"), [(None, [COLD]), ("0", [COLD]), ("1", [])])
def test_a_cold_start_says_one_line_unless_it_is_to_be_quiet(quiet, lines, tmp_path):
    out, errors = run(folder=tmp_path / "new", FASTBP_QUIET=quiet)
    assert compiled(out) == FUNCTIONS
    assert errors == lines


# Damaged files: what becomes of one whose content is given


def resealed(content, **changes):
    """The same object under another header, with the right checksum."""
    head, _, code = content[len(cache.MAGIC) + 32 :].partition(b"\n")
    body = json.dumps({**json.loads(head), **changes}).encode() + b"\n" + code
    return cache.MAGIC + hashlib.sha256(body).digest() + body


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


CHECKSUM = "its checksum is wrong"
FOREIGN = "it is not `{}` of this level and these sources"
DAMAGE = {
    "empty": (lambda content: b"", CHECKSUM),
    "one-byte": (lambda content: content[:1], CHECKSUM),
    "part-of-the-hash": (lambda content: content[:31], CHECKSUM),
    "hash-alone": (lambda content: content[: len(cache.MAGIC) + 32], CHECKSUM),
    "half": (lambda content: content[: len(content) // 2], CHECKSUM),
    "last-byte-missing": (lambda content: content[:-1], CHECKSUM),
    "longer": (lambda content: content + b"\0", CHECKSUM),
    "a-bit-of-the-magic": (lambda content: flipped(content, 3), CHECKSUM),
    "a-bit-of-the-hash": (lambda content: flipped(content, len(cache.MAGIC) + 5), CHECKSUM),
    "a-bit-of-the-header": (lambda content: flipped(content, len(cache.MAGIC) + 40), CHECKSUM),
    "a-bit-of-the-code": (lambda content: flipped(content, len(content) - 300), CHECKSUM),
    "zeros": (lambda content: bytes(len(content)), CHECKSUM),
    "text": (lambda content: b"<!DOCTYPE html>" * 100, CHECKSUM),
    "of-another-level": (lambda content: resealed(content, key="0" * 32), FOREIGN),
    "of-another-function": (lambda content: resealed(content, name="product-float32"), FOREIGN),
}


THREE = [list(DAMAGE)[i : i + 3] for i in range(0, len(DAMAGE), 3)]


def warns_of_damage(lines, folder, problems):
    """One line, of the first that was asked for."""
    (warned,) = [line for line in lines if "RuntimeWarning" in line]
    begins = "RuntimeWarning: fastbp compiles a damaged object again: "
    assert warned.partition(begins)[2] in {
        f"{files(folder)[f'{name}.bin']}: {problem}" for name, problem in problems.items()
    }


@pytest.mark.parametrize("three", THREE, ids="+".join)
def test_damaged_files_are_compiled_again_and_replaced(three, folder):
    damaged = [files(folder)[f"{name}.bin"] for name in sorted(FUNCTIONS)]
    for how, file in zip(three, damaged, strict=True):
        file.write_bytes(DAMAGE[how][0](file.read_bytes()))
    out, errors = run(folder=folder)
    assert compiled(out) == FUNCTIONS
    problems = {file.stem: DAMAGE[how][1].format(file.stem) for how, file in zip(three, damaged, strict=True)}
    warns_of_damage(errors, folder, problems)
    assert all(map(is_whole, damaged))
    assert set(files(folder)) == {file.name for file in damaged}


def test_a_healed_cache_compiles_nothing(folder):
    for file in files(folder).values():
        file.write_bytes(b"")
    assert compiled(run(folder=folder)[0]) == FUNCTIONS
    assert compiled(run(folder=folder)[0]) == set()


def test_a_missing_file_is_made_again(folder):
    files(folder)["scan_reals-float32.bin"].unlink()
    assert compiled(run(folder=folder)[0]) == {"scan_reals-float32"}
    assert is_whole(files(folder)["scan_reals-float32.bin"])


def test_a_file_under_the_name_of_another_function_is_not_believed(folder):
    shutil.copy(files(folder)["scan_reals-float32.bin"], files(folder)["scan_labels-float32.bin"])
    out, errors = run(folder=folder)
    assert compiled(out) == {"scan_labels-float32"}
    warns_of_damage(errors, folder, {"scan_labels-float32": FOREIGN.format("scan_labels-float32")})
    assert compiled(run(folder=folder)[0]) == set()


# No place to keep anything


def warns_once(lines, problem):
    warned = [line for line in lines if "RuntimeWarning" in line]
    assert len(warned) == 1
    assert warned[0].endswith(f"RuntimeWarning: fastbp cannot keep its compiled kernels: {problem}")


def inner(folder):
    return folder / cache.fingerprint()


def test_a_folder_in_the_place_of_a_file_costs_one_warning(folder):
    file = files(folder)["scan_labels-float32.bin"]
    file.unlink()
    file.mkdir()
    out, errors = run(folder=folder)
    assert compiled(out) == {"scan_labels-float32"}
    warns_once(errors, f"{file}: Is a directory")


@pytest.mark.parametrize("part", ["cache", "cache/deeper"])
def test_a_file_in_the_place_of_the_folder_costs_one_warning(part, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    out, errors = run(folder=tmp_path / part)
    assert compiled(out) == FUNCTIONS
    warns_once(errors, f"{inner(tmp_path / part)}: Not a directory")


def test_a_file_in_the_place_of_the_inner_folder_costs_one_warning(tmp_path):
    inner(tmp_path).write_text("not a folder")
    out, errors = run(folder=tmp_path)
    assert compiled(out) == FUNCTIONS
    warns_once(errors, f"{inner(tmp_path)}: File exists")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="nothing can be made in /proc")
def test_a_home_that_cannot_be_written_costs_one_warning():
    out, errors = run(FASTBP_CACHE_DIR=None, XDG_CACHE_HOME=None, HOME="/proc/nobody")
    assert compiled(out) == FUNCTIONS
    warns_once(errors, f"{inner(Path('/proc/nobody/.cache/fastbp'))}: No such file or directory")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_is_read_only_costs_one_warning(tmp_path):
    tmp_path.chmod(0o500)
    out, errors = run(folder=tmp_path / "cache")
    assert compiled(out) == FUNCTIONS
    warns_once(errors, f"{inner(tmp_path / 'cache')}: Permission denied")


def test_a_user_without_a_home_gets_one_warning():
    nobody = """
from pathlib import Path
def home():
    raise RuntimeError("Could not determine home directory.")
Path.home = home
"""
    out, errors = run(nobody + PROGRAM, FASTBP_CACHE_DIR=None, XDG_CACHE_HOME=None)
    assert compiled(out) == FUNCTIONS
    warns_once(errors, "Could not determine home directory")


FULL = """
import errno, os
def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.{} = full
"""


@pytest.mark.parametrize("step", ["replace", "fsync", "fdopen"])
def test_a_full_disk_costs_one_warning_and_leaves_nothing_behind(step, tmp_path):
    out, errors = run(FULL.format(step) + PROGRAM, tmp_path)
    assert compiled(out) == FUNCTIONS
    assert len([line for line in errors if "RuntimeWarning" in line]) == 1
    assert any(line.endswith(".bin: No space left on device") for line in errors)
    assert files(tmp_path) == {}


# Its folder


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("before", [None, 0o755, 0o500])
def test_the_folder_is_the_users_alone(before, warm, tmp_path):
    folder = tmp_path / "cache"
    if before is not None:
        shutil.copytree(warm, folder)
        inner(folder).chmod(before)
    mask = os.umask(0)
    try:
        out, errors = run(folder=folder)
    finally:
        os.umask(mask)
    assert compiled(out) == (FUNCTIONS if before is None else set())
    assert errors == []
    assert stat.S_IMODE(inner(folder).stat().st_mode) == 0o700
    if before is None:
        assert {stat.S_IMODE(file.stat().st_mode) for file in files(folder).values()} == {0o600}


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_what_others_could_have_written_is_not_run(mode, warm, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(warm, folder)
    before = files(folder)
    inner(folder).chmod(mode)
    out, errors = run(folder=folder)
    assert compiled(out) == FUNCTIONS
    warns_once(errors, f"{inner(folder)} is writable by others, so its contents are not trusted; remove it")
    assert files(folder).keys() == before.keys()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files to others")
def test_what_belongs_to_another_user_is_not_run(warm, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(warm, folder)
    before = files(folder)
    os.chown(inner(folder), 12345, 12345)
    out, errors = run(folder=folder)
    assert compiled(out) == FUNCTIONS
    warns_once(errors, f"{inner(folder)} belongs to another user")
    assert files(folder).keys() == before.keys()


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"FASTBP_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/fastbp"),
        ({"FASTBP_CACHE_DIR": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/fastbp"),
    ],
    ids=["chosen", "xdg", "home"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have other places")
def test_the_folder_is_where_it_was_asked_for(variables, place, monkeypatch):
    for name in ("FASTBP_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.user_folder() == Path(place)


# Its key

EDITS = """
import pathlib
from fastbp.engine import cache
def fingerprint():
    cache.sources.cache_clear(), cache.key.cache_clear(), cache.fingerprint.cache_clear()
    return cache.fingerprint()
print(fingerprint())
root = pathlib.Path("fastbp")
others = [root / name for name in ("sweeps/work.py", "engine/compiler.py", "model/network.py")]
for file in [*sorted(root.glob("kernels/*.py")), *others]:
    content = file.read_text()
    file.write_text(content + "# a remark\\n")
    print(file, fingerprint())
    file.write_text(content)
print(fingerprint())
"""


def test_the_key_changes_with_any_source_that_is_compiled_and_with_no_other(tmp_path):
    shutil.copytree(ROOT / "fastbp", tmp_path / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    first, *edited, last = run(EDITS, tmp_path, cwd=tmp_path)[0]
    assert first == last == cache.fingerprint()
    keys = dict(line.split() for line in edited)
    assert keys.pop("fastbp/model/network.py") == first
    assert len(keys) > 10
    assert len({first, *keys.values()}) == 1 + len(keys)


@pytest.mark.parametrize(
    "variable",
    [{"FASTBP_LANES": "4"}, {"NUMBA_OPT": "1"}, {"NUMBA_CPU_NAME": ""}, {"NUMBA_CPU_FEATURES": ""}],
    ids=lambda variable: "".join(variable),
)
def test_the_folder_changes_with_the_level_and_with_settings_of_numbas(variable, tmp_path):
    if "FASTBP_LANES" in variable and LANES == 4:
        pytest.skip("this machine's registers are not wider")
    key = "from fastbp.engine.cache import fingerprint; print(fingerprint())"
    assert run(key, tmp_path, **variable)[0] != [cache.fingerprint()]


# Together


def test_processes_that_compile_at_once_do_not_harm_each_other(tmp_path):
    for process in [start(folder=tmp_path) for _ in range(2)]:
        out, errors = finish(process)
        compiled(out)
        assert errors == []
    assert set(files(tmp_path)) == {f"{name}.bin" for name in FUNCTIONS}
    assert compiled(run(folder=tmp_path)[0]) == set()


# What a wheel brings


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A copy of the package with the objects of the program's functions."""
    place = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "fastbp", place / "fastbp", ignore=shutil.ignore_patterns("__pycache__", "objects"))
    objects = {name: compiler.compiled(*name.split("-")) for name in FUNCTIONS}
    cache.pack(shipped(place), objects, {"numba": "of the test"})
    return place


def shipped(place):
    return place / "fastbp" / "engine" / "objects" / f"{levels.level().name}.objects"


def copy_of(wheel, place):
    shutil.copytree(wheel, place, dirs_exist_ok=True)
    return place


def test_objects_of_a_wheel_are_used_and_nothing_is_compiled_or_kept(wheel, tmp_path):
    out, errors = run(folder=tmp_path / "cache", cwd=wheel, FASTBP_QUIET=None)
    assert compiled(out) == set()
    assert errors == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["flip-an-object", "flip-the-index", "cut", "empty"])
def test_damaged_objects_of_a_wheel_cost_one_warning(damage, wheel, tmp_path):
    place = copy_of(wheel, tmp_path / "wheel")
    file = shipped(place)
    content = file.read_bytes()
    one = content.index(b"\x7fELF") + 700
    file.write_bytes(
        {
            "flip-an-object": content[:one] + bytes([content[one] ^ 1]) + content[one + 1 :],
            "flip-the-index": content[:200] + bytes([content[200] ^ 1]) + content[201:],
            "cut": content[:-50],
            "empty": b"",
        }[damage]
    )
    out, errors = run(folder=tmp_path / "cache", cwd=place)
    again = compiled(out)
    assert again == FUNCTIONS if damage in ("flip-the-index", "empty") else len(again) == 1
    warned = [line for line in errors if "RuntimeWarning" in line]
    assert len(warned) == 1
    assert "fastbp compiles a damaged object again: " in warned[0]
    assert warned[0].endswith("its checksum is wrong")
    assert str(file) in warned[0]


@pytest.mark.parametrize("other", ["sources", "level"])
def test_objects_for_other_sources_or_another_level_are_left_alone(other, wheel, tmp_path):
    place = copy_of(wheel, tmp_path / "wheel")
    if other == "sources":
        with (place / "fastbp" / "kernels" / "scan.py").open("a") as file:
            file.write("# changed\n")
    out, errors = run(folder=tmp_path / "cache", cwd=place, **({"FASTBP_LANES": "4"} if other == "level" else {}))
    assert compiled(out) == FUNCTIONS
    assert errors == []


def test_the_file_of_another_level_under_this_ones_name_is_not_for_us(wheel, tmp_path):
    place = copy_of(wheel, tmp_path / "wheel")
    here = levels.level()
    shipped(place).rename(shipped(place).with_name("x86-64-v2.objects"))
    out, _ = run(folder=tmp_path / "cache", cwd=place, FASTBP_LANES="4")
    assert compiled(out) == (set() if here.lanes == 4 else FUNCTIONS)


def test_a_file_of_objects_is_the_same_whoever_packs_it(wheel, tmp_path):
    objects = {name: compiler.compiled(*name.split("-")) for name in sorted(FUNCTIONS, reverse=True)}
    cache.pack(tmp_path / "again.objects", objects, {"numba": "of the test"})
    assert (tmp_path / "again.objects").read_bytes() == shipped(wheel).read_bytes()
