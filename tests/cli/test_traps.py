"""Tables as people have them, used as people use them: `init` untouched, a short training, predictions beside the rows.

Each is read right, which its scores show, or what is not clear is said by name. The same table as TSV, Parquet and
Arrow has the same scores, and predictions beside it give it back byte for byte.
"""

import datetime
import gzip
import io
import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("polars")

from fastbp.cli.main import main
from fastbp.config.text import read
from tests.cli.used import begun, done, given_back, in_every_format, same_everywhere, scores, table, trained

ROWS = 240
READ = " is read as numbers, "


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_ids_postcodes_and_amounts_of_money(capsys):
    draw = random.Random(1)
    rows = []
    for i in range(ROWS):
        code, rooms, area, cut = (
            draw.choice(["02301", "01067", "10115"]),
            draw.randint(1, 9),
            draw.randint(900, 9999),
            draw.randint(0, 60),
        )
        price = 1000 * rooms + area + 20 * cut + (5000 if code == "02301" else 0)
        rooms = {5: "-", 11: "unknown", 30: "-"}.get(i, rooms)
        rows.append(
            (
                2**53 + 1 + 2 * draw.randint(i * 9, i * 9 + 8),
                code,
                f"{area:,}",
                f"{cut}%",
                rooms,
                "EUR",
                "",
                f"${price:,.2f}",
            )
        )
    text = table("t.csv", ["house", "zip", "area", "cut", "rooms", "currency", "remark", "price"], rows)
    said, columns, about = begun("t.csv")
    assert said == []
    assert columns == {
        "house": "ignore",
        "zip": "category",
        "area": "number",
        "cut": "number",
        "rooms": "number",
        "currency": "ignore",
        "remark": "ignore",
    }
    assert about["house"].endswith("(longer than what is counted, as keys are)")
    assert about["zip"] == "3 values: 01067, 02301, 10115 (codes with zeros in front)"
    assert about["rooms"] == "1 to 9, 3 missing; read `-`, `unknown` as missing"
    assert (about["currency"], about["remark"]) == ("always EUR", "nothing but missing values")
    first = rows[0]
    assert trained() == [
        f"t.csv: column `price`{READ}`{first[-1]}` as {first[-1].translate({36: '', 44: ''}).removesuffix('.00')}",
        *(
            f"t.csv: column `{name}`{READ}`{mark}` as {value}"
            for name, mark, value in (("area", first[2], first[2].replace(",", "")), ("cut", first[3], first[3][:-1]))
        ),
        f"t.csv: column `rooms`{READ}`-`, `unknown` as missing",
    ]
    assert same_everywhere(capsys, "t.csv", text, texts=["zip"])["r2"] > 0.9


def test_a_spreadsheet_of_another_country(capsys):
    draw = random.Random(2)
    rows = []
    for _ in range(ROWS):
        city, worth, day = (
            draw.choice(["Köln", "München"]),
            draw.gauss(0, 10),
            datetime.date(2020, 1, 1) + datetime.timedelta(draw.randint(0, 900)),
        )
        rent = draw.randint(1100, 1999)
        good = worth > 0 if city == "Köln" else rent > 1550
        rows.append(
            (
                city,
                f"{worth:.2f}".replace(".", ","),
                f"{rent // 1000}.{rent % 1000:03},50",
                day.strftime("%d.%m.%Y"),
                day.strftime("%d/%m/%Y"),
                "gut" if good else "mäßig",
            )
        )
    text = table("t.csv", ["Stadt", "Wert", "Miete", "Datum", "Tag", "Note"], rows, ";", "latin-1", "\r\n")
    assert main(["init", "t.csv"]) == 3
    assert capsys.readouterr().err.endswith("hint: set `--encoding`, such as to `latin-1` or `cp1252`\n")
    said, columns, about = begun("t.csv", "--encoding", "latin-1")
    assert said == []
    assert columns == {"Stadt": "category", "Wert": "number", "Miete": "number", "Datum": "date", "Tag": "date"}
    assert about["Stadt"] == "2 values: Köln, München"
    assert [one.split(READ)[0] for one in trained()] == [f"t.csv: column `{name}`" for name in ("Wert", "Miete")]
    assert same_everywhere(capsys, "t.csv", text, ";", end="\r\n")["accuracy"] > 0.9


