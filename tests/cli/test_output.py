"""What commands print on a terminal, in pipes and into files: nothing acts on a terminal, nothing is half written."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastbp.cli import output
from fastbp.cli.main import main

ROOT = Path(__file__).parents[2]
TITLE = "\x1b]0;OWNED\x07\x1b[2J"
RAW = {chr(c) for c in (*range(32), 127, *range(128, 160), 0x202E, 0x2028)} - {"\n"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a table whose names and cells all act on terminals, or on spreadsheets."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    with open(folder / "t.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([f"a{TITLE}", "=c", "@y"])
        for x in rng.normal(size=90):
            out.writerow([f"{x:.4f}", ["+1", "-x", "=1+1"][rng.integers(3)], f"=b{TITLE}" if x > 0 else "-1"])
    before = os.getcwd()
    os.chdir(folder)
    Path("t.yaml").write_text(
        'data: {path: t.csv, target: "@y"}\nnetwork: {hidden: [8]}\n'
        "trainer: {epochs: 30, optimizer: {name: adam, lr: 0.05}}\n"
    )
    assert main(["train", "t.yaml", "--run-dir", "run", "-q"]) == 0
    Path("told").mkdir()
    Path("told/config.yaml").write_bytes(Path("run/config.yaml").read_bytes())
    Path("told/metrics.jsonl").write_text(json.dumps({"epoch": 0, "loss": 1.5, TITLE: 2.0, "lr": 0.1}) + "\n")
    os.chdir(before)
    return folder


@pytest.fixture
def here(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    capsys.readouterr()
    return trained


def on_a_terminal(*arguments):
    """What a terminal would get of a command's stdout and stderr, and the exit code."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FASTBP_QUIET": "1", "TERM": "xterm"}
    command = [sys.executable, "-m", "fastbp", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                more = os.read(ours, 1 << 16)
            except OSError:  # Linux says so when the other end is closed
                break
            if not more:
                break
            seen += more
    os.close(ours)
    return seen.decode().replace("\r\n", "\n"), process.returncode


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["predict", "run", "t.csv"], 0, "=b\\x1b]0;OWNED\\x07\\x1b[2J\n"),
        (["predict", "run", "t.csv", "--keep"], 0, "a\\x1b]0;OWNED\\x07\\x1b[2J,=c,@y,predicted @y\n"),
        (["check", "t.yaml", "--print-config"], 0, "2 classes: -1 46%, =b\\x1b]0;OWNED\\x07\\x1b[2J 54%\n"),
        (["check", "t.yaml", "--set", "data.target=zz"], 3, "got `a\\x1b]0;OWNED\\x07\\x1b[2J`, `=c`, `@y`\n"),
        (["check", f"{TITLE}.yaml"], 2, "fastbp: \\x1b]0;OWNED\\x07\\x1b[2J.yaml: a config must be"),
        (["init", "t.csv", "-o", f"{TITLE}.yaml"], 0, "wrote \\x1b]0;OWNED\\x07\\x1b[2J.yaml; "),
        (["train", "--resume", TITLE], 2, "`\\x1b]0;OWNED\\x07\\x1b[2J` must be the folder of a run"),
        (["show", TITLE], 2, "`\\x1b]0;OWNED\\x07\\x1b[2J` must be the folder of a run"),
        (["evaluate", "run", "-m", TITLE], 2, "got `\\x1b]0;OWNED\\x07\\x1b[2J`\n"),
        (["train", "t.yaml", "--set", f"{TITLE}=1"], 2, "got `\\x1b]0;OWNED\\x07\\x1b[2J`\n"),
        (["show", "told"], 0, "\\x1b]0;OWNED\\x07\\x1b[2J"),
        ([f"tr{TITLE}"], 2, "got `tr\\x1b]0;OWNED\\x07\\x1b[2J`\n"),
        (["predict", "run", "t.csv", "-o", TITLE], 2, "got `\\x1b]0;OWNED\\x07\\x1b[2J`\n"),
        (["predict", "run", "t.csv", "-o", f"none/{TITLE}.csv"], 1, "`none/\\x1b]0;OWNED\\x07\\x1b[2J.csv` must be a"),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else None,
)
def test_a_terminal_finds_nothing_to_act_on(here, arguments, code, shown):
    seen, found = on_a_terminal(*arguments)
    assert found == code, seen
    assert shown in seen
    assert not RAW & {*seen}


def test_a_foreign_file_tells_its_format_in_what_can_be_seen(here, capsys):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, "foreign.safetensors", metadata={"format": TITLE})
    assert main(["predict", "foreign.safetensors", "t.csv"]) == 2
    assert capsys.readouterr().err == (
        "fastbp: `foreign.safetensors` must be a network of fastbp, got format `\\x1b]0;OWNED\\x07\\x1b[2J`\n"
    )


