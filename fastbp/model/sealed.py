"""Sealed files: safetensors with checksums in the header.

    xxh3        of its head, which is eight bytes of length and the header, with zeros for these 32 digits
    data_xxh3   of all bytes behind the head

so any damage is detected. XXH3 with 128 bits takes a few per cent of the time of loading; it does not protect against
tampering.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xxhash import xxh3_128_hexdigest

from fastbp.errors import CheckpointError
from fastbp.spec.checks import path_of
from fastbp.writing import whole

HEAD, DATA = "xxh3", "data_xxh3"
ZEROS = "0" * 32
_SEAL = re.compile(rb'"xxh3":"([0-9a-f]{32})"')


def sealed(arrays: dict[str, Any], words: dict[str, str]) -> bytes:
    """The file of these arrays and metadata; deterministic, unlike safetensors' own order."""
    from safetensors.numpy import save

    content = save(arrays, metadata={})
    size = int.from_bytes(content[:8], "little")
    data = memoryview(content)[8 + size :]
    header = json.loads(content[8 : 8 + size])
    words = {**words, HEAD: ZEROS, DATA: xxh3_128_hexdigest(data)}
    header["__metadata__"] = dict(sorted(words.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    seal = xxh3_128_hexdigest(head)
    place = f'"{HEAD}":"'.encode()
    return head.replace(place + ZEROS.encode(), place + seal.encode()) + data


def write(path: Any, content: bytes) -> None:
    """Write a sealed file to a user's path."""
    with whole(path_of("path", path)) as file:
        file.write(content)


def unsealed(path: Path, what: str, formats: Sequence[str], callers: int = 0) -> tuple[dict[str, str], dict[str, Any]]:
    """Metadata and arrays of an undamaged file.

    Parameters
    ----------
    path : Path
    what : str
        The kind of file, for messages.
    formats : list of str
        "format" of files with checksums, newest first, and last that of files without.
    callers : int
        More functions than one between the user's call and this one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, f"must be readable ({error.strerror})") from None
    size = int.from_bytes(content[:8], "little")
    head, data = content[: 8 + size], memoryview(content)[8 + size :]
    seal = _SEAL.search(head)
    if seal:
        blank = head[: seal.start(1)] + ZEROS.encode() + head[seal.end(1) :]
        if xxh3_128_hexdigest(blank).encode() != seal[1]:
            raise CheckpointError(_damaged(path))
    words, arrays = _parsed(path, content, head)
    if words.get("format") not in formats:
        hint = "`fb.load_torch` reads files of PyTorch" if words.get("format") in (None, "pt") else None
        raise CheckpointError(path, f"must be {what}", f"format `{words.get('format')}`", hint)
    if words["format"] == formats[-1] and not seal:
        warnings.warn(
            f"`{path}` was written by an older version and has no checksum; saving it again adds one",
            stacklevel=3 + callers,
        )
    elif not seal or xxh3_128_hexdigest(data) != words.get(DATA):
        raise CheckpointError(_damaged(path))
    return words, arrays


def format_of(path: Path) -> str | None:
    """The format that a sealed file says it has; None for other files."""
    try:
        with path.open("rb") as file:
            head = file.read(min(int.from_bytes(file.read(8), "little"), path.stat().st_size))
        return str(json.loads(head)["__metadata__"]["format"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _damaged(path: Path) -> str:
    return f"`{path}` is damaged: its checksum is wrong"


def _parsed(path: Path, content: bytes, head: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        words = json.loads(head[8:]).get("__metadata__") or {}
    except (SafetensorError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise CheckpointError(path, f"must be a valid safetensors file ({error})") from None
    return words, arrays
