"""Files that vouch for themselves: safetensors with checksums, read as a whole and written as a whole.

The words in the header of a file have

    sha256        of its head, which is eight bytes of length and the header, with zeros for these 64 digits
    data_sha256   of all bytes behind the head

so nothing in a file can change unseen. The head is verified before it is used, the data beside what is made of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastbp.errors import CheckpointError

HEAD, DATA = "sha256", "data_sha256"
ZEROS = "0" * 64
TEMPORARY = re.compile(r"\..+-[0-9a-f]{8}\.tmp")  # names that `write_whole` writes to
_SEAL = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_BESIDE = 1 << 20  # bytes from which on data are hashed beside other work


def write_whole(path: Path, content: bytes, lasting: bool = True) -> None:
    """Put a file in its place in one move, so that nobody, not even a crash, ever sees half of it.

    One that is to be `lasting` outlives a power cut, too, for which the disk is waited for.
    """
    path = Path(path)
    name = path.parent / f".{path.name}-{secrets.token_hex(4)}.tmp"
    try:
        with open(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666), "wb") as out:
            out.write(content)
            out.flush()
            if lasting:
                os.fsync(out.fileno())
        os.replace(name, path)
        if lasting:
            _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError) and error.errno:  # of which some say no file, and others the temporary one
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise


def _sync_folder(folder: Path) -> None:
    """Let the move itself outlast a power cut, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep_temporaries(folder: Path) -> None:
    """Remove what writes that were killed left behind; nobody may write there meanwhile."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    path.unlink()


def sealed(arrays: dict[str, Any], words: dict[str, str]) -> bytes:
    """A file of these arrays and words; the same ones give the same bytes, which safetensors' own order does not."""
    from safetensors.numpy import save

    content = save(arrays, metadata={})
    size = int.from_bytes(content[:8], "little")
    data = memoryview(content)[8 + size :]
    header = json.loads(content[8 : 8 + size])
    words = {**words, HEAD: ZEROS, DATA: hashlib.sha256(data).hexdigest()}
    header["__metadata__"] = dict(sorted(words.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    seal = hashlib.sha256(head).hexdigest()
    place = f'"{HEAD}":"'.encode()
    return head.replace(place + ZEROS.encode(), place + seal.encode()) + data


@contextlib.contextmanager
def unsealed(path: Path, what: str, formats: tuple[str, str]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Words and arrays of a file; its data are believed when this ends without an error.

    Parameters
    ----------
    path : Path
    what : str
        What the file must be, for messages.
    formats : (str, str)
        The word "format" of files with checksums, and of older ones without.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"`{path}` must be a file that can be read ({error.strerror})") from None
    size = int.from_bytes(content[:8], "little")
    head, data = content[: 8 + size], memoryview(content)[8 + size :]
    seal = _SEAL.search(head)
    if seal:
        blank = head[: seal.start(1)] + ZEROS.encode() + head[seal.end(1) :]
        if hashlib.sha256(blank).hexdigest().encode() != seal[1]:
            raise CheckpointError(_damaged(path))
    words, arrays = _parsed(path, content, head)
    if words.get("format") not in formats:
        raise CheckpointError(f"`{path}` must be {what}, got format `{words.get('format')}`")
    if words["format"] == formats[1] and not seal:
        warnings.warn(
            f"`{path}` was written by an older version and has no checksum; saving it again adds one",
            stacklevel=4,
        )
        yield words, arrays
        return
    if not seal or DATA not in words:
        raise CheckpointError(_damaged(path))
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(_hash, data) if len(data) >= _BESIDE else None
        try:
            yield words, arrays
        finally:
            if (beside.result() if beside else _hash(data)) != words[DATA]:
                raise CheckpointError(_damaged(path)) from None


def _hash(data: memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def _damaged(path: Path) -> str:
    return f"`{path}` must be as it was written, got another checksum: the file is damaged"


def _parsed(path: Path, content: bytes, head: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        words = json.loads(head[8:]).get("__metadata__") or {}
    except (SafetensorError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"`{path}` must be a safetensors file, got one that cannot be read ({error})") from None
    return words, arrays
