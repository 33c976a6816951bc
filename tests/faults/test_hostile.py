"""What somebody made to take time, memory, files or control: answered in a sentence within 10 s, before it is taken."""

import gzip
import importlib.util
import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from fastbp.autodiff.expression import parse
from fastbp.errors import ConfigError
from tests.faults.mutants import must_be_a_sentence
from tests.faults.server import CONFIG, WHOLE, can_run

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that the processes run below")
SECONDS = 10.0  # of computing
HANGS = 60.0  # seconds after which whatever waits is ended
MEMORY = 256 << 20  # bytes that each process believes to be free; one file may take half of them
MIB = 1 << 20


@pytest.fixture(scope="module")
def runs(server, tmp_path_factory):
    """A run that is done and one that is to go on."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "c.yaml").write_text(CONFIG)
    for name, epochs in (("done", 4), ("half", 2)):
        more = ["--run-dir", str(folder / name), "--set", f"trainer.epochs={epochs}"]
        status, said, _ = server.run("train", str(folder / "c.yaml"), "-q", *more)
        assert (status, said) == (0, "")
    np.save(folder / "x.npy", np.eye(2))
    return folder


def answered(server, *arguments):
    """Exit code and sentence, within 10 s of a processor."""
    status, said, _ = server.run(*map(str, arguments), seconds=HANGS, memory=MEMORY)
    assert status >= 0, f"ended by signal {-status}"
    assert server.cpu < SECONDS
    if status:
        must_be_a_sentence(said, status)
    return status, said


# Formulas

FORMULAS = [
    *("x.__class__", "x.__class__.__mro__[1].__subclasses__()", "().__class__", "exp.__globals__", "__import__('os')"),
    *("eval('1')", "exec('1')", "open('/etc/passwd')", "getattr(x, 'a')", "print(x)", "globals()", "exp.__call__(x)"),
    *("(lambda: 0)()", "lambda x: x", "[i for i in x]", "{i for i in x}", "{x: x}", "(i for i in x)", "(y := x)", "*x"),
    *("f'{x}'", "f'{x!r:{x}}'", "'a'", "b'a'", "x if x else x", "x and x", "not x", "x is x", "x in x", "...", "None"),
    *("x[0]", "x[::2]", "x, x", "exp(x, y=1)", "exp(*[x])", "exp(**{})", "x; x", "x\nimport os", "await x", "yield x"),
    *(
        "x\0",
        "\0",
        "exp(x)\0",
        "х",
        "еxp(x)",
        "ｅｘｅｃ(x)",
        "__ｉmport__(x)",
        "x․y",
        "x\u200b",
        "＿＿class＿＿",
        "x\x1b[2J",
    ),
    *(
        "x@x",
        "x<<x",
        "x//x",
        "x%x",
        "x|x",
        "~x",
        "1j",
        "0x1p3",
        "1_000_000_000_000j",
        "9" * 900,
        "x" * 10**6,
        "(" * 999,
    ),
    *(
        "x" + "+x" * 499 + ")",
        "-" * 999 + "x",
        "exp(" * 240 + "x" + ")" * 240,
        "[" * 900,
        "x**" * 300 + "x",
        "\\" * 900,
    ),
]


@pytest.mark.parametrize("at", range(len(FORMULAS)))
def test_a_formula_is_a_formula_or_a_sentence(at):
    with pytest.raises(ConfigError) as info:
        parse(FORMULAS[at])
    must_be_a_sentence(f"fastbp: {info.value}\n")


def test_towers_of_powers_are_numbers_like_others(server, tmp_path):
    path = tmp_path / "c.json"
    for formula in ("9**9**9**9 * x", "x**9**9**9", "(" + "9**" * 300 + "9) * x", "10**400", "2**-1074 * x"):
        data = {"data": {"source": "moons", "rows": 60}, "network": {"hidden": [3], "activation": formula}}
        path.write_text(json.dumps(data))
        assert answered(server, "check", path, "-q")[0] in (0, 2)


# Configurations

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)
)
CONFIGS = {
    "aliases.yaml": (LAUGHS, "no anchors"),
    "an-alias-of-itself.yaml": ("a: &a [*a]", "no anchors"),
    "merges.yaml": ("<<: [{a: 1}, {b: 2}]", "known keys"),
    "a-tag.yaml": ("a: !!python/object/apply:os.system ['true']", "no tags"),
    "deep-lists.yaml": ("a: " + "[" * 500_000, "nested at most 32 deep"),
    "deep-maps.yaml": ("".join(" " * i + "a:\n" for i in range(1400)), "nested at most 32 deep"),
    "deep-dashes.yaml": ("a:\n " + "- " * 250_000, "nested at most 32 deep"),
    "questions.yaml": ("? " * 250_000, "nested at most 32 deep"),
    "many-keys.yaml": ("".join(f"k{i}: 1\n" for i in range(90_000)), "at most 100000 keys and values"),
    "a-long-list.yaml": ("a: [" + "1," * 500_000 + "]", "at most 100000 keys and values"),
    "a-long-key.yaml": ("a" * 1_000_000 + ": 1", "must be valid YAML"),
    "a-long-value.yaml": ("name: " + "a" * 1_000_000, "`name` must"),
    "many-digits.yaml": ("seed: " + "9" * 1_000_000, "at most 4300 digits"),
    "documents.yaml": ("---\n" * 250_000, "at most 100000 keys and values"),
    "comments.yaml": ("#\n" * 500_000, "keys with values, got nothing"),
    "deep.json": ('{"a": ' + "[" * 500_000, "nested at most 32 deep"),
    "many-keys.json": ("{" + ",".join(f'"k{i}": 1' for i in range(49_000)) + "}", "known keys"),
    "the-same-key.json": ("{" + ",".join('"data": 1' for i in range(40_000)) + "}", "must be given once"),
    "many-digits.json": ('{"seed": ' + "9" * 1_000_000 + "}", "at most 4300 digits"),
    "a-dotted-key.toml": ("a." * 100_000 + "a = 1", "nested at most 32 deep"),
    "a-dotted-table.toml": ("[" + "a." * 100_000 + "a]", "nested at most 32 deep"),
    "many-tables.toml": ("".join(f"[t{i}]\n" for i in range(90_000)), "at most 100000 keys and values"),
    "deep.toml": ("a = " + "[" * 500_000, "nested at most 32 deep"),
    "quotes.toml": ("a = " + '"""' * 300_000, "must be valid TOML"),
}


