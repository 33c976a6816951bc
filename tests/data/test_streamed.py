"""Tables that stream: what is fitted, the rows, and the split are those of the same table in memory."""

import gzip
import sys

import numpy as np
import pytest

from fastbp.config.schema import Data, Split
from fastbp.data import blocks, fitting, gathered, rowstore, streamed
from fastbp.data.prepare import prepare
from fastbp.data.sizes import amount, limit_of
from fastbp.errors import ConfigError, DataError, DataWarning, DependencyError, FileError
from fastbp.spec.coded import Coded


def table(folder, rows=3000, name="t.csv", seed=0, **replaced):
    """A table with columns of every kind, and some fields that are missing, quoted or written for people."""
    draw = np.random.default_rng(seed)
    columns = {
        "age": [str(v) for v in draw.integers(18, 90, rows)],
        "pay": [f"{v:.3f}" if v > 60.0 else "NA" for v in draw.lognormal(5, 1, rows)],
        "price": [f'"${v:,}"' for v in draw.integers(900, 90_000, rows)],
        "job": [("cook", '"baker, head"', "smith", "", "poet")[v] for v in draw.integers(0, 5, rows)],
        "city": [f"c{v}" for v in draw.integers(0, 60, rows)],
        "open": [("True", "False")[v] for v in draw.integers(0, 2, rows)],
        "day": [f"2024-{1 + v % 12:02d}-{1 + v % 28:02d} {v % 24:02d}:30" for v in draw.integers(0, 4000, rows)],
        "part": [("train", "train", "validation", "test")[v] for v in draw.integers(0, 4, rows)],
        "house": [f"h{v}" for v in draw.integers(0, rows // 5, rows)],
        "w": [str(v) for v in draw.integers(0, 4, rows)],
        "kind": [("no", "yes", "maybe")[v] for v in draw.integers(0, 3, rows)],
        "y": [f"{v:.2f}" for v in draw.normal(size=rows)],
        **replaced,
    }
    path = folder / name
    lines = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def both(data, folder, seed=0, strict=False):
    """The same section in memory and streamed."""
    whole = prepare(data, seed, "float32", None, strict)
    return whole, stream(data, folder, seed, strict)


def stream(data, folder, seed=0, strict=False):
    made, _ = streamed.streamed(data, streamed.sources_of(data), seed, "float32", None, strict, folder, streamed.Told())
    return made


def same(whole, made):
    """Every array of every part, and the recipe."""
    assert made.recipe.to_data() == whole.recipe.to_data()
    assert set(made.parts) == set(whole.parts)
    for name, part in whole.parts.items():
        some = made.parts[name].some()
        assert len(made.parts[name]) == len(part)
        for ours, theirs in (
            (some.X, part.X),
            (some.y, part.y),
            (some.weight, part.weight),
            (some.numbers, part.numbers),
        ):
            assert type(ours) is type(theirs)
            if isinstance(ours, Coded):
                assert ours.counts == theirs.counts
                ours, theirs = ours.narrow, theirs.narrow
            np.testing.assert_array_equal(ours, theirs)


SETTINGS = {
    "numbers": {"target": "y"},
    "classes": {"target": "kind"},
    "drawn by group": {"target": "y", "split": Split(group="house")},
    "by a column": {"target": "kind", "split": Split(column="part")},
    "folds": {"target": "kind", "split": Split(folds=4, fold=2)},
    "weights": {"target": "y", "columns": {"w": "weight", "job": "ignore"}},
    "quantiles": {"target": "y", "scale": "quantile", "missing": "median", "indicator": True},
    "auto": {"target": "y", "scale": "auto", "encode": "auto", "min_frequency": 30},
    "transform": {"target": "pay", "target_transform": "log", "missing_target": "drop", "clamp_target": True},
    "words": {"target": "y", "columns": {"city": {"type": "words", "size": 16}, "day": "category"}},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
@pytest.mark.parametrize("fast", [True, False], ids=["polars", "plain"])
def test_a_small_table_is_what_it_is_in_memory(tmp_path, monkeypatch, name, fast):
    if fast:
        pytest.importorskip("polars")
    else:
        monkeypatch.setattr(blocks, "_fast", lambda *words: None)
    data = Data(path=str(table(tmp_path)), **SETTINGS[name])
    monkeypatch.setattr(rowstore, "STEP", 701)
    same(*both(data, tmp_path / "rows"))


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
@pytest.mark.parametrize("chunk", [8_000, 30_011, 1 << 23])
def test_no_number_depends_on_where_blocks_end(tmp_path, monkeypatch, chunk):
    notes = [('"on two\nlines, with ""quotes"""', "on one")[i % 3 > 0] for i in range(3000)]
    data = Data(path=str(table(tmp_path, note=notes)), target="kind", scale="auto")
    whole = prepare(data, 0, "float32")
    monkeypatch.setattr(rowstore, "STEP", chunk // 50)
    first = (tmp_path / "t.csv").stat().st_size
    read = blocks.look
    monkeypatch.setattr(streamed, "look", lambda *words: wide(monkeypatch, first, chunk, read, *words))
    same(whole, stream(data, tmp_path / "rows"))


def wide(monkeypatch, size, chunk, read, *words):
    """A look at all rows, before blocks are small."""
    found = read(*words)
    monkeypatch.setattr(blocks, "CHUNK", chunk)
    return found


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_a_list_a_pattern_and_files_of_parts_are_read_in_their_order(tmp_path):
    paths = [str(table(tmp_path, 400, f"t{i}.csv", seed=i)) for i in range(3)]
    same(*both(Data(path=[paths[2], paths[0]], target="y"), tmp_path / "rows"))
    same(*both(Data(path=str(tmp_path / "t*.csv"), target="kind"), tmp_path / "rows"))
    same(*both(Data(train=paths[:2], test=paths[2], target="kind"), tmp_path / "rows"))
    same(*both(Data(train=paths[1], validation=paths[0], test=paths[2], target="y"), tmp_path / "rows"))


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_other_forms_of_a_table_give_the_same_rows(tmp_path):
    path = table(tmp_path)
    whole = prepare(Data(path=str(path), target="kind"), 0, "float32")
    packed, other = tmp_path / "t.csv.gz", tmp_path / "latin.csv"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    same(whole, stream(Data(path=str(packed), target="kind"), tmp_path / "rows"))
    other.write_text(path.read_text().replace("poet", "poète"), encoding="latin-1")
    data = Data(path=str(other), target="kind", encoding="latin-1")
    same(*both(data, tmp_path / "rows"))
    windows = tmp_path / "windows.csv"
    windows.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    same(whole, stream(Data(path=str(windows), target="kind"), tmp_path / "rows"))


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_files_with_types_are_streamed(tmp_path, monkeypatch, ending):
    polars = pytest.importorskip("polars")
    frame = polars.read_csv(table(tmp_path)).with_columns(polars.col("day").str.to_datetime("%Y-%m-%d %H:%M"))
    path = tmp_path / f"t.{ending}"
    frame.write_parquet(path) if ending == "parquet" else frame.write_ipc(path)
    monkeypatch.setattr(blocks, "ROWS", 700)
    same(*both(Data(path=str(path), target="y"), tmp_path / "rows"))


# Of more rows than are looked at


@pytest.fixture
def few(monkeypatch):
    """Only some 500 rows are looked at."""
    real = fitting.looked_at
    monkeypatch.setattr(fitting, "LOOKED", 0)
    monkeypatch.setattr(streamed, "looked_at", lambda rows, columns, seed: np.arange(0, rows, 6))
    return real


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_means_deviations_and_counts_are_exact_though_few_rows_are_looked_at(tmp_path, few, monkeypatch):
    monkeypatch.setattr(fitting, "STEP", 512)
    settings = {"target": "y", "split": Split(column="part"), "columns": {"day": "ignore"}}
    data = Data(path=str(table(tmp_path)), **settings)
    same(*both(data, tmp_path / "rows"))
    data = Data(path=str(table(tmp_path)), **{**settings, "target": "kind", "encode": "auto", "min_frequency": 20})
    same(*both(data, tmp_path / "rows"))


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_classes_that_are_numbers_and_labels_are_those_of_all_rows(tmp_path, few):
    rare = ["1"] * 2999 + ["2"]  # in no row that is looked at
    columns = {"w": rare, "part": ["train"] * 3000, "a": list("00111" * 600), "b": list("1001000" * 429)[:3000]}
    path = str(table(tmp_path, **columns))
    said = {"path": path, "split": Split(column="part"), "columns": {"day": "ignore"}}
    same(*both(Data(target="w", task="classes", **said), tmp_path / "rows"))
    said["columns"]["w"] = "ignore"
    same(*both(Data(target=["a", "b"], **said), tmp_path / "rows"))


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
@pytest.mark.parametrize("scale", ["robust", "auto", "noisy_quantile", "quantile"])
def test_every_scale_is_fitted_to_a_sample(tmp_path, few, scale):
    data = Data(path=str(table(tmp_path)), target="y", scale=scale, missing="median", split=Split(column="part"))
    whole, made = both(data, tmp_path / "rows")
    for name in whole.parts:
        ours, theirs = np.asarray(made.parts[name].some().X), np.asarray(whole.parts[name].X)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).mean() < 0.1
    assert made.recipe.to_data() != whole.recipe.to_data()


def test_a_column_that_says_no_part_is_refused(tmp_path, few):
    path = table(tmp_path, part=["train", "test"] * 1200 + ["train"] * 99 + ["exam"] + ["test"] * 500, day=["1"] * 3000)
    assert refused(tmp_path, Data(path=str(path), target="y", split=Split(column="part"))) == (
        f"{path}: row 2499: column `part` must be `train`, `validation` or `test`, got `exam`"
    )


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_quantiles_of_a_sample_are_close_and_parts_have_their_shares(tmp_path, few):
    path = str(table(tmp_path, 20_000))
    whole, made = both(Data(path=path, target="y", scale="quantile", columns={"day": "ignore"}), tmp_path / "rows")
    ours, theirs = (one.recipe.inputs.parts[0].knots[:, 0] for one in (made, whole))
    apart = np.abs(np.interp(ours, theirs, np.linspace(0, 1, len(theirs))) - np.linspace(0, 1, len(ours)))
    assert 0.0 < apart.max() < 0.04
    for name, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        assert abs(len(made.parts[name]) / 20_000 - share) < 0.01


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_a_part_of_a_row_depends_on_seed_and_row_alone(tmp_path, few, monkeypatch):
    path = str(table(tmp_path))
    data = Data(path=path, target="y", columns={"day": "ignore"})
    found = []
    for step in (1 << 18, 301):
        monkeypatch.setattr(fitting, "STEP", step)
        found.append(stream(data, tmp_path / f"rows{step}").parts)
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name].some().X, found[1][name].some().X)
    other = stream(data, tmp_path / "rows", seed=1).parts["test"]
    assert len(other) != len(found[0]["test"]) or (other.some().y != found[0]["test"].some().y).any()


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
@pytest.mark.parametrize("form", ["h{}", "{}", "2{:03d}-01-01"], ids=["texts", "numbers", "dates"])
def test_a_group_stays_in_one_part(tmp_path, few, form):
    house = [form.format(v) if v else "" for v in np.random.default_rng(0).integers(0, 600, 3000)]
    path = table(tmp_path, weight=["1"] * 3000, house=house)
    data = Data(path=str(path), target="y", split=Split(group="house"), columns={"day": "ignore", "house": "ignore"})
    seen = []
    real = streamed.parts_of

    def keep(rows, *words):
        found = real(rows, *words)
        seen.append((rows.raw("house", 0, len(rows)), found))
        return found

    streamed.parts_of = keep
    try:
        stream(data, tmp_path / "rows")
    finally:
        streamed.parts_of = real
    houses, parts = seen[0]
    assert (np.abs(np.bincount(parts) / 3000 - [0.7, 0.15, 0.15]) < 0.05).all()
    houses = np.unique(houses, return_inverse=True)[1]
    assert all(len(set(parts[houses == house].tolist())) == 1 for house in np.unique(houses))
    assert np.isclose(np.unique(houses).size, 600, atol=10)


def test_rows_are_looked_at_by_seed_and_number():
    some = fitting.looked_at(3_000_000, 1000, 0)
    assert abs(len(some) - 20_000) < 600
    assert (np.diff(some) > 0).all()
    assert len(np.intersect1d(some, fitting.looked_at(3_000_000, 1000, 1))) < 400
    np.testing.assert_array_equal(fitting.looked_at(1000, 10, 5), np.arange(1000))


# Kept, found again, refused


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_a_second_run_reads_nothing_and_a_changed_file_is_read_anew(tmp_path):
    path, said, passes = table(tmp_path), [], []
    data = Data(path=str(path), target="y", max_memory="1GB")
    told = streamed.Told(lambda name, done, rows: passes.append(name), said.append)

    def go():
        passes.clear()
        said.clear()
        return streamed.streamed(data, streamed.sources_of(data), 0, "float32", None, False, tmp_path / "rows", told)[1]

    first = go()
    assert set(passes) == {"reading", "fitting", "preparing"}
    data.window_blocks, data.max_memory = 7, "2GB"  # of which no row is made
    assert go().folder == first.folder
    assert not passes
    assert len(said) == 1
    assert str(first.folder) in said[0]
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    second = go()
    assert second.folder != first.folder
    assert "reading" in passes
    assert any(str(first.folder) in text and "may be removed" in text for text in said)
    for _ in range(4):
        said.clear()
        path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
        go()
    assert len(said) == 2
    assert " and 2 more folders there, which may be removed" in said[0]
    assert not list(second.folder.glob("*.column"))


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_rows_that_another_process_made_meanwhile_are_left_as_they_are(tmp_path, monkeypatch):
    data, real, made = Data(path=str(table(tmp_path)), target="y"), streamed.folder_of, []

    def folder_of(*words):
        monkeypatch.setattr(streamed, "folder_of", real)
        made.append(stream(data, tmp_path / "rows"))
        monkeypatch.setattr(streamed, "_made", None)
        return real(*words)

    monkeypatch.setattr(streamed, "folder_of", folder_of)
    found = stream(data, tmp_path / "rows")
    assert len(found.parts["train"]) == len(made[0].parts["train"])


def refused(tmp_path, data, error=DataError):
    with pytest.raises(error) as caught:
        stream(data, tmp_path / "rows")
    return str(caught.value)


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_what_later_blocks_have_otherwise_is_refused_in_a_sentence(tmp_path, monkeypatch):
    rows = 3000
    monkeypatch.setattr(blocks, "CHUNK", 20_000)
    path = table(tmp_path, age=["40"] * (rows - 1) + ["forty"])
    assert refused(tmp_path, Data(path=str(path), target="y")).splitlines()[0] == (
        f"{path}:{rows + 1}: column `age` must be a number, got `forty`"
    )
    path = table(tmp_path, name="b.csv")
    path.write_text(path.read_text() + "1,2,3\n")
    assert refused(tmp_path, Data(path=str(path), target="y")).splitlines()[0] == (
        f"{path}:{rows + 2}: a row must have 12 fields, got 3"
    )


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
@pytest.mark.parametrize("note", ['"on two\nlines, 5"" wide"', "plain", " \" 'x"])
def test_quotes_within_fields_open_nothing(tmp_path, monkeypatch, note):
    notes = [('5" x', note, '"a\nb, c"')[i % 3] if i % 50 else '4" in all' for i in range(3000)]
    data = Data(path=str(table(tmp_path, note=notes)), target="kind")
    whole, first, read = prepare(data, 0, "float32"), (tmp_path / "t.csv").stat().st_size, blocks.look
    monkeypatch.setattr(streamed, "look", lambda *words: wide(monkeypatch, first, 9001, read, *words))
    same(whole, stream(data, tmp_path / "rows"))


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_a_quote_that_is_not_closed_is_refused_before_all_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "CHUNK", 20_000)
    monkeypatch.setattr(blocks, "LINE", 50_000)
    city = ['"never closed' if i == 2000 else f"c{i % 60}" for i in range(9000)]
    path = table(tmp_path, 9000, city=city, price=["1"] * 9000, job=["a"] * 9000)
    read = []
    real = blocks._Text.read
    monkeypatch.setattr(blocks._Text, "read", lambda *words: read.append(0) or real(*words))
    assert refused(tmp_path, Data(path=str(path), target="y")) == (
        f"{path}:2002: a line must have at most 0 MiB, got more\nhint: a quote that is opened must be closed"
    )
    assert len(read) < 20


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_the_first_rows_of_utf_16_are_whole(tmp_path, monkeypatch):
    path = table(tmp_path)
    path.write_text(path.read_text(), encoding="utf-16")
    data = Data(path=str(path), target="kind", columns={"day": "ignore"})
    whole = prepare(data, 0, "float32")
    for chunk in range(100_000, 100_120, 24):
        monkeypatch.setattr(blocks, "CHUNK", chunk)
        same(whole, stream(data, tmp_path / f"rows{chunk}"))


