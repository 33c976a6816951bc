"""How much room the cache takes: what was not used for longest goes first, when something is written."""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LIMIT = 512 * 2**20
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
DAY = 86400.0
FOLDER = re.compile(r"[0-9a-f]{32}")  # what fingerprints look like


class Kept(NamedTuple):
    """A file of the cache."""

    used: float
    size: int
    path: str


def limit(text: str) -> int | None:
    """Bytes of `FASTBP_CACHE_SIZE`, such as "512M" or "2G"; 0 is no limit, None what is no size.

    Examples
    --------
    >>> limit("2G"), limit("100m"), limit(""), limit("much")
    (2147483648, 104857600, 536870912, None)
    """
    if not text.strip():
        return LIMIT
    found = re.fullmatch(r"\s*([0-9]{1,15})\s*([KMG]?)(?:i?B)?\s*", text, re.IGNORECASE)
    return int(found[1]) * UNITS[found[2].upper()] if found else None


def files(top: Path) -> list[Kept]:
    """What fastbp keeps below a cache folder, and what processes that were killed have left there for a day."""
    found = []
    for folder in _entries(top):
        if FOLDER.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
            for file in _entries(Path(folder.path)):
                try:
                    state = file.stat(follow_symlinks=False)
                except OSError:  # another process was faster
                    continue
                abandoned = file.name.startswith(".") and time.time() - state.st_mtime > DAY
                if stat.S_ISREG(state.st_mode) and (file.name.endswith(".bin") or abandoned):
                    found.append(Kept(state.st_mtime, state.st_size, file.path))
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def used(file: Path) -> None:
    """Note that a file is in use, once a day."""
    with suppress(OSError):
        if time.time() - file.stat().st_mtime > DAY:
            os.utime(file)


def make(top: Path, own: Path, most: int) -> None:
    """Remove what was not used for longest until the rest fits: formulas, and files of other folders than `own`."""
    found = files(top)
    left = sum(file.size for file in found)
    for file in sorted(found):
        if left <= most:
            return
        folder, name = os.path.split(file.path)
        if folder != str(own) or "custom_" in name or name.startswith("."):
            left -= remove(file)


def clean(top: Path, own: Path) -> tuple[int, int]:
    """Remove all files of other folders than `own`, and folders that are empty then; how many files and bytes."""
    sizes = [remove(file) for file in files(top) if os.path.dirname(file.path) != str(own)]
    for folder in _entries(top):
        if FOLDER.fullmatch(folder.name) and folder.path != str(own):
            with suppress(OSError):  # there is something else in it
                os.rmdir(folder.path)
    return sum(size > 0 for size in sizes), sum(sizes)


def remove(file: Kept) -> int:
    """Remove a file; the bytes that this freed."""
    try:
        os.unlink(file.path)
    except OSError:
        return 0
    return file.size
