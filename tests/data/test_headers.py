"""A first line: names, or a row in their place."""

import warnings

import pytest

from fastbp.data.csv_files import read_csv
from fastbp.errors import DataWarning

ROWS = {
    "numbers": ("1,2.5", ["3,4", "5,6"], True),
    "a mixed row": ("0.5,blue,1", [f"{i / 7},{['red', 'blue'][i % 2]},{i % 2}" for i in range(9)], True),
    "all texts": ("blue,u", ["red,v", "blue,u", "red,u"], True),
    "money and a date": ("$1.50,2024-03-01", [f"${i}.25,2024-04-{i:02d}" for i in range(1, 9)], True),
    "a name that differs": ("5,Smith", [f"{i},Name{i}" for i in range(40)], True),
    "a boolean": ("true,3", ["false,4", "true,5"], True),
    "names": ("a,b", ["3,4", "5,6"], False),
    "years above numbers": ("2019,2020,region", ["3,4,north", "5,6,south"], False),
    "years above texts": ("2019,2020", ["x,4", "y,5"], False),
    "one year": ("2019,b", ["3,4"], False),
    "names of texts": ("job,city", ["cook,Rome", "smith,Bonn"], False),
    "a name that is a value elsewhere": ("red,blue", ["blue,x", "green,y"], False),
    "dates above numbers": ("2024-03-01,2024-04-01", ["3,4", "5,6"], False),
    "texts that all differ": ("first,last", [f"a{i},b{i}" for i in range(40)], False),
    "nothing but holes": ("a,5", ["NA,4", "NA,5"], False),
}


@pytest.mark.parametrize(("first", "rows", "row"), ROWS.values(), ids=ROWS)
def test_a_first_line_that_could_be_a_row_is_named(tmp_path, first, rows, row):
    path = tmp_path / "t.csv"
    path.write_text("\n".join([first, *rows]) + "\n")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame = read_csv(path)
    assert len(frame) == len(rows)
    assert [str(w.message) for w in said if w.category is DataWarning] == row * [
        f"{path}:1: the first line looks like a row, and is read as the names of the columns\n"
        "hint: if it is one, set `data.header` to false"
    ]
    assert len(read_csv(path, header=False)) == len(rows) + 1
