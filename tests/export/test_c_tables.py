"""Raw rows in C: the prepared rows have the bits of the recipe's."""

import ctypes

import numpy as np
import pytest

from fastbp.data.categories import Category
from fastbp.data.numbers import Numbers
from fastbp.errors import ConfigError
from fastbp.export.in_c.prelude import PRELUDE
from fastbp.export.in_c.source import Source, real_names
from fastbp.export.in_c.tables import RawRows, fields_of
from fastbp.export.prepared import raw_rows
from fastbp.export.raw import Tables
from fastbp.export.recipe import preprocessing_of
from fastbp.export.steps import Raw
from tests.export.c_compiled import WAYS, any_way, compiled
from tests.export.recipes import REFUSED, Case, cases, recipe, refused

CASES = cases(words=False)
TYPES = {"number": ctypes.c_double, "text": ctypes.c_char_p, "moment": ctypes.c_int64}


def library_of(said, folder, way=None):
    """A C file with nothing but the function that prepares rows."""
    source = Source(said.dtype)
    rows = RawRows(source, Tables((said,), said.raws), "t")
    name = rows.prepare()
    lines = [
        "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n",
        PRELUDE,
        real_names(said.dtype),
        rows.struct(),
        source.part.text(),
        f"int t_prepare({rows.row}, real *x);\n",
        f"int t_prepare({rows.row}, real *x)\n{{\n    return {name}(row, x);\n}}\n",
    ]
    file = folder / "t.c"
    file.write_text("\n".join(lines))
    compiled(way or any_way(), file, folder / "t.so", "-shared", "-fPIC", "-Wno-unused-function")
    return rows, ctypes.CDLL(str(folder / "t.so"))


def row_type(fields, raws):
    """The struct of a row."""
    return type(
        "Row", (ctypes.Structure,), {"_fields_": [(f, TYPES[raw.kind]) for f, raw in zip(fields, raws, strict=True)]}
    )


def rows_of(fields, raws, rows):
    """Each row as C takes it."""
    if raws[0].width > 1:
        yield from (np.ascontiguousarray(row, np.float64).ctypes for row in rows[raws[0].name])
        return
    kind = row_type(fields, raws)
    for r in range(len(next(iter(rows.values())))):
        values = [rows[raw.name][r] for raw in raws]
        yield ctypes.byref(
            kind(*(v.encode() if raw.kind == "text" else v.item() for raw, v in zip(raws, values, strict=True)))
        )


def prepared(said, rows, folder, way=None):
    made, found = library_of(said, folder, way)
    count = len(next(iter(rows.values())))
    out = np.full((count, said.width), np.nan, said.dtype)
    wrong = []
    for r, row in enumerate(rows_of(made.fields, said.raws, rows)):
        given = ctypes.c_void_p(row.data) if made.tables.array else row
        wrong.append(found.t_prepare(given, ctypes.c_void_p(out[r].ctypes.data)))
    return out, wrong


OF_DOUBLES = ["everything", "matrix-auto", "number-noisy_quantile", "number-tiny", "when-quantile"]


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in CASES), *((name, "float64") for name in OF_DOUBLES)]
)
def test_prepared_rows_have_the_bits_of_the_recipe(name, dtype, tmp_path):
    one = CASES[name]
    said = preprocessing_of(one.made, dtype, **one.options)
    found, wrong = prepared(said, raw_rows(said, one.rows), tmp_path)
    assert not any(wrong)
    assert found.tobytes() == one.expected(np.dtype(dtype)).tobytes()


@pytest.mark.parametrize("way", WAYS)
def test_bits_are_those_of_every_compiler(way, tmp_path):
    one = CASES["everything"]
    said = preprocessing_of(one.made, "float32")
    found, wrong = prepared(said, raw_rows(said, one.rows), tmp_path, way)
    assert not any(wrong)
    assert found.tobytes() == one.expected(np.dtype("float32")).tobytes()