@pytest.mark.parametrize("name", CONFIGS if WHOLE else [*CONFIGS][::4])
def test_a_configuration_that_is_a_bomb_is_refused(name, server, runs, tmp_path):
    content, wanted = CONFIGS[name]
    (tmp_path / name).write_text(content)
    status, said = answered(server, "check", tmp_path / name)
    assert status == 2
    assert wanted in said
    assert server.peak < 600 * MIB


# Tables


def deflated(piece, times):
    """A piece many times, as deflate has it, without ever having all of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)) * times + zlib.compressobj(wbits=-15).flush()


def npz(declared, piece, times):
    """An archive of one array, a piece many times, that says so many bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("X.npy", deflated(piece, times))
    content = bytearray(out.getvalue())
    for begin, method, size in ((0, 8, 22), (content.rindex(b"PK\x01\x02"), 10, 24)):
        content[begin + method : begin + method + 2] = struct.pack("<H", 8)
        content[begin + size : begin + size + 4] = struct.pack("<I", declared)
    return bytes(content)


def head_of(shape):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return out.getvalue()


def idx(rows):
    return b"\0\0\x08\x02" + struct.pack(">2I", rows, 1000)


TOO_LARGE = "must fit into the 128 MiB that a file may take"
TABLES = {
    "says-it.npz": (lambda: npz(2**32 - 2, bytes(MIB), 4096), TOO_LARGE),
    "does-not-say-it.npz": (lambda: npz(1000, bytes(MIB), 4096), "in NPZ format"),
    "says-it-inside.npz": (lambda: npz(2000, head_of((2**29,)) + bytes(1000), 1), "in NPZ format"),
    "a-long-line.csv.gz": (lambda: gzip.compress(b"x" * 16 * MIB) * 256, "a line must have at most 64 MiB"),
    "a-wide-line.csv.gz": (lambda: gzip.compress(b"," * 16 * MIB) * 3, "rows must fit into the 128 MiB"),
    "rows.csv.gz": (lambda: gzip.compress(b"a,b\n") + gzip.compress(b"1,2\n" * 4 * MIB) * 128, TOO_LARGE[5:]),
    "blank-lines.csv.gz": (lambda: gzip.compress(b"a,b\n") + gzip.compress(b"\n" * 16 * MIB) * 64, TOO_LARGE[5:]),
    "a-long-field.csv.gz": (
        lambda: gzip.compress(b'a\n"') + gzip.compress(b"x\n" * 8 * MIB) * 64,
        "at most 131,072 characters",
    ),
    "says-it.idx.gz": (lambda: gzip.compress(idx(4_000_000)) + gzip.compress(bytes(16 * MIB)) * 256, TOO_LARGE),
    "more-behind.idx.gz": (lambda: gzip.compress(idx(3)) + gzip.compress(bytes(16 * MIB)) * 256, "but has more"),
    "says-it.npy": (lambda: head_of((2**40, 2**20)) + bytes(1000), "in NPY format"),
    "rows.parquet": (lambda: polars_table("parquet"), TOO_LARGE),
    "rows.arrow": (lambda: polars_table("arrow"), TOO_LARGE),
}