def test_a_file_is_named_where_its_first_rows_are_wrong(tmp_path):
    path = tmp_path / "t.csv"
    for text, said in (
        ("a,y\n1,2\n3\n", ":3: a row must have 2 fields, got 1"),
        ("", ": must have rows, but is empty"),
    ):
        path.write_text(text)
        assert refused(tmp_path, Data(path=str(path), target="y")).splitlines()[0] == f"{path}{said}"


def test_a_file_with_other_columns_is_refused_by_their_names(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,y\n" + "1.5,2,3\n" * 30)
    (tmp_path / "b.csv").write_text("a,B,y\n" + "1.5,2,3\n" * 30)
    said = f"{tmp_path}/b.csv: columns must be those of {tmp_path}/a.csv, but lack `b` and have `B`"
    assert refused(tmp_path, Data(path=f"{tmp_path}/*.csv", target="y")) == said


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = table(tmp_path)
    told = streamed.Told(lambda name, done, rows: path.touch() if name == "reading" else None)
    data = Data(path=str(path), target="y")
    with pytest.raises(DataError) as caught:
        streamed.streamed(data, streamed.sources_of(data), 0, "float32", None, False, tmp_path / "rows", told)
    assert str(caught.value) == f"{path}: must not change while it is read"


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_a_file_that_changes_before_its_turn_is_refused(tmp_path):
    """As rows would be kept under the name of the file as it was."""
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    for path in paths:
        path.write_text("x,y\n" + "1.5,2.5\n3.5,4\n" * 20)
    told = streamed.Told(lambda name, done, rows: paths[2].touch() if name == "reading" and rows <= 40 else None)
    data = Data(path=[str(path) for path in paths], target="y")
    with pytest.raises(DataError) as caught:
        streamed.streamed(data, streamed.sources_of(data), 0, "float32", None, False, tmp_path / "rows", told)
    assert str(caught.value) == f"{paths[2]}: must not change while it is read"


def test_a_column_of_very_many_texts_is_ignored_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "CHUNK", 20_000)
    for place in (streamed, gathered):
        monkeypatch.setattr(place, "MOST_TEXTS", 500)
    path = table(tmp_path, house=[f"h{i // 2}" for i in range(3000)], day=["1"] * 3000, job=["a", "b"] * 1500)
    said = {"target": "y", "columns": {"pay": "ignore", "price": "ignore"}}
    with pytest.warns(DataWarning, match="column `house` has more than 500 different texts and is ignored"):
        made = stream(Data(path=str(path), **said), tmp_path / "rows")
    assert next(one for one in made.seen if one.name == "house").about == "more than 500 different texts"
    assert "house" not in [part.name for part in made.recipe.inputs.parts]
    assert len(made.parts["train"]) == 2100
    said["columns"]["house"] = "ignore"
    assert len(stream(Data(path=str(path), **said), tmp_path / "rows").parts["train"]) == 2100
    said["columns"]["house"] = "category"
    assert refused(tmp_path, Data(path=str(path), **said)).startswith(
        f"{path}: column `house` must have at most 500 different texts where rows do not fit into memory, got more"
    )


