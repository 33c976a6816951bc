"""Tables of every format, and mutants of them as cells, as heads and as bytes."""

import csv
import gzip
import importlib.util
import io
import struct
import zipfile

import numpy as np

from tests.faults import odd

TEXTS = ("t.csv", "t.tsv", "t.csv.gz")
ARRAYS = ("t.npy", "t.npz", "t-idx2-ubyte", "t-idx2-ubyte.gz")
FRAMES = ("t.parquet", "t.arrow") if importlib.util.find_spec("polars") else ()
KINDS = (*TEXTS, *ARRAYS, *FRAMES[:1])
DTYPES = [
    "f2",
    "f4",
    "f8",
    ">f4",
    ">f8",
    "i1",
    "i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    "?",
    "c8",
    "U5",
    "S5",
    "M8[s]",
]
DTYPES += ["O", "f4,i2", "V3", "g"]
HEADS = [
    "(10, 3)",
    "(40, -3)",
    "(2**40, 3)",
    "(40.0, 3)",
    "(4000000000000, 3)",
    "'<f4'",
    "'|O'",
    "'<f1'",
    "True",
    "None",
]
HEADS += ["[('a', '<f4')]", "(" * 100, "1e400", "__import__('os')", "('<f8', (3,))", "'\x1b[2J'", "\u00ff", str(2**63)]
CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def mutant(seed, number):
    """A file's name and its bytes."""
    rng = odd.of("table", seed, number)
    name = rng.choice([*KINDS * 4, *FRAMES])
    content = MAKERS[name.split(".", 1)[1].removesuffix(".gz") if "idx" not in name else "idx"](rng, name)
    if rng.random() < 0.2:
        content = odd.damaged(rng, content)
    if name.endswith(".gz"):
        content = gzip.compress(content, 1)
        if rng.random() < 0.2:
            content = odd.damaged(rng, content)
    return name, content


def settings(seed, number, name):
    """What is said of it under `data`; beside rows alone there is a file of labels."""
    rng = odd.of("settings", seed, number)
    names = ["a", "b", "c", "g", "w", "y", "part"]
    array = name in ARRAYS
    data = {"path": [name, "labels.npy"] if array and name != "t.npz" and rng.random() < 0.9 else name}
    data |= {
        "target": None if array and rng.random() < 0.8 else rng.choice(["y", "y", "y", "b", *names, ["a", "b"], None])
    }
    data |= {"scale": rng.choice(["standard", "robust", "quantile", "none"]), "indicator": rng.random() < 0.5}
    data |= {"missing": rng.choice(["mean", "mean", "median", "constant", "refuse"])}
    data |= {"encode": rng.choice(["one_hot", "embedding"]), "min_frequency": rng.choice([1, 1, 2, 50])}
    data |= {"task": rng.choice([*[None] * 9, "classes", "numbers", "labels"]), "header": rng.random() < 0.95}
    data["split"] = rng.choice(
        [{}, {"test": 0.0}, {"folds": 3}, *([] if array else [{"group": "g", "stratify": False}, {"column": "part"}])]
    )
    kinds = ["number", "category", "ignore", "weight", {"type": "number", "scale": "robust", "missing": "median"}]
    data["columns"] = {name: rng.choice(kinds) for name in names if rng.random() < 0.07 and not array}
    if rng.random() < 0.3 and not array:
        data["columns"]["w"] = "weight"
    data["delimiter"] = rng.choice([*[","] * 40, ";", "\t", " ", "|", "a"])
    return data


def rows_of(rng):
    """A head and rows, with some cells that are odd."""
    count = rng.choice([1, 5, 30, 60, 60, 60, 60, 250])
    head = ["a", "b", "c", "g", "w", "y", "part"]
    parts = ["train", "train", "validation", "test"]
    rows = [
        [
            "" if i % 7 == 3 else str(i / 8),
            str(i * i % 11),
            "uvw"[i % 3],
            f"g{i % 9}",
            str(i % 4),
            ["no", "yes"][i % 2],
            parts[i % 4],
        ]
        for i in range(count)
    ]
    for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
        row = rng.choice([head, *rows, *rows, *rows])
        row[rng.randrange(len(row))] = odd.text(rng)
    for _ in range(rng.choice([*[0] * 9, 1])):
        row = rng.choice([head, *rows])
        change = rng.choice([list.pop, list.clear, list.reverse, lambda row: row.append("1")])
        change(row)
    if rng.random() < 0.1:
        column = rng.randrange(7)
        value = odd.text(rng)
        for row in rows:
            if column < len(row):
                row[column] = value
    return head, rows


def text_table(rng, name):
    head, rows = rows_of(rng)
    out = io.StringIO()
    delimiter = "\t" if "tsv" in name else rng.choice([*[","] * 30, ";", " "])
    writer = csv.writer(
        out,
        delimiter=delimiter,
        quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        lineterminator=rng.choice(["\n", "\n", "\r\n", "\r", "\n\n"]),
    )
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue().encode(rng.choice(["utf-8"] * 18 + ["utf-8-sig", "utf-16"]), "surrogatepass")