def test_booleans_in_every_spelling_and_codes_with_a_point(capsys):
    draw = random.Random(3)
    rows = []
    for i in range(ROWS):
        truth, sure, code = draw.random() < 0.5, draw.random() < 0.5, draw.choice("123")
        spelt = [
            ("True", "False"),
            ("true", "false"),
            ("TRUE", "FALSE"),
            ("1", "0"),
            ("t", "f"),
            ("yes", "no"),
            ("Y", "N"),
        ]
        mixed = draw.choice(["True", "1", "TRUE"] if sure else ["false", "0", "FALSE"])
        rows.append(
            (
                *(yes if truth else no for yes, no in spelt),
                mixed,
                f"{code}0.0",
                "" if i % 9 == 0 else truth,
                truth and (sure or code == "1"),
            )
        )
    header = ["title", "lower", "upper", "digit", "letter", "word", "short", "mixed", "code", "holes", "y"]
    text = table("t.csv", header, rows, end="\r\n", mark=b"\xef\xbb\xbf")
    said, columns, about = begun("t.csv")
    assert said == []
    spelt = {name: "category" if name in ("letter", "word", "short") else "number" for name in header[:-1]}
    assert columns == {**spelt, "code": "category"}
    assert [about[name] for name in ("title", "mixed", "word")] == [
        "False and True",
        "False and True",
        "2 values: no, yes",
    ]
    assert trained() == []
    for name in in_every_format(text):
        assert scores(capsys, name) == scores(capsys, "t.csv")
    assert scores(capsys, "t.csv", "--strict")["accuracy"] > 0.95
    assert given_back("t.csv", text, end="\r\n")[0] == "\ufeff" + text
    # A code as other programs write it is the same; one that training did not see is counted, or refused.
    other = [[*row[:8], str(int(float(row[8]))), *row[9:]] for row in rows]
    table("whole.csv", header, other)
    assert scores(capsys, "whole.csv", "--strict") == scores(capsys, "t.csv")
    for i in range(3):
        other[i][8] = "77"
    table("unseen.csv", header, other)
    assert done("predict", "run", "unseen.csv", "-o", "out.csv") == [
        "unseen.csv: column `code` has values that training did not see in 3 of 240 rows (1.2%), such as `77`"
    ]
    assert main(["predict", "run", "unseen.csv", "--strict"]) == 3
    assert "unseen.csv:2: column `code` must have a value that training saw, got `77`" in capsys.readouterr().err


def test_dates_as_they_are_written(capsys):
    draw = random.Random(4)
    rows = []
    for i in range(ROWS):
        at = datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=draw.randint(0, 20_000))
        unclear = datetime.date(2021, draw.randint(1, 12), draw.randint(1, 12))
        rows.append(
            (
                at.isoformat() + "+02:00",
                f"{at:%Y-%m-%d %H:%M:%S}",
                f"{at:%d/%m/%Y}",
                f"{at:%m/%d/%Y}",
                f"{unclear:%d/%m/%Y}",
                f"{at:%d-%b-%y}" if i != 7 else "",
                f"{at:%H:%M}",
                f"{at:%Y%m%d}",
                str(int(at.replace(tzinfo=datetime.timezone.utc).timestamp())),
                "2020-02-02",
                f"{at.month + at.hour / 24 + draw.gauss(0, 0.2):.3f}",
            )
        )
    header = ["zone", "space", "day", "month", "unclear", "name", "time", "digits", "epoch", "report", "y"]
    text = table("t.csv", header, rows)
    said, columns, about = begun("t.csv")
    assert said == []
    dates = dict.fromkeys(("zone", "space", "day", "month", "name", "time"), "date")
    assert columns == {
        **dates,
        "unclear": {"type": "date", "order": "day"},
        "digits": "number",
        "epoch": "number",
        "report": "ignore",
    }
    assert about["unclear"].startswith("or month: no date says which is first in ")
    assert about["digits"].endswith("; dates, if `{type: date, unit: ymd}`")
    assert about["epoch"].endswith("; dates, if `{type: date, unit: s}`")
    assert about["report"] == "always 2020-02-02"
    assert trained("data.columns.epoch={type: date, unit: s}", "data.columns.digits={type: date, unit: ymd}") == []
    assert same_everywhere(capsys, "t.csv", text, texts=["time", "name", "day", "month", "unclear"])["r2"] > 0.9


