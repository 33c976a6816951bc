"""Files of every kind as frames: archives, pairs of rows and labels, folders, and tables through Polars."""

import io
import os
import sys
import threading

import numpy as np
import pytest

from fastbp.config.schema import Data
from fastbp.data import array_files, polars_files
from fastbp.data.files import TARGET, is_idx, read_frame, read_paths, suffix_of
from fastbp.errors import DataError, DependencyError

X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])

OOPS = '\nhint: if that is a missing number, `data.missing_texts: ["oops"]` has it read so in training'


def message(paths, folder, error=DataError, **words):
    with pytest.raises(error) as caught:
        read_paths(paths if isinstance(paths, list) else str(paths), Data(**words))
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.CSV", ".csv"), ("a.b.csv.gz", ".csv.gz"), ("a", ""), ("a.gz", ".gz"), ("x/y.z/train.npy", ".npy")],
)
def test_the_ending_says_what_a_file_is(name, suffix):
    assert suffix_of(name) == suffix


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "train-labels.idx1-ubyte.gz", "x.IDX", "x.idx.gz"])
def test_names_of_the_mnist_family(name):
    assert is_idx(name)


@pytest.mark.parametrize("name", ["row-idx-1.csv", "idx.csv", "my_idx.npy", "x-idx1-y.csv.gz", "widx.npz"])
def test_names_that_only_hold_the_letters_are_others(name):
    assert not is_idx(name)


@pytest.mark.parametrize("name", ["t.xls", "t", "t.gz"])
def test_other_endings_are_refused(tmp_path, name):
    (tmp_path / name).write_text("a\n1\n")
    ending = suffix_of(name) or name
    assert message(tmp_path / name, tmp_path) == (
        f"{name}: must end in one of `.csv`, `.tsv`, `.npz`, `.npy`, `.parquet`, `.arrow`, `-idx3-ubyte.gz`,"
        f" got `{ending}`"
    )


def test_no_file_an_empty_folder_and_an_empty_list(tmp_path):
    assert message(tmp_path / "no.csv", tmp_path) == "no.csv: must be a file, but does not exist"
    assert message([str(tmp_path / f) for f in ("a.npy", "b.npy")], tmp_path) == (
        "a.npy: must be a file, but does not exist"
    )
    (tmp_path / "f").mkdir()
    assert message(tmp_path / "f", tmp_path) == "f: must have files in it, but is empty"
    assert message([], tmp_path) == "`data.path` must name a file, got an empty list"


def test_tsv_is_tabs_whatever_the_delimiter(tmp_path):
    (tmp_path / "t.tsv").write_text("a\tb\n1\tx\n")
    assert list(read_paths(str(tmp_path / "t.tsv"), Data(delimiter=";")).columns) == ["a", "b"]


@pytest.mark.parametrize("name", ["X", "x"])
def test_an_archive_of_rows_and_targets(tmp_path, name):
    np.savez(tmp_path / "t.npz", **{name: X.reshape(6, 2, 2), "y": Y, "z": X[:, :2]})
    frame = read_frame(tmp_path / "t.npz", Data())
    assert np.array_equal(frame.matrix, X)
    assert list(frame.columns) == ["y", "z0", "z1"]
    assert frame.columns["y"].values.tolist() == Y.tolist()


def test_an_archive_without_targets_is_read_for_predictions(tmp_path):
    np.savez(tmp_path / "t.npz", X=X)
    assert len(read_frame(tmp_path / "t.npz", Data(target="y"))) == 6


def test_an_archive_of_named_columns(tmp_path):
    np.savez(tmp_path / "t.npz", a=X[:, 0], job=np.array(list("xyzxyz")), y=Y)
    frame = read_frame(tmp_path / "t.npz", Data())
    assert frame.matrix is None
    assert frame.columns["job"].values.tolist() == list("xyzxyz")
    assert [c.is_text for c in frame.columns.values()] == [False, True, False]