def array(rng, dtype=None, shape=None):
    """An array of some type and shape, with some numbers that are odd."""
    shape = shape or rng.choice([*[(40, 3)] * 12, (40,), (40, 2, 2), (1, 3), (0, 3), (3, 0), (), (2, 1, 1, 1, 2)])
    found = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 11
    dtype = dtype or rng.choice(["f4", "f8", "f8", "f8", "u1", "i8", rng.choice(DTYPES)])
    found = found.astype(dtype, order=rng.choice("CF"))
    if found.dtype.kind == "f" and found.size:
        with np.errstate(all="ignore"):
            for _ in range(rng.choice([0, 0, 0, 1, 3])):
                at = rng.randrange(found.size)
                found.flat[at] = rng.choice([np.nan, np.inf, -np.inf, 1e308, 1e39, -0.0, 1e-320, 2.0**63])
    return found


def npy(rng, found=None):
    """An array in its format, with a head that may say something else."""
    buffer = io.BytesIO()
    np.save(buffer, array(rng) if found is None else found, allow_pickle=True)
    content = buffer.getvalue()
    if rng.random() < 0.2:
        size = struct.unpack("<H", content[8:10])[0]
        head = content[10 : 10 + size].decode("latin1")
        said = rng.choice(["(40, 3)", "'<f8'", "False", "'descr'", "(40,)", "40", "}", "'fortran_order'", "3"])
        other = rng.choice(HEADS)
        head = head.replace(said, other, 1).encode("latin1")
        version = rng.choice([b"\x01\x00", b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x09\x00"])
        content = content[:6] + version + struct.pack("<H", min(len(head), 65535)) + head + content[10 + size :]
    if rng.random() < 0.05:
        content += rng.choice([b"\0", content, bytes(1000)])
    return content


def npz(rng, name):
    """Members whose checksums are right, whatever is in them."""
    out = io.BytesIO()
    rows = rng.choice([40, 40, 40, 2, 300])
    members = {"X": npy(rng, array(rng, shape=(rows, 3))), "y": npy(rng, array(rng, "i8", (rows,)) % 3)}
    for _ in range(rng.choice([0, 0, 1, 2])):
        key = rng.choice(["X", "y", "w", "g", "part", odd.text(rng)[:1000]])
        members[key] = rng.choice([lambda: npy(rng), lambda: npy(rng, array(rng, shape=(rows,))), lambda: b"text"])()
    if rng.random() < 0.2:
        members.pop(rng.choice(list(members)))
    with zipfile.ZipFile(out, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for key, content in members.items():
            archive.writestr(key.replace("\0", "0") + rng.choice([".npy"] * 9 + [".n"]), content)
    return out.getvalue()


def idx(rng, name):
    code = rng.choice(list(CODES))
    found = array(rng, code, rng.choice([*[(40, 3)] * 6, (40,), (40, 2, 2), (0, 3), (1, 1)]))
    head = bytes([0, 0, CODES[code], found.ndim]) + struct.pack(f">{found.ndim}I", *found.shape)
    if rng.random() < 0.15:
        head = bytearray(head)
        head[rng.randrange(len(head))] = rng.choice([0, 1, 3, 8, 13, 14, 127, 255])
    return bytes(head) + found.tobytes()


def frame(rng, name):
    """A table of Polars, with columns of every type."""
    import datetime
    from decimal import Decimal

    import polars as pl

    head, rows = rows_of(rng)
    rows = [row for row in rows if len(row) == len(rows[0])] or [["1"]]
    columns = {}
    for i, key in enumerate(head[: len(rows[0])]):
        values = [row[i] for row in rows]
        try:
            columns[key] = pl.Series([float(v) if v else None for v in values]) if i != 2 else pl.Series(values)
        except ValueError:
            columns[key] = pl.Series(values)
    count = len(rows)
    more = {
        "list": lambda: pl.Series([[1, 2]] * count),
        "struct": lambda: pl.Series([{"a": 1}] * count),
        "day": lambda: pl.Series([datetime.date(2020, 1, 2)] * count),
        "time": lambda: pl.Series([datetime.timedelta(1)] * count),
        "bytes": lambda: pl.Series([b"\xff"] * count),
        "kind": lambda: pl.Series(["u", "v"] * count, dtype=pl.Categorical)[:count],
        "decimal": lambda: pl.Series([Decimal("1.5")] * count),
        "big": lambda: pl.Series([2**64 - 1] * count, dtype=pl.UInt64),
        "nothing": lambda: pl.Series([None] * count),
        "truth": lambda: pl.Series([True, None] * count)[:count],
        odd.text(rng)[:1000]: lambda: pl.Series([float("nan"), float("inf")] * count)[:count],
    }
    for key in rng.sample(sorted(more), rng.choice([0, 0, 1, 2])):
        columns[key] = more[key]()
    table, out = pl.DataFrame(columns), io.BytesIO()
    if name.endswith("parquet"):
        table.write_parquet(out, compression=rng.choice(["zstd", "uncompressed", "snappy", "gzip"]))
    else:
        table.write_ipc(out, compression=rng.choice(["uncompressed", "lz4", "zstd"]))
    return out.getvalue()


MAKERS = {
    **dict.fromkeys(("csv", "tsv"), text_table),
    "npy": lambda rng, name: npy(rng),
    "npz": npz,
    "idx": idx,
    "parquet": frame,
    "arrow": frame,
}
