"""One table as CSV, TSV, Parquet, Arrow and NPZ: the same rows, whichever of them a model was trained on."""

import numpy as np
import pytest

from fastbp.config.schema import Data
from fastbp.data.files import read_paths
from fastbp.data.prepare import part_of, prepare

ROWS = 240
FORMATS = ("comma.csv", "semicolon.csv", "words.csv", "t.tsv", "t.parquet", "t.arrow", "t.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table with columns of all kinds, as files of all kinds."""
    pl = pytest.importorskip("polars")
    folder = tmp_path_factory.mktemp("formats")
    rng = np.random.default_rng(0)
    columns = {
        "real": rng.normal(size=ROWS).round(3),
        "whole": rng.integers(0, 1000, ROWS),
        "holes": [None if i % 7 == 0 else i / 8 for i in range(ROWS)],
        "flag": rng.random(ROWS) < 0.4,
        "doubt": [None if i % 5 == 0 else i % 3 == 0 for i in range(ROWS)],
        "code": rng.integers(8, 13, ROWS),
        "job": rng.choice(["cook", "baker", "New York"], ROWS),
        "sold": rng.random(ROWS) < 0.5,
    }
    table = pl.DataFrame(columns)
    table.write_csv(folder / "comma.csv")
    table.write_csv(folder / "semicolon.csv", separator=";", include_bom=True, quote_style="always")
    table.write_csv(folder / "t.tsv", separator="\t")
    words = {True: "TRUE", False: "FALSE", None: ""}
    texts = {name: [words[v] for v in columns[name]] for name in ("flag", "doubt")}
    texts["code"] = [f" {v}.0 " for v in columns["code"]]  # as pandas writes a column with a missing value
    table.with_columns(pl.Series(name, values) for name, values in texts.items()).write_csv(folder / "words.csv")
    table.write_parquet(folder / "t.parquet")
    table.write_ipc(folder / "t.arrow")
    holes = {"holes": np.array([np.nan if v is None else v for v in columns["holes"]])}
    doubt = {"doubt": np.array([words[v].title() for v in columns["doubt"]])}
    np.savez(folder / "t.npz", **{**columns, **holes, **doubt})
    return folder


def settings(path, **more):
    columns = {"code": "category", "flag": "category", "doubt": "number"}
    return Data(path=str(path), target="sold", columns=columns, **more)


@pytest.mark.parametrize("trained", FORMATS)
@pytest.mark.parametrize("encode", ["one_hot", "embedding"])
def test_a_table_is_the_same_in_every_format(folder, trained, encode):
    recipe = prepare(settings(folder / trained, encode=encode), 0, "float64").recipe
    assert recipe.outputs.names == ["False", "True"]
    parts = []
    for name in FORMATS:
        frame = read_paths(str(folder / name), settings(folder / name))
        part = part_of(recipe, frame, "float64", strict=True)
        assert part.X.any(axis=0).all()
        parts.append((part.X.tobytes(), part.y.tobytes()))
    assert len(set(parts)) == 1


def test_booleans_are_a_number_unless_they_are_said_to_be_categories(folder):
    for name in FORMATS:
        data = Data(path=str(folder / name), target="sold", columns={"code": "category"})
        parts = {part.name: part for part in prepare(data, 0, "float32").recipe.inputs.parts}
        assert [type(parts[n]).__name__ for n in ("flag", "doubt")] == ["Numbers", "Numbers"]
        data.columns["flag"] = "category"
        parts = {part.name: part for part in prepare(data, 0, "float32").recipe.inputs.parts}
        assert parts["flag"].values == ["False", "True"]


@pytest.mark.parametrize("values", [["False", "True"], ["false", "true"], ["0", "1"]])
def test_recipes_of_older_versions_know_every_form_of_booleans(folder, values):
    recipe = prepare(settings(folder / "t.parquet"), 0, "float64").recipe
    flag = next(part for part in recipe.inputs.parts if part.name == "flag")
    expected = recipe.matrix(read_paths(str(folder / "t.parquet"), settings(folder)), "float64", strict=True)
    flag.values = values
    for name in FORMATS:
        assert np.array_equal(
            recipe.matrix(read_paths(str(folder / name), settings(folder)), "float64", strict=True), expected
        )