ARCHIVES = {
    "wide": ({"a": X, "b": Y}, "must hold `X` and `y`, or columns of one axis, got `a` (6, 4), `b` (6,)"),
    "rows": ({"X": X, "y": Y[:4]}, "`y` must have 6 rows, got 4"),
    "rows of columns": ({"a": Y, "b": Y[:0]}, "`b` must have 6 rows, got 0"),
    "rows after none": ({"a": Y[:0], "b": Y}, "`b` must have 0 rows, got 6"),
    "one number": ({"X": X, "y": np.array(3)}, "`y` must have 6 rows, got 1"),
    "complex": ({"X": X, "y": Y * 1j}, "`y` must be numbers or texts, got dtype `complex128`"),
    "bytes": ({"X": X, "y": Y.astype("S1")}, "`y` must be numbers or texts, got dtype `|S1`"),
    "complex rows": ({"X": X * 1j, "y": Y}, "must hold real numbers, got dtype `complex64`"),
    "no rows": ({"X": X[:0], "y": Y[:0]}, "must hold rows of numbers, got shape `(0, 4)`"),
    "no rows of columns": ({"a": Y[:0]}, "must have rows"),
    "nothing": ({}, "must have rows"),
}


@pytest.mark.parametrize(("arrays", "wanted"), ARCHIVES.values(), ids=ARCHIVES)
def test_archives_that_are_no_table_are_refused(tmp_path, arrays, wanted):
    np.savez(tmp_path / "t.npz", **arrays)
    assert message(tmp_path / "t.npz", tmp_path) == f"t.npz: {wanted}"


@pytest.mark.parametrize("array", [np.array(3.0), np.zeros((0, 3)), np.zeros((3, 0, 2))], ids=["scalar", "0", "empty"])
def test_an_array_without_rows_is_refused(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    assert message(tmp_path / "x.npy", tmp_path) == f"x.npy: must hold rows of numbers, got shape `{array.shape}`"


def test_an_array_of_texts_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array(["a"]))
    assert message(tmp_path / "x.npy", tmp_path) == "x.npy: must hold real numbers, got dtype `<U1`"


def save(folder, **arrays):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        if name.endswith("ubyte"):
            array = np.asarray(array, np.uint8)
            head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            (folder / name.replace("_", "-")).write_bytes(head + array.tobytes())
        else:
            np.save(folder / f"{name}.npy", array)
    return str(folder)


@pytest.mark.parametrize("order", [("x", "y"), ("y", "x")], ids=["rows-first", "labels-first"])
@pytest.mark.parametrize("ending", [".npy", "-idx-ubyte"])
def test_pairs_in_either_order(tmp_path, order, ending):
    name = "-idx2-ubyte" if ending != ".npy" else ""
    save(tmp_path, **{f"x{name}".replace("-", "_"): X, f"y{name}".replace("-", "_"): Y})
    files = [str(tmp_path / f"{n}{name or '.npy'}") for n in order]
    frame = read_paths(files, Data())
    assert np.array_equal(frame.matrix, X)
    assert frame.columns[TARGET].values.tolist() == Y.tolist()
    assert list(read_paths(files, Data(target="digit")).columns) == ["digit"]


def test_rows_of_one_feature_are_told_from_labels_by_their_axes(tmp_path):
    folder = save(tmp_path, x=X[:, :1], y=Y)
    frame = read_paths(folder, Data())
    assert frame.matrix.tolist() == X[:, :1].tolist()
    assert list(frame.columns) == [TARGET]


def test_targets_of_several_columns(tmp_path):
    frame = read_paths(save(tmp_path, x=X, y=X[:, :2]), Data())
    assert list(frame.columns) == [f"{TARGET}0", f"{TARGET}1"]