def test_texts_of_every_length(capsys):
    draw = random.Random(5)
    words = [
        "the",
        "house",
        "dog",
        "cat",
        "runs",
        "over",
        "lazy",
        "fox",
        "and",
        "then",
        "sleeps",
        "in",
        "an",
        "old",
        "garden",
    ]
    rows = []
    for i in range(ROWS):
        kind = draw.choice("abc")
        rows.append(
            (
                f"{draw.getrandbits(64):016x}",
                " ".join(draw.choices(words, k=draw.randint(5, 15))),
                f"Name {i}",
                f'first line\nsecond "{kind}", and more',
                draw.choice("pq") * 70_000 if i < 4 else draw.choice("pq"),
                kind,
            )
        )
    header = ["hash", "review", "who", "lines", "long", "y"]
    text = table("t.tsv", header, rows, "\t")
    said, columns, about = begun("t.tsv")
    assert said == [
        "t.tsv: column `lines` alone tells the target `y`\n"
        "hint: if it is known only once the target is, make it `ignore` in the configuration"
    ]
    assert columns == {"hash": "ignore", "review": "ignore", "who": "ignore", "lines": "category", "long": "category"}
    assert about["review"] == "240 texts of about 10 words"
    assert about["lines"].endswith('second "c", and more; alone tells `y`')
    trained("data.unseen=1")
    assert same_everywhere(capsys, "t.tsv", text, "\t")["accuracy"] > 0.99
    done(
        "train",
        "t.yaml",
        "--run-dir",
        "hashed",
        "-q",
        "--set",
        "trainer.epochs=1",
        "--set",
        "data.columns.review=words",
    )


def test_rows_without_a_target_and_what_tells_it(capsys):
    draw = random.Random(6)
    rows = []
    for i in range(ROWS):
        x, y = draw.gauss(0, 1), draw.gauss(0, 1)
        known = "" if i % 10 == 0 else "unknown" if i % 25 == 1 else f"{3 * x + y:.3f}"
        rows.append((f"{x:.4f}", "-999" if i % 8 == 0 else f"{y:.4f}", f"{6 * x + 2 * y + 5:.2f}", known))
    text = table("t.csv", ["x", "level", "bill", "y"], rows)
    gone = sum(not row[-1][-1:].isdigit() for row in rows)
    said, _, about = begun("t.csv")
    assert said == [
        "t.csv: column `bill` alone tells the target `y`\n"
        "hint: if it is known only once the target is, make it `ignore` in the configuration"
    ]
    assert about["missing_target"] == f"{gone} of 240 rows have no target; refuse is the default"
    dropped = f"t.csv: {gone} of 240 rows have no target `y` and were dropped"
    marks = f"t.csv: column `y`{READ}`unknown` as missing"
    options = ("data.columns.bill=ignore", "data.missing_texts=['-999']", "data.indicator=true")
    assert trained(*options) == [dropped, marks]
    assert done("evaluate", "run", "t.csv") == [dropped]
    assert same_everywhere(capsys, "t.csv", text)["r2"] > 0.85
    predicted = given_back("t.csv", text)[1]
    assert len(predicted) == 241  # of rows without a target, too