def test_warnings_and_errors_of_files_name_them_in_what_can_be_seen(here, monkeypatch, capsys):
    from safetensors.numpy import save_file

    from fastbp.model.files import FORMATS
    from fastbp.model.sealed import unsealed
    from fastbp.runs.folder import RunFolder

    words, arrays = unsealed(Path("run/best.safetensors"), "a network", FORMATS)
    words = {k: v for k, v in words.items() if "xxh3" not in k}  # as an older version wrote it
    save_file(arrays, f"{TITLE}.safetensors", metadata={**words, "format": FORMATS[1]})
    seen, code = on_a_terminal("predict", f"{TITLE}.safetensors", "t.csv")
    assert code == 0
    assert seen.startswith("fastbp: `\\x1b]0;OWNED\\x07\\x1b[2J.safetensors` was written by an older version")
    assert not RAW & {*seen}

    def fails(self):
        raise OSError(28, "No space left on device", f"{TITLE}/metrics.jsonl")

    monkeypatch.setattr(RunFolder, "flush", fails)
    assert main(["train", "t.yaml", "--run-dir", f"{TITLE} run", "-q"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("fastbp: `\\x1b]0;OWNED\\x07\\x1b[2J/metrics.jsonl`: No space left on device")
    assert not RAW & {*err}


def test_pipes_and_files_are_exact(here, capsys):
    assert main(["predict", "run", "t.csv", "--keep"]) == 0
    piped = capsys.readouterr().out
    assert main(["predict", "run", "t.csv", "--keep", "-o", "out.csv"]) == 0
    assert Path("out.csv").read_bytes() == piped.encode()
    assert main(["predict", "run", "t.csv", "--keep", "-o", "out.jsonl"]) == 0
    rows = list(csv.DictReader(io.StringIO(piped)))
    assert list(rows[0]) == [f"a{TITLE}", "=c", "@y", "predicted @y"]
    assert {row["predicted @y"] for row in rows} == {f"=b{TITLE}", "-1"}
    assert [json.loads(line)["@y"] for line in Path("out.jsonl").read_text().splitlines()] == [r["@y"] for r in rows]
    assert main(["check", "t.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["targets"] == ["-1", f"=b{TITLE}"]


def test_a_stream_that_cannot_write_a_letter_gets_an_escape(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output.say("é\x1b ⠿\nb")
    assert raw.getvalue() == b"\\xe9\\x1b \\u283f\nb\n"


def test_many_rows_are_written_in_pieces(here, monkeypatch, capsys):
    from fastbp.runs import tables

    assert main(["predict", "run", "t.csv", "--keep"]) == 0
    expected = capsys.readouterr().out
    for size in (1, 7, 90):
        monkeypatch.setattr(tables, "CHUNK", size)
        assert main(["predict", "run", "t.csv", "--keep"]) == 0
        assert capsys.readouterr().out == expected


def test_ends_of_lines_in_cells_are_read_back(here, capsys):
    cells = ["a\rb", "a\nb", "a\r\nb", "\r", 'a"b', "a,b", "plain"]
    with open("ends.csv", "w", newline="") as file:
        csv.writer(file).writerows([[f"a{TITLE}", "=c", "\rd\re"], *(["1", "-x", cell] for cell in cells)])
    assert main(["predict", "run", "ends.csv", "--keep"]) == 0
    out = capsys.readouterr().out
    head, *rows = csv.reader(io.StringIO(out, newline=""), strict=True)
    assert head[2] == "\rd\re"
    assert [row[2] for row in rows] == cells
    assert "-x,plain," in out.split("\n")[-2]


# Formulas


def test_formulas_are_quoted_where_somebody_asks_for_it(here, capsys):
    Path("some.csv").write_text(f"a{TITLE},=c\n1,=1+1\n-1,-x\n1,+1\n")
    assert main(["predict", "run", "some.csv", "--keep"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert main(["predict", "run", "some.csv", "--keep", "--quote-formulas"]) == 0
    quoted = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert [r[1] for r in rows] == ["=c", "=1+1", "-x", "+1"]
    assert [r[1] for r in quoted] == ["'=c", "'=1+1", "'-x", "+1"]
    assert quoted[0][2] == "'@y"
    assert [r[0] for r in quoted[1:]] == [r[0] for r in rows[1:]] == ["1", "-1", "1"]
    assert {r[2] for r in quoted[1:]} <= {f"'=b{TITLE}", "-1"}


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_whatever_begins_a_formula_is_quoted(begin, here, capsys):
    with open("begins.csv", "w", newline="") as file:
        csv.writer(file).writerows([[f"a{TITLE}", "=c", "d"], ["1", "-x", f"{begin}HYPERLINK(1)"]])
    assert main(["predict", "run", "begins.csv", "--keep", "--quote-formulas"]) == 0
    _, row = csv.reader(io.StringIO(capsys.readouterr().out, newline=""), strict=True)
    assert row[1:3] == ["'-x", f"'{begin}HYPERLINK(1)"]


def test_quoting_is_for_csv(here, capsys):
    assert main(["predict", "run", "t.csv", "--quote-formulas", "-o", "x.npz"]) == 2
    assert capsys.readouterr().err.startswith(
        "fastbp: `--quote-formulas` must be given with CSV only, got `--output` `x.npz`\n"
    )


# Whole files


def full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.npz", "x.svg"])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_leaves_the_old_file(here, name, call, monkeypatch, capsys):
    Path(name).write_text("old")
    monkeypatch.setattr(os, call, full)
    command = ["show", "run", "--graph", name] if name == "x.svg" else ["predict", "run", "t.csv", "-o", name]
    assert main(command) == 1
    assert capsys.readouterr().err == f"fastbp: `{name}` must be a file that can be written (No space left on device)\n"
    assert Path(name).read_text() == "old"
    assert not [*here.glob(".fastbp-*")]


@pytest.mark.parametrize("name", ["t.csv", "./t.csv", "link.csv", "folder/in.csv"])
def test_what_is_read_is_not_written_over(here, name, capsys):
    before = Path("t.csv").read_bytes()
    for path, target in (("link.csv", "t.csv"), ("folder/in.csv", "../t.csv")):
        Path(path).parent.mkdir(exist_ok=True)
        if not Path(path).is_symlink():
            Path(path).symlink_to(target)
    files = "folder" if "/in" in name else "t.csv"
    assert main(["predict", "run", files, "-o", name]) == 2
    assert capsys.readouterr().err.startswith(f"fastbp: `--output` must not be one of the input files, got `{name}`\n")
    assert Path("t.csv").read_bytes() == before
