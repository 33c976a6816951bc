"""`fastbp init` on tables whose names and cells try to write the configuration themselves."""

import csv
import os
import random
from pathlib import Path

import pytest

from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.text import MOST_BYTES, read

# What YAML, terminals and line ends make something of, and what does not fit on a line.
PIECES = [
    *(
        "\n",
        "\r\n",
        "\r",
        "\x85",
        "\u2028",
        "\u2029",
        "\x1b[2J",
        "\x07",
        "\x7f",
        "\x08",
        "\x01",
        "\ufeff",
        "\t",
        "\u202e",
    ),
    *(
        ": ",
        ":",
        " #",
        "#",
        "- ",
        "? ",
        "'",
        '"',
        "\\",
        "\\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a",
        "*a",
        "!!int",
        "|",
        ">",
        "%",
    ),
    *(
        "@",
        "`",
        "---",
        "...",
        "<<",
        "=",
        "~",
        "null",
        "yes",
        "1e3",
        "0x1F",
        "010",
        ".inf",
        "\U0001f600",
        "é",
        "  ",
        "x",
    ),
    *("\n  noise: 7", "\n    age: ignore", "\ntrainer:\n  epochs: 1", "word " * 60, "x" * 1100, "y" * 3000, "\u00a0"),
]


def write(path, header, cells):
    """A table: numbers, two categories from `cells`, and a target."""
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(header)
        for i in range(60):
            out.writerow([f"{i / 7:.3f}", cells[i % 2], "uv"[i % 3 % 2]])


def begun(capsys, path, *arguments):
    """The configuration that `init` writes for a table, as it is read; its file is removed."""
    Path("new.yaml").unlink(missing_ok=True)
    capsys.readouterr()
    assert main(["init", path, "-o", "new.yaml", *arguments]) == 0, capsys.readouterr().err
    text = read("new.yaml")
    plan_of(text)
    return text.data


@pytest.fixture
def harmless(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("t.csv", ["x", "c", "y"], ["a", "b"])
    found = begun(capsys, "t.csv")
    capsys.readouterr()
    return found


@pytest.mark.parametrize("seed", range(60))
def test_names_and_cells_change_nothing_but_names(harmless, seed, capsys):
    rng = random.Random(seed)

    def nasty():
        return "".join(rng.choices(PIECES, k=rng.randint(1, 4)))

    names = {"x": nasty(), "c": nasty(), "y": nasty()}
    names = {k: f"{v}{k}" if rng.random() < 0.5 or not v.strip() else v for k, v in names.items()}
    names = {k: v.strip().removeprefix("\ufeff").strip() or k for k, v in names.items()}  # as headers are read
    if len({*names.values()}) < 3:
        names = {k: v + k for k, v in names.items()}
    write("t.csv", names.values(), [f"{nasty()}a", f"{nasty()}b"])
    found = begun(capsys, "t.csv")
    expected = {**harmless, "data": {**harmless["data"], "target": names["y"]}}
    expected["data"]["columns"] = {names[k]: v for k, v in harmless["data"]["columns"].items()}
    assert found == expected
    assert main(["check", "new.yaml", "-q"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "cell", ["a\n  noise: 7", "a\r\n  noise: 7", "a\x1b]0;x\x07", "a\x85b", "a\u2028b", "a" * 5000]
)
def test_a_cell_writes_no_keys(harmless, cell, capsys):
    write("t.csv", ["x", "c", "y"], ["a", cell])
    assert begun(capsys, "t.csv") == harmless
    assert all(line.isprintable() for line in Path("new.yaml").read_text().splitlines())


@pytest.mark.parametrize("name", ["2024.csv", "null.csv", "1e3.csv", "no.csv", "a\n  noise: 7.csv", "a: #b.csv"])
def test_the_name_of_a_file_stays_a_name(harmless, name, capsys):
    os.rename("t.csv", name)
    found = begun(capsys, name)
    assert found["data"] == {**harmless["data"], "path": name}
    assert isinstance(found["name"], str)


def test_a_path_that_no_configuration_can_hold_is_refused(harmless, capsys):
    name = "t\udcff.csv"
    os.rename("t.csv", name)
    assert main(["init", name, "-o", "new.yaml"]) == 2
    assert capsys.readouterr().err == (
        "fastbp: a table must have a path in Unicode, as configurations are, got `t\\udcff.csv`\n"
    )


def test_of_very_many_columns_only_the_strange_ones_are_listed(harmless, capsys):
    count = 12_000
    with open("t.csv", "w") as file:
        file.write(",".join([*(f"column{i:05d}" for i in range(count)), "constant", "y"]) + "\n")
        for row in range(60):
            file.write("".join(f"{row}," for _ in range(count)) + f"1,{'uv'[row % 2]}\n")
    assert begun(capsys, "t.csv")["data"]["columns"] == {"constant": "ignore"}


def test_names_that_no_configuration_can_hold_are_a_sentence(harmless, capsys):
    names = [f"{i}{'n' * 100_000}" for i in range(MOST_BYTES // 100_000 + 1)]
    Path("t.csv").write_text(",".join([*names, "y"]) + "\n" + f"{'1,' * len(names)}u\n{'1,' * len(names)}v\n")
    assert main(["init", "t.csv", "-o", "-"]) == 3
    assert capsys.readouterr().err == ("fastbp: t.csv: must have columns whose names fit into a config of 1 MiB\n")


def test_a_delimiter_of_two_characters_is_a_sentence(harmless, capsys):
    assert main(["init", "t.csv", "-o", "-", "--delimiter", ";;"]) == 2
    assert capsys.readouterr().err == "fastbp: `--delimiter` must be one character, got `;;`\n"
