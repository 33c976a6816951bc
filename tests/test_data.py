"""The digits that come with the package: the very data of the source, whole, and safe to change."""

import doctest
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp.data
from fastbp.data import digits
from fastbp.errors import ConfigError, ConfigTypeError

FILE = Path(fastbp.data.__file__).with_name("digits.npy")
PARTS = {"train": 1197, "validation": 300, "test": 300}


def sha256(*arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def sorted_rows(X, y):
    return sorted(row.tobytes() + bytes([label]) for row, label in zip(X, y, strict=True))


def test_the_stored_table_is_the_one_of_the_source():
    with FILE.open("rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        assert np.lib.format.read_array_header_1_0(file) == ((1797, 65), False, np.dtype("uint8"))
        table = file.read()
    assert hashlib.sha256(table).hexdigest() == "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2"


def test_the_notice_names_source_authors_and_licence():
    notice = FILE.with_name("NOTICE.md").read_text(encoding="utf-8")
    for text in (FILE.name, "UCI Machine Learning Repository", "E. Alpaydin and C. Kaynak", "CC BY 4.0"):
        assert text in notice


def test_digits_have_the_promised_types_and_ranges():
    X, y = digits()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), np.float32, (1797,), np.int64)
    assert X.flags.c_contiguous
    assert y.flags.c_contiguous
    assert (X.min(), X.max()) == (0, 1)
    assert np.array_equal(X * 16, np.rint(X * 16))


def test_digits_have_the_class_counts_of_the_source():
    _, y = digits()
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_pixels_and_labels_are_not_mixed_up():
    X, y = digits()
    # The first image of the source file, a zero, as UCI prints it.
    first = [
        0,
        0,
        5,
        13,
        9,
        1,
        0,
        0,
        0,
        0,
        13,
        15,
        10,
        15,
        5,
        0,
        0,
        3,
        15,
        2,
        0,
        11,
        8,
        0,
        0,
        4,
        12,
        0,
        0,
        8,
        8,
        0,
    ]
    first += [
        0,
        5,
        8,
        0,
        0,
        9,
        8,
        0,
        0,
        4,
        11,
        0,
        1,
        12,
        7,
        0,
        0,
        2,
        14,
        5,
        10,
        12,
        0,
        0,
        0,
        0,
        6,
        13,
        10,
        0,
        0,
        0,
    ]
    assert (X[0] * 16).tolist() == first
    assert y[:10].tolist() == list(range(10))


def test_changing_the_arrays_changes_neither_the_file_nor_the_next_call():
    before = FILE.read_bytes()
    expected = digits()
    X, y = digits()
    X += 1
    y[:] = -1
    assert FILE.read_bytes() == before
    assert all(map(np.array_equal, digits(), expected))


@pytest.mark.parametrize("seed", [0, 1, np.int64(7), 2**32 - 1])
def test_the_parts_share_no_row_and_hold_every_row(seed):
    parts = [digits(split, seed=seed) for split in PARTS]
    assert [len(y) for _, y in parts] == list(PARTS.values())
    together = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    assert sorted_rows(*together) == sorted_rows(*digits())


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", "95f0f553be90ad6f7c7e1e2a8de49918a1aa6f49754288d3bd23363a966f2c83"),
        ("validation", "962d111e5e846cef9fe2fb8f18617f3d5f8e55a50830a51a19be1c6a4656a2e7"),
        ("test", "4f9bf1b80481efdf44783cbe08112913981d0104fcf2a322eae26f6cacef02a0"),
    ],
)
def test_a_part_has_the_same_bits_on_every_machine(split, expected):
    assert sha256(*digits(split)) == expected


def test_another_seed_gives_another_split():
    assert sha256(*digits("test", seed=1)) != sha256(*digits("test", seed=2))


def test_every_part_holds_every_digit():
    for split in PARTS:
        assert np.bincount(digits(split)[1], minlength=10).min() >= 20


@pytest.mark.parametrize("split", ["tset", "Test"])
def test_an_unknown_part_is_refused_with_a_hint(split):
    with pytest.raises(ConfigError) as info:
        digits(split)
    assert str(info.value) == (
        f"`split` must be one of `train`, `validation`, `test`, got `{split}`\nhint: did you mean `test`?"
    )


def test_fractions_are_refused_as_a_part():
    with pytest.raises(ConfigError) as info:
        digits([0.8, 0.2])
    assert str(info.value) == "`split` must be one of `train`, `validation`, `test`, got `[0.8, 0.2]`"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ConfigError) as info:
        digits("test", seed=seed)
    assert str(info.value) == f"`seed` must be at least 0 and below 2**32, got `{seed}`"


def test_a_seed_that_is_no_integer_is_refused():
    with pytest.raises(ConfigTypeError) as info:
        digits("test", seed=0.5)
    assert str(info.value) == "`seed` must be an integer, got `0.5`"


def test_loading_digits_needs_no_compiler():
    code = "import sys, fastbp.data; fastbp.data.digits('train'); sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_examples_run():
    result = doctest.testmod(fastbp.data)
    assert (result.failed, result.attempted) == (0, 7)