def test_a_disk_without_room_is_known_before_anything_is_read(tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "free")(1 << 20)
    monkeypatch.setattr(rowstore.shutil, "disk_usage", lambda folder: usage)
    said = refused(tmp_path, Data(path=str(table(tmp_path, 30_000)), target="y"))
    assert "must have 3 MiB free for rows that do not fit into memory, got `1 MiB`" in said
    assert not list((tmp_path / "rows").glob("*/*.column"))


def test_a_disk_that_fills_up_is_refused_in_a_sentence(tmp_path, monkeypatch):
    def full(*words):
        raise OSError(28, "No space left")

    monkeypatch.setattr(gathered, "_raw", full)
    data = Data(path=str(table(tmp_path)), target="y", columns={"day": "ignore"})
    said = refused(tmp_path, data, FileError)
    assert said == f"`{next((tmp_path / 'rows').iterdir())}` must be a file that can be written (No space left)"


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_columns_that_a_killed_process_left_are_removed(tmp_path):
    data = Data(path=str(table(tmp_path)), target="y")
    stream(data, tmp_path / "rows")
    (folder,) = (tmp_path / "rows").iterdir()
    (folder / "3.column").write_bytes(b"left")
    stream(data, tmp_path / "rows")
    assert not (folder / "3.column").exists()


