"""docs/environment.md names every variable that is read, and who reads it; docs/files.md every file and its version."""

import ast
import re
from pathlib import Path

import pytest

from fastbp.data import inputs, outputs, recipe
from fastbp.engine import cache
from fastbp.model import files
from fastbp.runs import checkpoint
from fastbp.runs.folder import LOCK, RunFolder
from fastbp.train import ensemble_files, pack_files

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
FILES = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
NOT_OURS = {"Numba", "click"}  # who else reads


def is_environ(node):
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def keys_read(tree):
    """What a file asks the environment for: constants, and None where a name decides."""
    for node in ast.walk(tree):
        key = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if (node.func.attr in ("get", "pop", "setdefault") and is_environ(node.func.value)) or (
                node.func.attr == "getenv"
            ):
                key = node.args[0]
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and is_environ(node.value):
            key = node.slice
        elif isinstance(node, ast.Compare) and any(is_environ(c) for c in node.comparators):
            key = node.left
        if key is not None:
            yield key.value if isinstance(key, ast.Constant) else None


def read(root):
    """(variable, file) of the package, scripts in Python and benches, and of tests where only they read one of ours."""
    found = set()
    for room in ("fastbp", "scripts", "bench", "tests"):
        before = {key for key, _ in found}
        for file in sorted((root / room).rglob("*.py")):
            name = file.relative_to(root).as_posix()
            for key in keys_read(ast.parse(file.read_text(encoding="utf-8"))):
                keys = cache.NUMBA_SETTINGS if key is None and name == "fastbp/engine/cache.py" else [key]
                if room != "tests" or (str(key).startswith("FASTBP_") and key not in before):
                    found |= {(key, name.removeprefix("fastbp/")) for key in keys}
    return found


def told(page):
    """(variable, reader) of the page's tables."""
    for line in page.splitlines():
        if line.startswith("| `"):
            name, *_, readers = (cell.strip() for cell in line.strip("|").split("|"))
            yield from ((name.strip("`"), reader.strip("`")) for reader in readers.split(", "))


def test_the_page_names_every_variable_that_is_read_and_its_readers_and_no_other():
    of_python = {(name, who) for name, who in told(PAGE) if who.endswith(".py")}
    assert of_python == read(ROOT)
    assert {who for _, who in told(PAGE) if not who.endswith(".py")} == {*NOT_OURS, "scripts/environment.sh"}
    assert len(of_python) > 20


def test_every_name_of_ours_in_the_sources_is_on_the_page():
    named = {
        node.value
        for file in (ROOT / "fastbp").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"FASTBP_[A-Z_]+", node.value)
    }
    assert "FASTBP_QUIET" in named
    assert named <= {name for name, _ in told(PAGE)}


@pytest.mark.parametrize(
    "text",
    [
        'os.environ.get("FASTBP_NEW")',
        'os.environ["FASTBP_NEW"]',
        '"FASTBP_NEW" in os.environ',
        'os.getenv("FASTBP_NEW", "")',
        'os.environ.pop("FASTBP_NEW", None)',
    ],
)
def test_the_check_sees_who_reads(text, tmp_path):
    (tmp_path / "fastbp" / "engine").mkdir(parents=True)
    (tmp_path / "fastbp" / "engine" / "new.py").write_text(f"import os\nx = {text}\nos.environ['FASTBP_SET'] = '1'")
    (tmp_path / "fastbp" / "other.py").write_text("import os\nx = os.environ.get(name)")
    assert read(tmp_path) == {("FASTBP_NEW", "engine/new.py"), (None, "other.py")}


def test_the_page_of_files_names_every_format_and_its_version():
    for version in (
        *files.FORMATS,
        *checkpoint.FORMATS,
        pack_files.FORMAT,
        ensemble_files.FORMAT,
        cache.MAGIC.decode().strip(),
    ):
        assert f"`{version}`" in FILES


def test_the_page_of_files_names_every_file_of_a_run():
    paths = [value for value in vars(RunFolder("run")).values() if isinstance(value, Path) and value.name != "run"]
    assert len(paths) == 13
    section = FILES.split("## A run's folder")[1].split("\n## ")[0]
    assert [name for name in (*(p.name for p in paths), LOCK) if f"`{name}`" not in section] == []


WORDS = (
    *(checkpoint.Words, checkpoint.Numbers, checkpoint.Place, checkpoint.Epochs, checkpoint.Best, checkpoint.Callbacks),
    *(checkpoint.EarlyStoppingState, checkpoint.ReduceLRState),
)


@pytest.mark.parametrize("struct", WORDS)
def test_the_page_of_files_names_every_word_of_a_checkpoint(struct):
    section = FILES.split("## Checkpoints")[1].split("\n## ")[0]
    assert [name for name in struct.__struct_fields__ if f"`{name}`" not in section] == []


@pytest.mark.parametrize("part", [recipe.Recipe, inputs.Numbers, inputs.Category, outputs.Outputs])
def test_the_page_of_files_names_every_key_of_a_recipe(part):
    section = FILES.split("## How raw tables become inputs")[1].split("\n## ")[0]
    named = set(re.findall(r'[`"](\w+)[`"]', section))
    assert set(part.__dataclass_fields__) - {"most"} <= named  # which is for the choice of `encode` alone
