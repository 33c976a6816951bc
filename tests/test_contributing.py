"""CONTRIBUTING.md: its examples are added to a copy of the package, as it says, and used."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import fastbp as fb

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
# The most places that each of these may touch.
MOST = {"An activation": 4, "A loss": 5, "An optimiser": 4}
WORDS = {"Two": 2, "Three": 3, "Four": 4, "Eight": 8}
MOST_SECONDS = 1200  # of a process, which compiles everything
STEP = re.compile(
    r"^In `(?P<file>[^`]+)`, (?P<where>a new file|at the end|(?:above|below) `(?P<anchor>[^`\n]+)`):\n\n"
    r"```python\n(?P<code>.*?)```$",
    re.MULTILINE | re.DOTALL,
)
CONFIG = """
data: {{source: friedman, rows: 200}}
dtype: {dtype}
network: {{hidden: [12], activation: hard_swish}}
trainer: {{epochs: 12, loss: cauchy, optimizer: {{name: signum, lr: 0.01, beta: 0.8}}}}
run: {{folder: {folder}}}
"""


class Step(NamedTuple):
    """One place: a file, where in it, and what is written there."""

    file: str
    where: str
    anchor: str | None
    code: str

    def take(self, root: Path) -> None:
        file = root / self.file
        if self.where == "a new file":
            assert not file.exists(), self.file
            file.write_text(self.code, encoding="utf-8")
            return
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        if self.anchor is None:
            at, code = len(lines), f"\n\n{self.code}"
        else:
            (at,) = (i for i, line in enumerate(lines) if line.startswith(self.anchor))
            code = f"{self.code}\n\n" if self.where.startswith("above") else self.code
            at += self.where.startswith("below")
        file.write_text("".join([*lines[:at], code, *lines[at:]]), encoding="utf-8")


def ways(text: str) -> dict[str, list[Step]]:
    """What the page adds, section by section."""
    found = {}
    for section in text.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        steps = [Step(*step.group("file", "where", "anchor", "code")) for step in STEP.finditer(body)]
        if steps:
            found[title] = steps
    return found


WAYS = ways(PAGE.read_text(encoding="utf-8"))


def test_every_block_of_python_on_the_page_is_a_step():
    text = PAGE.read_text(encoding="utf-8")
    assert sum(map(len, WAYS.values())) == text.count("```python\n")
    assert list(WAYS) == [
        *("An activation", "A loss", "An optimiser"),
        *("A layer", "A gate of traced functions", "A command"),
    ]


@pytest.mark.parametrize("way", MOST)
def test_a_way_is_short_and_each_of_its_places_is_a_file(way):
    files = [step.file for step in WAYS[way]]
    assert len(files) == len(set(files)) <= MOST[way]


@pytest.mark.parametrize("way", WAYS)
def test_the_page_counts_its_places(way):
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {way}\n")[1].split("\n## ")[0]
    (said,) = re.findall(rf"\b({'|'.join(WORDS)}) places\b", section)
    assert WORDS[said] == len(WAYS[way])


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """What came of the copy, by dtype."""
    root = tmp_path_factory.mktemp("copy")
    leave = shutil.ignore_patterns("__pycache__", "objects")
    shutil.copytree(ROOT / "fastbp", root / "fastbp", ignore=leave)
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=leave)
    for steps in WAYS.values():
        for step in steps:
            step.take(root)
    own = {"PYTHONPATH": str(root), "FASTBP_CACHE_DIR": str(root / "cache"), "FASTBP_QUIET": "1"}
    running = {}
    for dtype in ("float32", "float64"):
        config = root / f"{dtype}.yaml"
        config.write_text(CONFIG.format(dtype=dtype, folder=root / dtype))
        command = [sys.executable, str(ROOT / "tests" / "contributed.py"), dtype, str(config)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running[dtype] = subprocess.Popen(command, cwd=root, env={**os.environ, **own}, **pipes)
    found = {}
    try:
        for dtype, process in running.items():
            out, errors = process.communicate(timeout=MOST_SECONDS)
            assert process.returncode == 0, errors
            found[dtype] = (out.rsplit("\n", 2)[0], json.loads(out.rsplit("\n", 2)[1]))
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return root, found


@pytest.fixture(params=["float32", "float64"])
def came(request, used):
    root, found = used
    assert found[request.param][1]["home"] == str(root)
    return root / request.param, found[request.param][1]


@pytest.mark.parametrize("what", ["activation", "loss", "optimiser"])
def test_networks_learn_with_what_was_added(came, what):
    losses = came[1]["losses"][what]
    assert len(losses) == 10
    assert losses[-1] < 0.98 * losses[0]


def test_a_configuration_names_what_was_added(came):
    folders, found = came
    assert found["code"] == 0
    (folder,) = folders.iterdir()
    epochs = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert epochs[-1] < 0.9 * epochs[0]
    text = (folder / "config.yaml").read_text()
    assert all(name in text for name in ("hard_swish", "cauchy", "signum", "beta: 0.8"))


def test_what_was_added_ran_beside_its_twin(came):
    """Kernels that have none would have been refused."""
    kernels = {"hard_swish_forward", "hard_swish_vjp", "cauchy", "signum", "shift"}
    assert kernels <= set(came[1]["watched"])


def test_the_generators_find_what_was_added(used):
    out, found = used[1]["float64"]
    for name, kind in {"hard_swish": "HardSwish", "cauchy": "Cauchy", "signum": "Signum", "shift": "Shift"}.items():
        assert f"| `{name}` | `{kind}` |" in found["page"]
        assert re.search(rf"^from fastbp\.[\w.]+ import {kind} as {kind}$", found["stub"], re.MULTILINE)
        assert name in found["cases"] or name == "shift"
        assert not hasattr(fb, kind)
    assert found["names"] == 0
    assert "log_cosh" in out
    assert "cauchy" in out