def test_what_a_packed_file_needs_is_told_by_its_text(tmp_path):
    path = table(tmp_path, 20_000)
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    share = 5 * packed.stat().st_size / path.stat().st_size
    plain, found = (streamed.need_of([(None, [str(p)])], Data())[0] - streamed.BASE for p in (path, packed))
    assert np.isclose(found, plain * share, rtol=0.01)


def test_settings_that_cannot_be_are_refused(tmp_path):
    path = str(table(tmp_path))
    assert refused(tmp_path, Data(path=path, target="y", max_memory="10MB"), ConfigError) == (
        "`data.max_memory` must be at least 512 MiB where rows do not fit, got `10MB`"
    )
    wide = tmp_path / "wide.csv"
    wide.write_text("\n".join(",".join(row) for row in ([f"c{i}" for i in range(1000)], ["1.5"] * 1000, ["2"] * 1000)))
    assert refused(tmp_path, Data(path=str(wide), target="c0", max_memory="600MB"), ConfigError) == (
        "`data.max_memory` must be at least 777 MiB for 1,000 columns, got `600MB`"
    )
    with pytest.raises(ConfigError, match="must be such as `1GB` or `512MiB`, got `much`"):
        limit_of(Data(max_memory="much"))
    with pytest.raises(ConfigError, match="must be false but for CSV, Parquet and Arrow files"):
        streamed.streams(Data(source="digits", stream=True))


