"""The documentation is what the code says."""

import importlib.util
import re
from pathlib import Path

import pytest

import fastbp as fb
from fastbp.config.build import plan_of
from fastbp.config.schema import SECTIONS
from fastbp.config.text import parse
from fastbp.lowering.registry import OPS
from fastbp.spec.elsewhere import WORDS
from fastbp.spec.initial import INITIALISERS
from fastbp.train.callbacks import Callback
from fastbp.train.catalogue import OPTIMIZERS
from fastbp.train.metrics import METRICS
from fastbp.train.schedules import SCHEDULES

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def docs():
    spec = importlib.util.spec_from_file_location("docs", ROOT / "scripts" / "docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_ops_is_what_the_registry_says(docs):
    assert docs.PAGE.read_text(encoding="utf-8") == docs.page(), "run `python scripts/docs.py`"


@pytest.mark.parametrize("name", [*OPS, *OPTIMIZERS, *SCHEDULES, *INITIALISERS, *METRICS])
def test_everything_with_a_name_is_on_the_page(docs, name):
    assert f"`{name}`" in docs.PAGE.read_text(encoding="utf-8")


def test_every_class_of_the_package_is_on_the_page_or_is_no_op(docs):
    page = docs.PAGE.read_text(encoding="utf-8")
    classes = {name for name in fb.__all__ if isinstance(getattr(fb, name), type)}
    classes -= {name for name in classes if issubclass(getattr(fb, name), Exception)}
    assert {name for name in classes if f"`{name}`" not in page} == {
        *(
            "Callback",
            "CrossValidation",
            "Ensemble",
            "Greedy",
            "History",
            "Init",
            "Network",
            "Pack",
            "Trainer",
            "Windows",
        ),
    }


def test_no_callback_is_left_out(docs):
    shown = set(docs.CALLBACKS)
    public = {getattr(fb, name) for name in fb.__all__ if isinstance(getattr(fb, name), type)}
    assert {cls for cls in public if issubclass(cls, Callback)} - {Callback} == shown


def test_the_page_of_configurations_is_what_the_schema_says(docs):
    assert docs.CONFIG_PAGE.read_text(encoding="utf-8") == docs.config_page(), "run `python scripts/docs.py`"


def test_the_page_of_other_words_is_what_the_table_says(docs):
    assert docs.PRESETS_PAGE.read_text(encoding="utf-8") == docs.presets_page(), "run `python scripts/docs.py`"
    assert docs.WORDS_PAGE.read_text(encoding="utf-8") == docs.words_page(), "run `python scripts/docs.py`"


def test_the_words_in_the_readme_are_those_of_the_table():
    """Each row of its table has words of one thing, and what the whole table says of all of them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, after = text.partition("| PyTorch | Keras | scikit-learn | here |\n|---|---|---|---|\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in after.split("\n\n")[0].splitlines()]
    assert len(rows) > 8
    known = {word.theirs: word.python for word in WORDS}
    for *theirs, ours in rows:
        found = [name for cell in theirs for name in re.findall(r"`(\w+)`", cell)]
        assert found
        assert {known[name] for name in found} == {ours}


def test_the_picture_of_the_readme_is_what_is_drawn(docs):
    assert docs.PICTURE.read_text(encoding="utf-8") == docs.picture(), "run `python scripts/docs.py`"


def test_type_checkers_see_the_public_names(docs):
    assert docs.STUB.read_text(encoding="utf-8") == docs.stub(), "run `python scripts/docs.py`"
    names = re.findall(r"^from [\w.]+ import \w+ as (\w+)$", docs.stub(), re.MULTILINE)
    assert names == sorted({*fb.__all__, *fb._EXTRAS})


def test_every_key_is_on_the_page_of_configurations(docs):
    sections = docs.CONFIG_PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    shown = {}
    for section in sections:
        title, _, body = section.partition("\n")
        shown[title.strip("`")] = set(re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE))
    always = {"data", "network", "trainer", "run", "split"}
    for path, section in SECTIONS.items():
        assert shown[path or "At the top"] == set(section.__struct_fields__) - always


def test_the_example_on_the_page_of_configurations_can_be_run(docs):
    found = re.search(r"```yaml\n(.*?)```", docs.config_page(), re.DOTALL)
    assert plan_of(parse(found[1])).config.network.hidden == [256, 128]


def test_links_of_the_pages_lead_somewhere():
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        for target, anchor in re.findall(r"\]\(([^)#]+)#?([^)]*)\)", page.read_text(encoding="utf-8")):
            if target.startswith("http"):
                continue
            linked = page.parent / target
            if not anchor:
                assert linked.exists(), target
                continue
            titles = re.findall(r"^## (.*)$", linked.read_text(encoding="utf-8").lower(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles], (target, anchor)


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_plan_on_the_page_of_the_architecture_is_what_is_printed(capsys):
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.S).groups()
    exec(code, {})
    assert capsys.readouterr().out == shown


def test_programs_of_the_page_of_packs_print_what_stands_below_them(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "packs.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.S)
    assert len(programs) == text.count("```python") == 6
    for program, shown in programs:
        exec(program, {})
        assert capsys.readouterr().out == shown


def test_the_files_that_the_page_of_the_architecture_names_are_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`((?:\w+/)*\w+\.(?:py|md))`", text) if "/" in name or name.endswith(".md")}
    assert len(named) > 12
    assert {name for name in named if not (ROOT / "fastbp" / name).exists() and not (ROOT / name).exists()} == set()
