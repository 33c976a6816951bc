"""Divisions of rows: exact shares, nothing lost, nothing twice, and the same for the same seed."""

import numpy as np
import pytest

from fastbp.errors import DataError
from fastbp.numerics.splits import PARTS, shuffled, split


def partitions(found, rows):
    assert sorted(found) == sorted(PARTS)
    assert np.array_equal(np.sort(np.concatenate([found[p] for p in PARTS])), np.arange(rows))
    assert all((np.diff(found[p]) > 0).all() for p in PARTS)


@pytest.mark.parametrize("rows", [10, 101, 1000, 100_003])
@pytest.mark.parametrize(("validation", "test"), [(0.15, 0.15), (0.2, 0.0), (0.0, 0.3), (0.5, 0.25), (0.0, 0.0)])
def test_parts_have_their_shares_and_every_row_once(rows, validation, test):
    found = split(rows, 0, validation, test)
    partitions(found, rows)
    for name, share in (("validation", validation), ("test", test)):
        assert abs(len(found[name]) - share * rows) <= 1


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**63])
def test_a_split_is_a_pure_function_of_the_seed(seed):
    again = [split(500, seed, 0.15, 0.15) for _ in range(2)]
    assert all(np.array_equal(again[0][p], again[1][p]) for p in PARTS)
    other = split(500, seed + 1, 0.15, 0.15)
    assert not np.array_equal(again[0]["test"], other["test"])
    assert not np.array_equal(shuffled(500, seed), np.arange(500))


def test_the_order_for_a_seed_stays_what_it_is():
    assert shuffled(10, 0).tolist() == [1, 7, 8, 2, 5, 9, 4, 3, 6, 0]


@pytest.mark.parametrize("rows", [300, 1009])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.08, 0.02), (0.2,) * 5])
def test_classes_have_the_same_share_in_each_part(rows, shares):
    classes = np.random.default_rng(0).choice(len(shares), rows, p=shares)
    found = split(rows, 3, 0.15, 0.2, classes=classes)
    partitions(found, rows)
    for name, share in (("validation", 0.15), ("test", 0.2)):
        assert abs(len(found[name]) - share * rows) <= 1
        for k in range(len(shares)):
            assert abs((classes[found[name]] == k).sum() - share * (classes == k).sum()) <= 1.5


@pytest.mark.parametrize("members", [1, 2, 3])
def test_many_small_classes_fill_every_part_and_all_are_trained_on(members):
    classes = np.repeat(np.arange(100), members)
    found = split(len(classes), 0, 0.15, 0.15, classes=classes) if members > 1 else None
    if found is None:
        classes = np.concatenate([np.zeros(300, int), np.arange(1, 101)])
        found = split(len(classes), 0, 0.15, 0.15, classes=classes)
    partitions(found, len(classes))
    assert set(classes[found["train"]].tolist()) == set(classes.tolist())
    assert abs(len(found["test"]) - 0.15 * len(classes)) <= 1
    assert abs(len(found["validation"]) - 0.15 * len(classes)) <= 1


def test_groups_stay_together():
    groups = np.random.default_rng(0).integers(0, 40, 1000).astype(str)
    found = split(1000, 0, 0.2, 0.2, groups=groups)
    partitions(found, 1000)
    kinds = [set(groups[found[p]].tolist()) for p in PARTS]
    assert [len(k) for k in kinds] == [24, 8, 8]
    assert len(set.union(*kinds)) == 40


@pytest.mark.parametrize("kind", ["plain", "classes", "groups"])
@pytest.mark.parametrize("folds", [2, 3, 7])
@pytest.mark.parametrize("test", [0.0, 0.2, 0.37])
def test_folds_partition_what_is_not_test(kind, folds, test):
    rows = 211
    values = np.arange(rows) % 23
    words = {} if kind == "plain" else {kind: values}
    found = [split(rows, 1, 0.15, test, folds=folds, fold=f, **words) for f in range(folds)]
    for parts in found:
        partitions(parts, rows)
        assert np.array_equal(parts["test"], found[0]["test"])
    validated = np.sort(np.concatenate([parts["validation"] for parts in found]))
    assert np.array_equal(validated, np.setdiff1d(np.arange(rows), found[0]["test"]))
    if kind == "plain":
        sizes = [len(parts["validation"]) for parts in found]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("words", "name", "rows"),
    [
        ({"validation": 0.15, "test": 0.15}, "test", 2),
        ({"validation": 0.0, "test": 0.01}, "test", 5),
        ({"validation": 0.45, "test": 0.5}, "train", 3),
        ({"validation": 0.2, "test": 0.2, "groups": np.array(["a"] * 9)}, "validation", 9),
        ({"validation": 0.2, "test": 0.0, "folds": 5, "fold": 1}, "validation", 3),
    ],
)
def test_a_part_without_rows_is_refused(words, name, rows):
    with pytest.raises(DataError) as caught:
        split(rows, 0, **words)
    assert str(caught.value) == f"`data.split` must leave rows in every part, but `{name}` gets none of {rows} rows"
