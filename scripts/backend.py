"""The build backend: hatchling's, except that a wheel made by `python -m build` brings compiled functions.

They are those of every level of LEVELS, whichever machine builds, about 1 MB each; whoever installs the wheel on such
a machine compiles nothing. An installation from the sources by pip leaves compiling to the first use, as an editable
one does. `FASTBP_BUILD_OBJECTS=1` or `0` decides otherwise, for `pip wheel` and for other installers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling import build as hatchling
from hatchling.build import (  # noqa: F401
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
)

if hasattr(hatchling, "prepare_metadata_for_build_wheel"):  # not under pip, which takes metadata from the wheel
    prepare_metadata_for_build_wheel = hatchling.prepare_metadata_for_build_wheel
    prepare_metadata_for_build_editable = hatchling.prepare_metadata_for_build_editable

LEVELS = ("x86-64-v4", "x86-64-v3", "aarch64")
ROOT = Path(__file__).resolve().parent.parent
OBJECTS = ROOT / "fastbp" / "engine" / "objects"


def _compiles() -> bool:
    chosen = os.environ.get("FASTBP_BUILD_OBJECTS")
    if chosen:
        return chosen != "0"
    return "PIP_BUILD_TRACKER" not in os.environ  # which pip sets for what it builds on the way to installing it


def _environment() -> dict[str, str]:
    """This process's without settings of Numba's: a wheel's objects are those of the sources alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    needed = list(hatchling.get_requires_for_build_wheel(config_settings))
    return [*needed, "numba>=0.68,<0.69", "numpy"] if _compiles() else needed


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    shutil.rmtree(OBJECTS, ignore_errors=True)
    try:
        print("fastbp: the wheel brings", "compiled functions" if _compiles() else "no compiled functions", flush=True)
        if _compiles():
            for level in LEVELS:
                command = [sys.executable, "-m", "fastbp.engine.build", "--level", level, "--into", str(OBJECTS)]
                subprocess.run(command, cwd=ROOT, env=_environment(), check=True)
        return str(hatchling.build_wheel(wheel_directory, config_settings, metadata_directory))
    finally:
        shutil.rmtree(OBJECTS, ignore_errors=True)
