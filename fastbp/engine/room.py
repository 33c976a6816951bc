"""The size of the cache: when something is written, the least recently used files are removed."""

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
FOLDER = re.compile(r"[0-9a-f]{32}")  # pattern of fingerprints


class Kept(NamedTuple):
    """A file of the cache."""

    used: float
    size: int
    path: str


def limit(text: str) -> int | None:
    """Bytes of `FASTBP_CACHE_SIZE`, such as "512M" or "2G"; 0 is no limit, None an invalid size.

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
    """Files of fastbp below a cache folder, and day-old leftovers of killed processes."""
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
    """Touch a file that is in use, once a day."""
    with suppress(OSError):
        if time.time() - file.stat().st_mtime > DAY:
            os.utime(file)


def make(top: Path, own: Path, most: int) -> None:
    """Remove least recently used files until the rest fits: formulas, and files of folders other than `own`."""
    found = files(top)
    left = sum(file.size for file in found)
    for file in sorted(found):
        if left <= most:
            return
        folder, name = os.path.split(file.path)
        if folder != str(own) or "custom_" in name or name.startswith("."):
            left -= remove(file)


def clean(top: Path, own: Path) -> tuple[int, int]:
    """Remove files of folders other than `own`, and empty folders; returns number and bytes of files."""
    sizes = [remove(file) for file in files(top) if os.path.dirname(file.path) != str(own)]
    for folder in _entries(top):
        if FOLDER.fullmatch(folder.name) and folder.path != str(own):
            with suppress(OSError):  # not empty
                os.rmdir(folder.path)
    return sum(size > 0 for size in sizes), sum(sizes)


def remove(file: Kept) -> int:
    """Remove a file; returns the bytes freed."""
    try:
        os.unlink(file.path)
    except OSError:
        return 0
    return file.size
