"""Exported JavaScript, run by Node.js where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NODE = shutil.which("node") or ""
needs_node = pytest.mark.skipif(not NODE, reason="needs Node.js")

CALLS = """
const plain = (a) => (ArrayBuffer.isView(a) ? Array.from(a, String) : Array.isArray(a) ? a.map(plain) : a);
const found = [];
for (const [file, calls] of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
  const module = await import(file);
  found.push(calls.map(([name, ...args]) => {
    try {
      return plain(module[name](...args));
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
  }));
}
process.stdout.write(JSON.stringify(found));
"""


def called(jobs: Sequence[tuple[Path, list[list[Any]]]]) -> list[list[Any]]:
    """What functions of modules return: for each module the results of calls, (name, *arguments); errors as texts."""
    program = f"(async () => {{{CALLS}}})()"
    given = json.dumps([[str(file), calls] for file, calls in jobs])
    done = subprocess.run([NODE, "-e", program], input=given, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout)
    return found


def numbers(found: Any) -> Any:
    """Arrays of results, whose numbers are texts, as JSON knows no NaN."""
    return np.array(found, np.float64)
