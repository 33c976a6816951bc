"""Raw rows in C: the prepared rows have the bits of the recipe's."""

import ctypes

import numpy as np
import pytest

from fastbp.export.in_c import library
from fastbp.export.in_c.source import Source, real_names
from fastbp.export.in_c.tables import RawRows
from fastbp.export.prepared import raw_rows
from fastbp.export.raw import Tables
from fastbp.export.recipe import preprocessing_of
from tests.export.c_compiled import any_way, compiled
from tests.export.recipes import cases

CASES = cases(words=False)
TYPES = {"number": ctypes.c_double, "text": ctypes.c_char_p, "moment": ctypes.c_int64}


def library_of(said, folder, way=None):
    """A C file with nothing but the function that prepares rows."""
    source = Source(said.dtype)
    rows = RawRows(source, Tables((said,), said.raws), "t")
    name = rows.prepare()
    lines = [
        "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n",
        library.PRELUDE,
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


def prepared(said, rows, folder, way=None):
    made, found = library_of(said, folder, way)
    count = len(next(iter(rows.values())))
    out = np.full((count, said.width), np.nan, said.dtype)
    wrong = []
    for r in range(count):
        if made.tables.array:
            row = np.ascontiguousarray(rows["x"][r])
            given = ctypes.c_void_p(row.ctypes.data)
        else:

            class Row(ctypes.Structure):
                _fields_ = [(f, TYPES[raw.kind]) for f, raw in zip(made.fields, said.raws, strict=True)]

            one = Row()
            for field, raw in zip(made.fields, said.raws, strict=True):
                value = rows[raw.name][r]
                setattr(one, field, value.encode() if raw.kind == "text" else value.item())
            given = ctypes.byref(one)
        wrong.append(found.t_prepare(given, ctypes.c_void_p(out[r].ctypes.data)))
    return out, wrong


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_prepared_rows_have_the_bits_of_the_recipe(name, dtype, tmp_path):
    one = CASES[name]
    said = preprocessing_of(one.made, dtype, **one.options)
    found, wrong = prepared(said, raw_rows(said, one.rows), tmp_path)
    assert not any(wrong)
    assert found.tobytes() == one.expected(np.dtype(dtype)).tobytes()