def test_files_with_types_that_cannot_be_measured_are_refused_in_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("polars")
    for ending in ("parquet", "arrow"):
        path = tmp_path / f"bad.{ending}"
        path.write_bytes(b"PAR1 or another")
        with pytest.raises(DataError, match=f"bad.{ending}: must be a table that Polars can read"):
            streamed.streams(Data(path=str(path), max_memory="1MB"))
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(DependencyError, match="Parquet and Arrow files need Polars, which is not installed"):
        streamed.streams(Data(path=str(path), max_memory="1MB"))


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_windows_that_do_not_fit_into_the_limit_are_refused(tmp_path, monkeypatch):
    said = {"path": str(table(tmp_path)), "target": "y", "max_memory": "512MiB"}
    size = stream(Data(**said, block_rows=1000), tmp_path / "rows").parts["train"].X.nbytes
    monkeypatch.setattr(streamed, "BASE", (512 << 20) - size + 1)
    assert refused(tmp_path, Data(**said, block_rows=1000), ConfigError) == (
        "`data.block_rows` and `data.window_blocks` must be such that three windows take at most"
        f" {amount(size - 1)}, got {amount(size)}"
    )
    stream(Data(**said, block_rows=60), tmp_path / "rows")


@pytest.mark.parametrize(("said", "size"), [("1GB", 10**9), ("1.5 GiB", 3 << 29), ("700M", 7 * 10**8), (600, 600)])
def test_sizes_are_read(said, size):
    assert limit_of(Data(max_memory=said)) == size


