"""One mutant by its seed and number, in a process that is watched: python -m tests.faults.mutants FOLDER SEED < numbers

`Watched` starts that process, says which mutant is next, and waits 10 s for what came of it. What is wrong with one is
found again from a shell: (echo runs 0; echo table 17) | python -m tests.faults.mutants /tmp/empty 0
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
SECONDS = 10.0
LONGEST = 2100  # characters of a line
MEMORY = 6 << 30  # of address space, so that nothing takes the machine's
STREAMED = re.compile("fastbp: .* (is streamed; its rows are in|which may be removed).*\n")  # which is no mistake
FINE = {"init": ("wrote ", "not certain: "), "export": "wrote ", "train": "fastbp: nothing was trained, "}
ONE_RUN = "`sweep` must be left out where one run is trained"


class Watched:
    """Tries mutants, one after another."""

    def __init__(self, seed):
        self.seed, self.folder = seed, tempfile.TemporaryDirectory()
        command = [sys.executable, "-m", "tests.faults.mutants", self.folder.name, str(self.seed)]
        environment = {**os.environ, "FASTBP_NUM_THREADS": "1", "FASTBP_QUIET": "1"}
        self.child = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.answer(60.0) == {"ready": True}

    def prepare(self):
        """Train the runs that commands use."""
        self.child.stdin.write(b"runs 0\n")
        self.child.stdin.flush()
        assert self.answer(300.0) == {"accepted": True}

    def answer(self, seconds):
        ready, _, _ = select.select([self.child.stdout], [], [], seconds)
        line = self.child.stdout.readline() if ready else None
        return (
            json.loads(line) if line else None if line is None else {"wrong": f"the process ended, {self.child.wait()}"}
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.communicate()
        self.folder.cleanup()

    def tried(self, kind, number):
        """Whether it was accepted; what is wrong is raised with what finds it again."""
        self.child.stdin.write(f"{kind} {number}\n".encode())
        self.child.stdin.flush()
        answer = self.answer(SECONDS) or {"wrong": f"no answer in {SECONDS:g} s"}
        if "wrong" in answer:
            again = f"(echo runs 0; echo {kind} {number}) | python -m tests.faults.mutants /tmp/empty {self.seed}"
            raise AssertionError(f"{kind} {number} of seed {self.seed}: {answer['wrong']}\n{again}")
        return answer["accepted"]


# In the process


class Wrong(Exception):
    """What no mutant may come to."""


def must(truth, what):
    if not truth:
        raise Wrong(what)


def command(*arguments):
    """Exit code, stdout and stderr of a command, of which one must be empty and the other as it should be."""
    from fastbp.cli.main import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*arguments])
    said, told = (stream.detach().getvalue().decode() for stream in (out, err) if stream.flush() is None)
    told = STREAMED.sub("", told)
    if code == 0:
        fine = told.startswith(FINE.get(arguments[0], "\0"))
        must(told == "" or fine, f"exit code 0 and {told!r}")
    else:
        must(said == "", f"exit code {code} and {said[:500]!r}")
        must_be_a_sentence(told, code)
    return code, said, told


def must_be_a_sentence(told, code=2):
    first, *more, end = told.split("\n")
    must(end == "" and first.startswith("fastbp: ") and len(more) <= 2, f"no sentence: {told!r}")
    must(all(line.startswith(("hint: ", "try `fastbp ")) for line in more), f"more than a sentence: {told!r}")
    must(
        all(line.isprintable() and len(line) <= LONGEST for line in (first, *more)),
        f"control characters or length: {told!r}",
    )
    of_system = "out of memory" in told or "File name too long" in told
    must(code in (2, 3) or of_system, f"exit code {code}: {told!r}")


def try_config(seed, number):
    """What is printed of a configuration that is taken is read as the same, with the same rows and network."""
    from tests.faults import odd_configs

    suffix, content = odd_configs.mutant(seed, number)
    path = Path(f"c{suffix}")
    path.write_bytes(content)
    printer = ("train", "--print-config")
    code, printed, said = command(*printer, str(path))
    if ONE_RUN in said:
        printer = ("check", "--print-config", "-q")
        code, printed, said = command(*printer, str(path))
    looked, outline, found = command("check", str(path), "--json")
    if code:
        must((looked, found) == (code, said), f"`train` says {said!r}, `check` {found!r}")
        return False
    Path("again.yaml").write_text(printed, newline="")
    must(command(*printer, "again.yaml") == (0, printed, ""), "what was printed prints something else")
    again = command("check", "again.yaml", "--json")
    must(
        (*again[:2], sentence_of(again)) == (looked, outline, sentence_of((looked, outline, found))), "another outline"
    )
    must(rows_of(path) == rows_of(Path("again.yaml")), "what was printed has other rows")
    return looked == 0


def sentence_of(answer):
    """What a command said, without the place."""
    return answer[2].partition(" ")[2].partition(": ")[2] if answer[0] else ""


def rows_of(path):
    """Bits of all rows of a configuration, which are finite, and of what was learned from them."""
    from fastbp.config.build import plan_of
    from fastbp.config.text import read
    from fastbp.data.streamed import Told
    from fastbp.runs.subject import subject_of

    subject = subject_of(plan_of(read(path)), told=Told())
    return bits(subject.parts), subject.recipe.to_data()


def in_full(rows):
    """Rows, of which some columns may be codes, and which may stay in a file, as an array."""
    from fastbp.spec.windows import Windows

    return np.ascontiguousarray(rows.some(np.arange(len(rows))) if isinstance(rows, Windows) else rows)


def bits(parts):
    for part in parts.values():
        must(np.isfinite(in_full(part.X)).all(), "rows that are not finite")
        must(part.y.dtype.kind != "f" or np.isfinite(part.y).all(), "targets that are not finite")
        must(part.weight is None or ((part.weight >= 0) & np.isfinite(part.weight)).all(), "weights that are none")
        must(len(part.X) == len(part.y), "other targets than rows")
    return {
        n: tuple(None if a is None else (a.dtype.str, a.shape, a.tobytes()) for a in (in_full(p.X), p.y, p.weight))
        for n, p in parts.items()
    }


def try_table(seed, number):
    """A table that is taken gives finite rows, the same ones again, and from its stored recipe and written form."""
    import msgspec

    from fastbp.config.schema import Data
    from fastbp.data.columns import Reading
    from fastbp.data.csv_files import read_csv
    from fastbp.data.files import read_paths
    from fastbp.data.prepare import prepare
    from fastbp.data.recipe import Recipe
    from fastbp.errors import FastbpError
    from tests.faults import odd_tables

    name, content = odd_tables.mutant(seed, number)
    Path(name).write_bytes(content)
    data = msgspec.convert(odd_tables.settings(seed, number, name), Data)
    dtype = ("float32", "float64")[number % 2]
    try:
        prepared = prepare(data, number, dtype)
    except FastbpError as error:
        must_be_a_sentence(f"fastbp: {error}\n")
        return False
    found, learned = bits(prepared.parts), prepared.recipe.to_data()
    again = prepare(data, number, dtype)
    must((bits(again.parts), again.recipe.to_data()) == (found, learned), "another table at the second time")
    frame = read_paths(data.path, data)
    stored = Recipe.from_data(json.loads(json.dumps(learned)))
    stored.check(prepared.recipe.inputs.width, prepared.recipe.outputs.width, {})
    whole, kept = (in_full(recipe.inputs.matrix(frame, np.dtype(dtype))) for recipe in (prepared.recipe, stored))
    must(np.isfinite(whole).all() and whole.tobytes() == kept.tobytes(), "the stored recipe gives other rows")
    if name in odd_tables.TEXTS:
        with open("written.csv", "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(frame.columns)
            out.writerows(zip(*(shown(column) for column in frame.columns.values()), strict=True))
        texts = frozenset(column.name for column in frame.columns.values() if column.is_text)
        written = read_csv("written.csv", ",", reading=Reading(texts)).columns
        must(list(written) == list(frame.columns), f"other columns: {[*written]}")
        for column in frame.columns.values():
            values = written[column.name].values
            same = (
                values.tolist() == column.values.tolist()
                if column.is_text
                else values.tobytes() == column.values.tobytes()
            )
            must(same, f"column {column.name!r} is read as others than were written")
    return True


def shown(column):
    return ["" if v is None or v != v else v if column.is_text else repr(v) for v in column.values.tolist()]


def try_command(seed, number):
    """Commands on tables and arguments that are odd: predictions for each row, configurations that can be read."""
    from tests.faults import odd, odd_tables

    rng = odd.of("command", seed, number)
    name, content = odd_tables.mutant(seed, number + 10**6)
    Path(name).write_bytes(content)
    model = rng.choice(["classes", "numbers", "classes/best.safetensors", "arrays", "classes", "numbers"])
    delimiter = (
        ["--delimiter", rng.choice([";", "\t", '"', "ab", "\n", odd.text(rng)[:10]])] if rng.random() < 0.2 else []
    )
    word = odd.text(rng).replace("\0", "")[:100]
    kind = rng.choice(["predict", "predict", "evaluate", "init", "check", "show", "export", "explain"])
    table = rng.choice(["rich.csv", name, name, name])
    if kind == "predict":
        flags = [flag for flag in ("--keep", "--probabilities", "--quote-formulas") if rng.random() < 0.4]
        flags += ["--max-memory", rng.choice(["1GB", "1GB", "1 kB", word])] if rng.random() < 0.3 else []
        code, out, _ = command("predict", model, table, *flags, *delimiter)
        if code == 0:
            own = written(table, delimiter) if "--keep" in flags else {}
            text = io.StringIO(out.removeprefix("\ufeff"), newline="")
            rows = [row for row in csv.reader(text, strict=True, **own) if any(row)]
            must({len(row) for row in rows} == {len(rows[0])}, f"rows of {[len(row) for row in rows][:20]} fields")
            must(command("predict", model, table, *flags, *delimiter)[1] == out, "other predictions at the second time")
            must(command("predict", model, table, *flags, *delimiter, "-o", "out.csv")[0] == 0, "none into a file")
            must(Path("out.csv").read_bytes() == out.encode(), "others in a file")
            if "--keep" in flags and not delimiter and "--quote-formulas" not in flags:
                kept(table, rows)
        return code == 0
    if kind == "evaluate":
        metric = ["-m", rng.choice(["accuracy", "rmse", "f1_macro", word])] if rng.random() < 0.5 else []
        return command("evaluate", model, *[table] * (rng.random() < 0.8), *metric, *delimiter, "--json")[0] == 0
    if kind == "init":
        target = ["-t", rng.choice(["y", "a", word])] if rng.random() < 0.4 else []
        Path("made.yaml").unlink(missing_ok=True)
        code, _, _ = command("init", table, *target, *delimiter, "-o", "made.yaml")
        if code == 0:
            _, _, said = command("check", "made.yaml", "--json")
            must(
                "a config must" not in said and "--help" not in said, f"`init` wrote what `check` does not read: {said}"
            )
        return code == 0
    if kind == "check":
        Path("d.json").write_text(json.dumps({"data": odd_tables.settings(seed, number, table)}))
        return (
            command("check", "d.json", "--set", rng.choice(["seed=1", f"name={word}", f"{word}=1", word]), "--json")[0]
            == 0
        )
    if kind == "export":
        out = f"out{rng.choice([*EXPORTS, '.' + word])}"
        words = [part for option in OPTIONS if rng.random() < 0.2 for part in (option, *values_of(rng, option, word))]
        code = command("export", model, out, *words)[0]
        if code == 0:
            first = Path(out).read_bytes()
            must(command("export", model, out, *words)[0] == 0, "no file at the second time")
            must(Path(out).read_bytes() == first, "another file at the second time")
        return code == 0
    if kind == "explain":
        few = ["--repeats", rng.choice(["1", "2", "0", word]), "--rows", rng.choice(["20", "1", "-1", word])]
        column = ["-d", rng.choice(["a", "c", "g", "y", word])] if rng.random() < 0.4 else []
        part = ["--part", rng.choice(["train", "validation", word])] if rng.random() < 0.4 else []
        words = [*few, *column, *part, "--points", rng.choice(["3", "1", word])]
        code, out, _ = command("explain", model, *words, "--json")
        must(code or command("explain", model, *words, "--json")[1] == out, "another answer at the second time")
        return code == 0
    return command("show", rng.choice([model, table, word]), *rng.choice([[], ["--json"]]))[0] == 0


EXPORTS = (".onnx", ".c", ".js", ".html", ".safetensors")
OPTIONS = ("--jacobian", "--opset", "--no-preprocessing", "--numbers", "--name", "--casadi", "--title", "--ranges")


def values_of(rng, option, word):
    """What stands behind an option of `export`."""
    return {
        "--opset": [rng.choice(["13", "17", "12", "99", word])],
        "--numbers": [rng.choice(["c", "g", "a", word])],
        "--name": [rng.choice(["net", "a1", "1a", word])],
        "--title": [word],
        "--ranges": [rng.choice(["a", "g", word]), rng.choice(["0", "nan", word]), rng.choice(["1", "-1", word])],
    }.get(option, [])


def written(table, delimiter):
    """How the reader of CSV is told to read what repeats a table."""
    from fastbp.config.schema import Data
    from fastbp.data.files import read_paths
    from fastbp.data.written import Written

    one = read_paths(table, Data(delimiter=delimiter[1] if delimiter else None), keep=True).written
    dialect = one[0].dialect if one and isinstance(one[0], Written) else None
    return {"delimiter": dialect.delimiter, "quotechar": dialect.quote} if dialect else {}


def kept(table, rows):
    """The columns of a text table stand before the predictions as they were read."""
    from fastbp.config.schema import Data
    from fastbp.data.files import read_paths

    frame = read_paths(table, Data())
    must([name.strip() for name in rows[0][: len(frame.columns)]] == list(frame.columns), f"other columns: {rows[0]}")
    for i, column in enumerate(frame.columns.values()):
        if column.is_text:
            wanted = column.values.tolist()
            found = [row[i].strip() if v is not None else v for v, row in zip(wanted, rows[1:], strict=True)]
            must(found == wanted, f"column {column.name!r} was not repeated as it was")


def train_runs(*_):
    """Three runs, on tables of texts and of arrays."""
    small = "network: {hidden: [4]}\ntrainer: {epochs: 2}\n"
    data = {"classes": "path: rich.csv, target: y, columns: {part: ignore}", "numbers": "path: rich.csv, target: b"}
    for name, said in {**data, "arrays": "path: ids.npz"}.items():
        Path(f"{name}.yaml").write_text(f"data: {{{said}}}\n{small}")
        if not Path(name).exists():
            command("train", f"{name}.yaml", "--run-dir", name, "-q", "--json")
    return True


TRIES = {"config": try_config, "table": try_table, "command": try_command, "runs": train_runs}
TRIES |= {  # what is to be seen
    "warn": lambda *_: warnings.warn("overflow", stacklevel=1),
    "raise": lambda *_: 1 / 0,
    "end": lambda *_: os.abort(),
    "hang": lambda *_: signal.pause(),
    "bell": lambda *_: must_be_a_sentence("fastbp: a \x07\n"),
    "long": lambda *_: must_be_a_sentence(f"fastbp: {'a' * LONGEST}\n"),
    "two": lambda *_: must_be_a_sentence("fastbp: a\nb\n"),
}


def work(folder, seed):
    """Answer each line of stdin with a line of JSON."""
    import resource

    from tests.faults import odd_configs

    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = sys.stdout
    odd_configs.files(Path())
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        kind, number = line.split()
        try:
            with warnings.catch_warnings(record=True) as noted:
                warnings.simplefilter("always")
                answer = {"accepted": TRIES[kind](seed, int(number))}
            noted = [str(warning.message) for warning in noted if warning.category.__name__ != "DataWarning"]
            must(not noted, f"a warning: {noted}")
        except Wrong as error:
            answer = {"wrong": str(error)}
        except BaseException:
            answer = {"wrong": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