def polars_table(ending):
    """A hundred million rows in some KiB."""
    import polars as pl

    table, out = pl.DataFrame({"x": pl.zeros(10**8, pl.Int8, eager=True)}), io.BytesIO()
    table.write_parquet(out) if ending == "parquet" else table.write_ipc(out, compression="zstd")
    return out.getvalue()


@pytest.mark.parametrize("name", TABLES if WHOLE else ["says-it.npz", "a-wide-line.csv.gz", "more-behind.idx.gz"])
def test_a_table_that_is_a_bomb_is_refused_before_memory_is_taken(name, server, runs, tmp_path):
    if name.endswith(("parquet", "arrow")) and not importlib.util.find_spec("polars"):
        pytest.skip("Polars reads these")
    content, wanted = TABLES[name]
    path = tmp_path / name
    path.write_bytes(content())
    assert path.stat().st_size < 25 * MIB
    answered(server, "evaluate", runs / "done", runs / "x.npy")
    usual = server.peak
    for command in (["evaluate", runs / "done", path], ["init", path, "-o", tmp_path / "i.yaml"]):
        status, said = answered(server, *command)
        assert status == 3
        assert wanted in said
        assert server.peak - usual < MEMORY


def test_the_measure_sees_what_takes_memory(server, runs, tmp_path):
    np.savez(tmp_path / "x.npz", X=np.ones((3_000_000, 2)))
    answered(server, "evaluate", runs / "done", runs / "x.npy")
    usual = server.peak
    answered(server, "predict", runs / "done", tmp_path / "x.npz")
    assert server.peak - usual > 40 * MIB


# What is no file


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.npy", "t.npz", "t.idx"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_table_that_is_no_file_is_not_waited_for(name, kind, server, runs, tmp_path):
    path = tmp_path / name
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    for command in (["predict", runs / "done", path], ["evaluate", runs / "done", path], ["init", path]):
        assert answered(server, *command) == (3, f"fastbp: {path}: must be a regular file\n")


NAMES = ["config.yaml", "environment.json", "metrics.jsonl", "history.csv", "result.json", "checkpoint.safetensors"]
NAMES += ["best.safetensors", "last.safetensors", "curves.svg", ".lock"]
SOME = NAMES if WHOLE else ["checkpoint.safetensors", "metrics.jsonl", ".lock"]


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"] if WHOLE else ["pipe"])
def test_nothing_waits_for_what_stands_in_the_place_of_a_runs_file(name, kind, server, runs, tmp_path):
    for run in ("done", "half"):
        shutil.copytree(runs / run, tmp_path / run)
        path = tmp_path / run / name
        path.unlink(missing_ok=True)
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero") if kind == "device" else path.mkdir()
        answered(server, "show", tmp_path / run)
        answered(server, "evaluate", tmp_path / run)
        answered(server, "predict", tmp_path / run, runs / "x.npy")
        resumed(server, tmp_path / run)


def resumed(server, run):
    status, said, _ = server.run("train", "--resume", str(run), "-q", "--set", "trainer.epochs=4", seconds=HANGS)
    assert status in (0, 1, 2), (status, said)
    if status:
        assert said.startswith("fastbp: ")
        assert said.count("\n") <= 2
        assert "Traceback" not in said
    return status


@pytest.mark.parametrize("name", SOME)
def test_what_a_link_in_a_runs_folder_leads_to_stays_whole(name, server, runs, tmp_path):
    for run in ("done", "half"):
        shutil.copytree(runs / run, tmp_path / run)
        path, victim = tmp_path / run / name, tmp_path / f"victim-{run}"
        victim.write_bytes(path.read_bytes() if path.exists() else b"of somebody else\n")
        before = victim.read_bytes()
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        status = resumed(server, tmp_path / run)
        assert status == (2 if name == ".lock" else 0)
        assert victim.read_bytes() == before
        assert victim.stat().st_mode & 0o777 == Path(runs / "c.yaml").stat().st_mode & 0o777
