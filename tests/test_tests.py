"""The tests themselves: where a thing is tested can be found, and a part of every folder is quick."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "fastbp"
ROOMS = ("sklearn", "spec", "model", "lowering", "autodiff", "engine", "sweeps")


def table():
    """Source files of `README.md` by name, each with the files that test it."""
    rows = re.findall(r"^\| (`.*?) \| (`.*) \|$", (TESTS / "README.md").read_text(), re.MULTILINE)
    names = re.compile(r"`([^`]+)`")
    return {source: names.findall(tested) for sources, tested in rows for source in names.findall(sources)}


def untested(files, listed):
    """Files that no test file is named after and no line of the table names."""
    inside = [path.relative_to(PACKAGE) for path in files]
    return sorted(
        path.as_posix()
        for path in inside
        if not (TESTS / path.parent / f"test_{path.name}").exists() and path.as_posix() not in listed
    )


def sources():
    return [path for room in ROOMS for path in (PACKAGE / room).rglob("*.py") if path.name != "__init__.py"]


def test_every_file_of_these_rooms_is_tested_where_its_name_or_the_table_says():
    assert untested(sources(), table()) == []


def test_a_file_that_nobody_names_is_found():
    assert untested([PACKAGE / "engine" / "another.py"], table()) == ["engine/another.py"]
    # Not `lowering/check/walk.py` for `lowering/walk.py`, nor `engine/check/plan.py` for `tests/engine/test_plan.py`.
    deeper = ["engine/check/plan.py", "lowering/check/walk.py"]
    assert untested([PACKAGE / name for name in deeper], table()) == deeper


def test_files_are_found_at_every_level():
    assert PACKAGE / "lowering" / "check" / "ops.py" in sources()


def test_the_table_names_files_that_are_there():
    named = [PACKAGE / source for source in table()] + [TESTS / name for names in table().values() for name in names]
    assert [str(path) for path in named if not path.is_file()] == []


def quick():
    return [line for line in (TESTS / "quick.txt").read_text().splitlines() if not line.startswith("#")]


def folders_without(names):
    folders = {path.parent.relative_to(TESTS.parent).as_posix() for path in TESTS.rglob("test_*.py")}
    return sorted(folders - {Path(name).parent.as_posix() for name in names})


def test_some_files_of_every_folder_are_quick():
    assert [name for name in quick() if not (TESTS.parent / name).is_file()] == []
    assert folders_without(quick()) == []


def test_a_folder_without_a_quick_file_is_found():
    assert folders_without([name for name in quick() if "/sweeps/" not in name]) == ["tests/sweeps"]
