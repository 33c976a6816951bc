"""Rows that do not fit into memory: the same bits as in memory, and clear refusals."""

import gc
import itertools
import os
import tempfile

import numpy as np
import pytest

from fastbp.config.schema import Data, Split
from fastbp.data import shards
from fastbp.data.frame import Frame
from fastbp.data.prepare import prepare
from fastbp.data.shards import Shards, below, blocks, room, taken
from fastbp.errors import ConfigError, DataError

ROWS, WIDTH = 1000, 7


@pytest.fixture
def small(monkeypatch):
    """No matrix fits, and blocks are short."""
    monkeypatch.setattr(shards, "SHARE", 0.0)
    monkeypatch.setattr(shards, "LITTLE", 0)
    monkeypatch.setattr(shards, "CELLS", 64 * WIDTH)


def numbers(dtype="float32", holes=False):
    rng = np.random.default_rng(0)
    X = (rng.random((ROWS, WIDTH)) * 200 - 50).astype(dtype)
    X[:, 3] = 5
    if holes:
        X[rng.random(X.shape) < 0.1] = np.nan
    return X, rng.integers(0, 3, ROWS)


def folder(path, X, y, cuts=(0, 1, 300, 301, 730, ROWS)):
    for i, (first, end) in enumerate(itertools.pairwise(cuts)):
        np.save(path / f"X{i}.npy", X[first:end])
        np.save(path / f"y{i}.npy", y[first:end])
    return str(path)


@pytest.mark.parametrize("cuts", [(0, ROWS), (0, 1, 2, 500, ROWS)], ids=["one", "four"])
def test_shards_read_what_the_arrays_hold(cuts):
    X, _ = numbers()
    whole = Shards([X[a:b] for a, b in itertools.pairwise(cuts)])
    assert whole.shape == X.shape
    assert np.array_equal(whole.read(0, ROWS), X)
    assert np.array_equal(whole.read(499, 503), X[499:503])
    assert np.array_equal(whole.read(990, 5000), X[990:])
    rows = np.random.default_rng(1).permutation(ROWS)[:200]
    assert np.array_equal(whole.take(rows).read(0, 200), X[rows])
    assert np.array_equal(whole.take(rows).take(rows[rows < 200]).read(0, 99), X[rows[rows[rows < 200]]][:99])


@pytest.mark.parametrize("cells", [1, WIDTH, 64 * WIDTH, 10**9])
def test_blocks_do_not_depend_on_where_rows_are_cut(monkeypatch, cells):
    monkeypatch.setattr(shards, "CELLS", cells)
    X, _ = numbers()
    pairs = zip(blocks(X), blocks(Shards([X[:333], X[333:334], X[334:]])), strict=True)
    for (first, block), (same, other) in pairs:
        assert first == same
        assert block.dtype == np.float64
        assert np.array_equal(block, other)


def test_small_matrices_are_in_memory():
    X, _ = numbers()
    assert isinstance(below([X[:5], X[5:]]), np.ndarray)
    assert isinstance(taken(X, np.arange(5)), np.ndarray)
    assert not isinstance(room((5, 5), np.float32), np.memmap)


def test_large_matrices_stay_in_their_files(small):
    X, _ = numbers()
    assert isinstance(below([X[:5], X[5:]]), Shards)
    assert isinstance(taken(X, np.arange(5)), Shards)
    assert isinstance(room((5, 5), np.float32), np.memmap)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "float64"])
@pytest.mark.parametrize("scale", ["standard", "auto", "none"])
@pytest.mark.parametrize(("missing", "indicator"), [("mean", True), ("constant", False)])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_streamed_rows_have_the_bits_of_rows_in_memory(tmp_path, monkeypatch, dtype, scale, missing, indicator, real):
    X, y = numbers("float32", holes=dtype != "uint8")
    path = folder(tmp_path, X.astype(dtype), y)
    data = Data(path=path, scale=scale, missing=missing, indicator=indicator)
    monkeypatch.setattr(shards, "CELLS", 64 * WIDTH)
    wanted = prepare(data, 0, real)
    monkeypatch.setattr(shards, "SHARE", 0.0)
    monkeypatch.setattr(shards, "LITTLE", 0)
    found = prepare(data, 0, real)
    assert found.recipe.to_data() == wanted.recipe.to_data()
    for name, part in wanted.parts.items():
        assert not isinstance(part.X, np.memmap)
        assert isinstance(found.parts[name].X, np.memmap)
        assert found.parts[name].X.dtype == real
        assert found.parts[name].X.tobytes() == part.X.tobytes()
        assert np.array_equal(found.parts[name].y, part.y)