def test_a_table_without_a_header(capsys):
    draw = random.Random(7)
    rows = [(f"{draw.gauss(0, 1):.3f}", draw.choice(["red", "blue"]), draw.randint(1, 9)) for _ in range(ROWS)]
    rows = [(*row, "in" if float(row[0]) > 0 or row[1] == "red" else "out") for row in rows]
    text = table("t.csv", None, rows)
    said, _, _ = begun("t.csv")
    assert [one.split("\n")[1] for one in said] == ["hint: if it is one, give `--no-header`"]
    said, columns, _ = begun("t.csv", "--no-header")
    assert said == []
    assert columns == {"c0": "number", "c1": "category", "c2": "number"}
    assert trained() == []
    assert same_everywhere(capsys, "t.csv", text, header=False)["accuracy"] > 0.95
    # A network alone does not know of the table that it was trained on.
    Path("alone").mkdir()
    Path("run/best.safetensors").rename("alone/net.safetensors")
    done("predict", "alone/net.safetensors", "t.csv", "--no-header", "-o", "out.csv")
    assert len(Path("out.csv").read_text().splitlines()) == ROWS + 1


def test_packed_files_parts_and_stdin(capsys, monkeypatch):
    draw = random.Random(8)
    rows = [(f"{draw.gauss(0, 1):.3f}", draw.choice("ab")) for _ in range(ROWS)]
    rows = [(*row, "in" if float(row[0]) > 0 else "out") for row in rows]
    text = table("whole.txt", ["x", "c", "y"], rows, "|")
    Path("t.csv.gz").write_bytes(gzip.compress(text.encode()))
    Path("packed.csv").write_bytes(gzip.compress(text.encode()))
    Path("utf-16.csv").write_bytes(text.encode("utf-16"))
    for i in range(3):
        table(f"part-{i}.csv", ["x", "c", "y"], rows[i * 80 : i * 80 + 80], "|")
    files = ["t.csv.gz", "packed.csv", "utf-16.csv", "whole.txt", "part-*.csv"]
    try:
        from compression import zstd
    except ImportError:
        from backports import zstd
    Path("t.csv.zst").write_bytes(zstd.compress(text.encode()))
    said, columns, _ = begun("part-*.csv")
    assert (said, columns) == ([], {"x": "number", "c": "category"})
    assert trained() == []
    found = scores(capsys, "part-*.csv")
    assert found["accuracy"] > 0.95
    for name in [*files, "t.csv.zst"]:
        assert scores(capsys, name) == found
        assert given_back(name, text, "|")[0] == text
    for content in (text.encode(), gzip.compress(text.encode()), zstd.compress(text.encode())):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert scores(capsys, "-") == found


def test_several_targets(capsys):
    draw = random.Random(9)
    rows = []
    for _ in range(ROWS):
        x, c = draw.gauss(0, 1), draw.choice("ab")
        rows.append((f"{x:.3f}", c, f"{2 * x + (c == 'a'):.3f}", f"{100 * x * x:.1f}", x > 0, str(c == "a").lower()))
    text = table("t.csv", ["x", "c", "sum", "square", "plus", "first"], rows)
    _, _, about = begun("t.csv", "-t", "sum", "-t", "square")
    assert about["task"].startswith("classes, numbers, or labels")
    assert read("t.yaml").data["data"]["task"] == "numbers"
    trained()
    assert same_everywhere(capsys, "t.csv", text)["r2"] > 0.8
    assert given_back("t.csv", text)[1][0] == ["predicted sum", "predicted square"]
    said, _, _ = begun("t.csv", "-t", "plus", "-t", "first")
    assert [one.split("\n")[0] for one in said] == ["t.csv: column `c` alone tells the target `first`"]
    assert read("t.yaml").data["data"]["task"] == "labels"
    Path("run").rename("numbers")
    trained()
    assert same_everywhere(capsys, "t.csv", text)["accuracy"] > 0.95