NAMES = {
    "kinds apart": ("X0", "X1", "y0", "y1"),
    "shards apart": ("0_rows", "1_rows", "0_labels", "1_labels"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_a_folder_of_shards(tmp_path, names):
    arrays = (X[:2], X[2:], Y[:2], Y[2:])
    frame = read_paths(save(tmp_path / "f", **dict(zip(names, arrays, strict=True))), Data())
    assert np.array_equal(frame.matrix, X)
    assert frame.columns[TARGET].values.tolist() == Y.tolist()
    where = frame.place(4).replace(f"{tmp_path}/f/", "")
    assert where == f"{names[1]}.npy: row 2: "


def test_shards_without_labels_are_rows(tmp_path):
    frame = read_paths(save(tmp_path / "f", a=X[:2], b=X[2:]), Data())
    assert np.array_equal(frame.matrix, X)
    assert not frame.columns


def test_shards_that_do_not_belong_together_are_refused(tmp_path):
    folder = save(tmp_path / "a", x0=X, x1=X, y=Y)
    assert message(folder, f"{tmp_path}/a") == "y.npy: must have 2 files of labels, as many as of rows, got 1"
    folder = save(tmp_path / "b", x=X, y=Y[:5])
    assert message(folder, f"{tmp_path}/b") == "y.npy: must have as many rows as x.npy, 6, got 5"
    folder = save(tmp_path / "c", x0=X, x1=X[:, :3], y0=Y, y1=Y)
    assert message(folder, f"{tmp_path}/c") == "x1.npy: rows must have 4 features as in x0.npy, got 3"


def test_a_folder_of_tables(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "b.csv").write_text("b,a\n\nz,3\n5,oops\n")
    (tmp_path / ".hidden").write_text("")
    frame = read_paths(str(tmp_path), Data())
    assert frame.columns["a"].values.tolist() == ["1", "2", "3", "oops"]
    assert frame.columns["b"].values.tolist() == ["x", "y", "z", "5"]
    assert frame.origin == f"{tmp_path / 'a.csv'} and 1 more"
    with pytest.raises(DataError) as caught:
        frame.take(np.array([3, 1])).numbers("a")
    assert str(caught.value) == f"{tmp_path / 'b.csv'}:4: column `a` must be a number, got `oops`{OOPS}"
    (tmp_path / "c.csv").write_text("a\n1\n")
    assert message(tmp_path, tmp_path) == "c.csv: columns must be those of a.csv, but lack `b`"
    (tmp_path / "c.csv").write_text("a,B,c d,e,f,g,h,i\n1,1,1,1,1,1,1,1\n")
    said = "but lack `b` and have `B`, `c d`, `e`, `f`, `g` and 2 more"
    assert message(tmp_path, tmp_path) == f"c.csv: columns must be those of a.csv, {said}"


def test_the_message_without_polars_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    (tmp_path / "t.parquet").write_bytes(b"")
    assert message(tmp_path / "t.parquet", tmp_path, DependencyError) == (
        't.parquet: Parquet and Arrow files need Polars, which is not installed\nhint: pip install "fastbp[tables]"'
    )


@pytest.mark.parametrize("ending", ["parquet", "arrow", "feather", "ipc"])
def test_tables_of_polars(tmp_path, ending):
    pl = pytest.importorskip("polars")
    import datetime

    east = datetime.timezone(datetime.timedelta(hours=1))
    table = pl.DataFrame(
        {
            "whole": [1, None, 3],
            "real": [0.5, float("nan"), 2.0],
            "text": ["a", None, "b"],
            "truth": [True, False, None],
            "day": [datetime.date(2020, 1, 2)] * 3,
            "moment": [datetime.datetime(2020, 1, 2, 10, 30, tzinfo=east), None, None],
            "clock": [datetime.time(10, 30, 0, 5), None, None],
            "time": [datetime.timedelta(hours=1.5, milliseconds=250), None, None],
            "kind": pl.Series(["u", "v", "u"], dtype=pl.Categorical),
            "nothing": [None, None, None],
        }
    )
    path = tmp_path / f"t.{ending}"
    table.write_parquet(path) if ending == "parquet" else table.write_ipc(path)
    frame = read_paths(str(path), Data())
    nan = np.nan
    for name, values in (
        ("whole", [1, nan, 3]),
        ("real", [0.5, nan, 2]),
        ("truth", [1, 0, nan]),
        ("nothing", [nan] * 3),
    ):
        assert np.array_equal(frame.columns[name].values, values, equal_nan=True)
        assert frame.columns[name].values.dtype == np.float64
    assert frame.columns["text"].values.tolist() == ["a", None, "b"]
    assert frame.columns["day"].values.dtype == "datetime64[us]"
    assert frame.columns["day"].values.tolist() == [datetime.datetime(2020, 1, 2)] * 3
    assert frame.texts("day").tolist() == ["2020-01-02 00:00:00"] * 3
    assert frame.columns["moment"].values.astype(str).tolist() == ["2020-01-02T09:30:00.000000", "NaT", "NaT"]
    assert frame.texts("moment").tolist() == ["2020-01-02 09:30:00", None, None]
    assert frame.columns["clock"].values.astype(str).tolist() == ["1970-01-01T10:30:00.000005", "NaT", "NaT"]
    assert np.array_equal(frame.columns["time"].values, [5400.25, nan, nan], equal_nan=True)
    assert frame.columns["kind"].values.tolist() == ["u", "v", "u"]
    assert frame.place(1) == f"{path}: row 1: "


def test_tables_that_polars_cannot_read_or_that_are_no_table(tmp_path):
    pl = pytest.importorskip("polars")
    (tmp_path / "t.parquet").write_bytes(b"nonsense")
    assert message(tmp_path / "t.parquet", tmp_path).startswith(
        "t.parquet: must be a table that Polars can read (parquet: "
    )
    pl.DataFrame({"a": [[1, 2], [3]]}).write_parquet(tmp_path / "u.parquet")
    assert message(tmp_path / "u.parquet", tmp_path) == (
        "u.parquet: column `a` must be numbers or texts, got `List(Int64)`"
    )
    pl.DataFrame({"a": []}).write_parquet(tmp_path / "v.parquet")
    assert message(tmp_path / "v.parquet", tmp_path) == "v.parquet: must have rows"


class Panic(BaseException):
    """What Rust raises."""


class Polars:
    """A Polars that writes to stderr as Rust does, and panics or reads an empty table."""

    exceptions = type("exceptions", (), {"PanicException": Panic})

    def __init__(self, panics):
        self.panics = panics

    def scan_ipc(self, path):
        os.write(2, b"thread 'worker' panicked at x.rs:1:1\n")
        if self.panics:
            raise Panic("called `Result::unwrap()` on an `Err` value")
        return self

    def read_ipc(self, path):
        return type("table", (), {"get_columns": lambda self: []})()

    def select(self, what):
        return self

    def len(self):
        return self

    def collect(self):
        return self

    def item(self):
        return 0

    def collect_schema(self):
        return {}


@pytest.mark.parametrize(("panics", "found"), [(True, ""), (False, "thread 'worker' panicked at x.rs:1:1\n")])
def test_a_panic_of_rust_is_one_sentence_and_nothing_on_stderr(tmp_path, monkeypatch, capfd, panics, found):
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setitem(sys.modules, "polars", Polars(panics))
    (tmp_path / "t.arrow").write_bytes(b"")
    expected = "a table that Polars can read, but is damaged" if panics else "rows"
    must = "be" if panics else "have"
    assert message(tmp_path / "t.arrow", tmp_path) == f"t.arrow: must {must} {expected}"
    os.write(2, b"after\n")
    assert capfd.readouterr().err == f"{found}after\n"


def test_stderr_stays_where_other_threads_may_write_to_it(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    monkeypatch.setitem(sys.modules, "polars", Polars(True))
    (tmp_path / "t.arrow").write_bytes(b"")
    assert message(tmp_path / "t.arrow", tmp_path).endswith("but is damaged")
    assert capfd.readouterr().err == "thread 'worker' panicked at x.rs:1:1\n"


@pytest.mark.parametrize("ending", ["arrow", "parquet"])
def test_damaged_tables_of_polars_are_read_or_refused(tmp_path, ending, monkeypatch):
    pl = pytest.importorskip("polars")
    monkeypatch.setattr(polars_files, "_ends_its_process", lambda path: False)  # which takes long
    content = io.BytesIO()
    table = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": ["u", "v", "u"]})
    (table.write_ipc if ending == "arrow" else table.write_parquet)(content)
    panics = 0
    for at in range(0, len(content.getvalue()), 1 if ending == "arrow" else 3):
        damaged = bytearray(content.getvalue())
        damaged[at] ^= 0x80
        (tmp_path / f"t.{ending}").write_bytes(damaged)
        try:
            read_frame(tmp_path / f"t.{ending}", Data())
        except DataError as error:
            panics += str(error).endswith("but is damaged")
    assert panics or ending == "parquet"


def test_a_table_that_would_end_the_process_is_refused(tmp_path):
    pl = pytest.importorskip("polars")
    content = io.BytesIO()
    table = pl.DataFrame({"x": [1.5, None] * 5000})
    table.write_ipc(content, compression="zstd")
    content = content.getvalue()
    begin = content.index(b"\x28\xb5\x2f\xfd") - 8  # of a buffer, the size of which stands before it
    (tmp_path / "t.arrow").write_bytes(content[:begin] + b"\x75" * 8 + content[begin + 8 :])
    assert message(tmp_path / "t.arrow", tmp_path) == ("t.arrow: must be a table that Polars can read, but is damaged")


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_table_that_unpacks_to_more_than_memory_is_refused_before(tmp_path, monkeypatch, ending):
    pl = pytest.importorskip("polars")
    monkeypatch.setattr(array_files, "memory", lambda: 2 << 20)
    table = pl.DataFrame({"x": pl.zeros(200_000, pl.Int8, eager=True)})
    path = tmp_path / f"t.{ending}"
    table.write_parquet(path) if ending == "parquet" else table.write_ipc(path, compression="zstd")
    assert path.stat().st_size < 10_000
    assert message(path, tmp_path) == f"t.{ending}: must fit into the 1 MiB that a file may take, got `1 MiB`"