NUMBERS = ["10", "-3", "0.5", "100", "1e-07", "1e+16", "0", "7.25", "123456789012", "9007199254740992"]
NUMBERS += ["9007199254740993", "9007199254740994e0"]
WRITTEN = [
    *("10.0", "1e1", "+10", "010", "10.", "1E+1", "100e-1", "0.1e2", " 10\t", "\u00a010\u2003", "\u3000 10\x1c"),
    *("-3.0", "-30e-1", "- 3", ".5", "0.50", "5e-1", "00.5", "1e2", "1_00", "0.0000001", "1e-7", "10e-8", "1e16"),
    *("10000000000000000", "-0", "0.0", "0e5", "-0.000", "", ".", "+", "e5", "1e", "1e+", "0x10", "10a", "inf", "nan"),
    *("NaN", "7.25", "7.250", "725e-2", "123456789012.0", "1.23456789012e11", "123456789012" + "0" * 40 + "e-40"),
    *(
        "9007199254740992",
        "9007199254740993.00",
        "9007199254740993e0",
        "9007199254740994",
        "9007199254740994e0",
        "900719925474099.4e1",
        "9007199254740991",
        "90071992547409930",
    ),
    *("9" * 400, "0" * 400 + "10", "1" + "0" * 60 + "e-59", "Zürich", "Zu\u0308rich", "zürich", "Straße \u2009"),
    *("", " ", "True", "true", "1", "no", "NO", "ÿ+1e1"),
]


@pytest.mark.parametrize(
    "known",
    [NUMBERS, ["Zürich", "Straße", "no", "10"], ["True", "False"], ["0", "1"], ["007", "10", "0.5"], ["x" * 90, "y"]],
    ids=str,
)
@pytest.mark.parametrize("frequency", [1, 2])
def test_texts_that_mean_the_same_have_one_code(known, frequency, tmp_path):
    rows = {"a": np.array(known + known[:-1], object)}
    made = recipe([Category("a", "embedding", frequency)], rows)
    said = preprocessing_of(made, "float32")
    given = {"a": np.array(WRITTEN + known + ["x" * 89, "x" * 91], object)}
    found, _ = prepared(said, given, tmp_path)
    assert found.tolist() == Case(made, given).expected(np.float32).tolist()
    assert len(np.unique(found)) > 2


@pytest.mark.parametrize(("name", "column", "values"), REFUSED)
def test_values_that_are_refused_are_named_by_their_column(name, column, values, tmp_path):
    one, rows = refused(name, column, values)
    said = preprocessing_of(one.made, "float32")
    _, wrong = prepared(said, raw_rows(said, rows), tmp_path)
    assert wrong == [list(rows).index(column) + 1] * len(values)


def test_missing_values_are_refused_where_the_recipe_refuses_them(tmp_path):
    made = recipe(
        [Numbers("b", "none", "refuse"), Numbers("a", "standard", "refuse")], {"a": np.arange(5.0), "b": np.arange(5.0)}
    )
    said = preprocessing_of(made, "float32")
    _, wrong = prepared(said, {"b": np.array([1.0, np.nan, 1.0]), "a": np.array([1.0, 1.0, np.nan])}, tmp_path)
    assert wrong == [0, 1, 2]


def test_columns_have_names_that_c_takes():
    names = ["a b", "a.b", "2nd", "int", "ünï", "", "x" * 99, "a_b"]
    found = fields_of([Raw(name, "number") for name in names])
    assert found == ["a_b", "a_b_2", "c_2nd", "c_int", "n", "column", "x" * 60, "a_b_3"]


def test_columns_of_words_are_refused():
    said = preprocessing_of(cases()["words"].made, "float32")
    with pytest.raises(ConfigError) as error:
        RawRows(Source("float32"), Tables((said,), said.raws), "t")
    assert str(error.value) == (
        "`preprocessing` must be False, as column `note` has words, and C has no table of the letters of all languages,"
        " got `True`"
    )
