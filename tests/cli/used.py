"""A table used as people use one: written, begun, trained on, scored in every format, predicted beside its rows."""

import csv
import io
import json
import warnings
from pathlib import Path

import polars as pl

from fastbp.cli.main import main
from fastbp.config.text import read
from fastbp.errors import DataWarning


def table(name, header, rows, delimiter=",", encoding="utf-8", end="\n", mark=b""):
    """Write a table of text, and return its text."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerows([header, *rows] if header else rows)
    Path(name).write_bytes(mark + out.getvalue().encode(encoding))
    return out.getvalue()


def done(*arguments):
    """Run a command that succeeds; the warnings about tables."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert main([*map(str, arguments)]) == 0
    return [str(one.message) for one in said if one.category is DataWarning]


def begun(name, *options):
    """What `init` warns of, the columns that it writes, and the lines with its reasons."""
    Path("t.yaml").unlink(missing_ok=True)
    said = done("init", name, "-o", "t.yaml", *options)
    lines = Path("t.yaml").read_text().splitlines()
    about = {line.split(": ")[0].strip(): line.partition("  # ")[2] for line in lines if "  # " in line}
    return said, read("t.yaml").data["data"]["columns"], about


def trained(*more):
    """What a training of what `init` wrote warns of."""
    quick = (
        "network.hidden=[16]",
        "trainer.epochs=30",
        "trainer.optimizer.lr=0.02",
        "trainer.batch_size=16",
        "trainer.metrics=null",
        "network.dropout=0",
        *more,
    )
    sets = [word for one in quick for word in ("--set", one)]
    return done("train", "t.yaml", "--run-dir", "run", "-q", *sets)


def scores(capsys, name, *options):
    capsys.readouterr()
    done("evaluate", "run", name, "--json", *options)
    return json.loads(capsys.readouterr().out)["metrics"]["files"]


def in_every_format(text, delimiter=",", header=True, texts=()):
    """The table as files of other kinds: as texts, and with the types that Polars sees; `texts` stay texts."""
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    names, rows = (rows[0], rows[1:]) if header else ([f"c{i}" for i in range(len(rows[0]))], rows)
    whole = pl.DataFrame({name: [row[i] for row in rows] for i, name in enumerate(names)})
    kept = dict.fromkeys(texts, pl.String)
    typed = pl.read_csv(
        whole.write_csv().encode(),
        infer_schema_length=None,
        try_parse_dates=True,
        schema_overrides=kept,
        null_values=[""],
    )
    whole.write_csv("of.tsv", separator="\t", include_header=header)
    whole.write_ipc("of.arrow")
    typed.write_parquet("of.parquet")
    typed.write_ipc("typed.arrow")
    return ("of.tsv", "of.arrow", "of.parquet", "typed.arrow")


def given_back(name, text, delimiter=",", end="\n"):
    """The table that is left of predictions beside it, and these."""
    done("predict", "run", name, "--keep", "-o", "out.csv")
    out = Path("out.csv").read_bytes().decode()
    width = len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
    lines = io.StringIO(out, newline="").readlines()
    reader, before, kept, predicted = csv.reader(lines, delimiter=delimiter), 0, [], []
    for row in reader:
        raw = "".join(lines[before : reader.line_num])
        tail = delimiter + delimiter.join(row[width:]) + end
        assert raw.endswith(tail)
        kept.append(raw[: -len(tail)] + end)
        predicted.append(row[width:])
        before = reader.line_num
    return "".join(kept), predicted


def same_everywhere(capsys, name, text, delimiter=",", texts=(), header=True, **kept):
    """The scores of a table, after it was seen to be the same in every format and to come back from predictions."""
    found = scores(capsys, name)
    for other in in_every_format(text, delimiter, header, texts):
        # What a run was told of its own text does not hold for another.
        assert scores(capsys, other, *(["--encoding", "utf-8"] if other.endswith(".tsv") else [])) == found, other
    assert given_back(name, text, delimiter, **kept)[0] == text
    return found