def test_a_table_that_fits_stays_in_memory_and_one_that_does_not_streams(tmp_path, monkeypatch):
    path = str(table(tmp_path))
    assert streamed.streams(Data(path=path)) is None
    assert streamed.streams(Data(path=path, max_memory="1GB")) is None
    assert streamed.streams(Data(path=path, max_memory="1MB")) == [(None, [path])]
    assert streamed.streams(Data(path=path, max_memory="1MB", stream=False)) is None
    monkeypatch.setattr(streamed, "room_for_a_file", lambda: 1000)
    assert streamed.streams(Data(path=path)) == [(None, [path])]


def test_unseen_categories_are_counted_over_all_blocks(tmp_path, monkeypatch):
    path = table(
        tmp_path, job=["cook", "smith"] * 1490 + [f"new{i}" for i in range(20)], part=["train"] * 2980 + ["test"] * 20
    )
    monkeypatch.setattr(rowstore, "STEP", 97)
    data = Data(path=str(path), target="y", split=Split(column="part"), columns={"day": "ignore"}, unseen=1.0)
    with pytest.warns(DataWarning) as said:
        stream(data, tmp_path / "rows")
    assert [str(one.message) for one in said if "`job`" in str(one.message)] == [
        f"{path}, test rows: column `job` has values that training did not see in 20 of 20 rows (100.0%),"
        " such as `new0`"
    ]