def test_heavy_tails_are_standardised_outside_memory(tmp_path, monkeypatch):
    X, y = numbers("float32")
    data = Data(path=folder(tmp_path, np.exp(X / 9.0), y), scale="auto")
    assert "quantile" in prepare(data, 0, "float32").recipe.inputs.parts[0].scale
    monkeypatch.setattr(shards, "SHARE", 0.0)
    monkeypatch.setattr(shards, "LITTLE", 0)
    assert prepare(data, 0, "float32").recipe.inputs.parts[0].scale == "standard"


@pytest.mark.parametrize("pair", [1, 2], ids=["one pair", "two pairs"])
def test_files_for_each_part(tmp_path, small, pair):
    X, y = numbers()
    paths = {}
    for name, rows in (("train", slice(0, 600)), ("validation", slice(600, 800)), ("test", slice(800, ROWS))):
        (tmp_path / name).mkdir()
        n = len(y[rows])
        paths[name] = folder(tmp_path / name, X[rows], y[rows], (0, n) if pair == 1 else (0, 55, n))
    found = prepare(Data(**paths), 0, "float32")
    x = X[:600].astype(np.float64)
    deviation = np.where(x.std(0) > 0, x.std(0), 1)
    for name, rows in (("train", slice(0, 600)), ("validation", slice(600, 800)), ("test", slice(800, ROWS))):
        np.testing.assert_allclose(found.parts[name].X, (X[rows] - x.mean(0)) / deviation, rtol=1e-5, atol=1e-5)


def test_one_file_that_is_ready_is_not_copied(tmp_path, small):
    X, y = numbers()
    path = folder(tmp_path, X, y, (0, ROWS))
    found = prepare(Data(train=path, scale="none", split=Split(validation=0.0)), 0, "float32").parts["train"].X
    assert isinstance(found, np.memmap)
    assert found.filename == str(tmp_path / "X0.npy")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ({"scale": "robust"}, "`data.scale` must be `standard` or `none` where rows do not fit into memory, as in"),
        ({"scale": "quantile"}, "`data.scale` must be `standard` or `none` where rows do not fit into memory, as in"),
        (
            {"missing": "median"},
            "`data.missing` must be `mean`, `constant` or `refuse` where rows do not fit into memory, as in",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(*value.values()),
)
def test_what_needs_sorted_columns_is_refused(tmp_path, small, words, wanted):
    path = folder(tmp_path, *numbers())
    with pytest.raises(ConfigError) as caught:
        prepare(Data(path=path, **words), 0, "float32")
    value = next(iter(words.values()))
    assert str(caught.value) == f"{wanted} {tmp_path / 'X0.npy'} and 4 more, got `{value}`"


def test_strange_numbers_are_named_with_file_and_row(tmp_path, small):
    X, y = numbers()
    X[729, 2] = np.inf
    with pytest.raises(DataError) as caught:
        prepare(Data(path=folder(tmp_path, X, y)), 0, "float32")
    assert str(caught.value) == f"{tmp_path / 'X3.npy'}: row 428: column `2` must be finite, got `inf`"
    X[729, 2] = np.nan
    with pytest.raises(DataError) as caught:
        prepare(Data(path=folder(tmp_path, X, y), missing="refuse"), 0, "float32")
    assert str(caught.value) == f"{tmp_path / 'X3.npy'}: row 428: column `2` must have a number"


def test_temporary_files_go_away(tmp_path, small, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    X = room((1000, 1000), np.float32)
    X[...] = 1
    assert X.sum() == 1e6
    if descriptors:
        assert list(tmp_path.iterdir()) == []
        del X
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_full_disk_is_refused(small, monkeypatch):
    class Usage:
        free = 3 << 20

    monkeypatch.setattr(shards.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(DataError) as caught:
        room((1 << 20, 5), np.float32)
    assert str(caught.value) == (
        f"{tempfile.gettempdir()}: must have 20 MiB free for rows that do not fit into memory, got `3 MiB`\n"
        "hint: the environment variable `TMPDIR` may name another folder"
    )


def test_the_limit_is_a_share_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(shards, "LITTLE", 0)
    monkeypatch.setattr(shards.array_files, "memory", lambda: 8000)
    assert shards.fits((100, 10))
    assert not shards.fits((101, 10))
    assert not shards.fits((51, 10), np.float64)
    frame = Frame(np.zeros((101, 10), np.uint8), {}, "x.npy").take(np.arange(101))
    assert isinstance(frame.matrix, Shards)


def test_only_a_matrix_of_some_size_asks_how_much_memory_is_free(monkeypatch):
    asked = []
    monkeypatch.setattr(shards.array_files, "memory", lambda: asked.append(1) or 8000)
    assert shards.fits((256, 256))  # 256 KiB
    assert not asked
    assert not shards.fits((256, 257))
    assert asked
