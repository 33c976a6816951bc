"""Files that vouch for themselves: safetensors with checksums, read as a whole and written as a whole.

The words in the header of a file have

    xxh3        of its head, which is eight bytes of length and the header, with zeros for these 32 digits
    data_xxh3   of all bytes behind the head

so nothing in a file changes unseen. XXH3 with 128 bits takes a few per cent of the time of loading; it is for damage,
not against somebody who can write the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from xxhash import xxh3_128_hexdigest

from fastbp.errors import CheckpointError

HEAD, DATA = "xxh3", "data_xxh3"
ZEROS = "0" * 32
TEMPORARY = re.compile(r"\..+-[0-9a-f]{8}\.tmp")  # names that `write_whole` writes to
_SEAL = re.compile(rb'"xxh3":"([0-9a-f]{32})"')


def write_whole(path: Path, content: bytes, lasting: bool = True) -> None:
    """Put a file in its place in one move, so that nobody, not even a crash, ever sees half of it.

    One that is to be `lasting` outlives a power cut, too, for which the disk is waited for.
    """
    write_together({Path(path): content}, lasting)


def write_together(files: dict[Path, bytes], lasting: bool = True) -> None:
    """As `write_whole` for several files of one folder: none is moved before all are written, with one wait for all."""
    names = {path: temporary(path) for path in files}
    written: dict[Path, BinaryIO] = {}
    try:
        for path, content in files.items():
            with _saying(path):
                written[path] = _new(names[path])
                written[path].write(content)
                written[path].flush()
        if lasting:
            _sync(written)
        for path, file in written.items():
            with _saying(path):
                file.close()
        for path, name in names.items():
            with _saying(path):
                os.replace(name, path)
        if lasting:
            for folder in {path.parent for path in files}:
                _sync_folder(folder)
    except BaseException:
        for file in written.values():
            with contextlib.suppress(OSError):
                file.close()
        for name in names.values():
            with contextlib.suppress(OSError):
                os.unlink(name)
        raise


def temporary(path: Path) -> Path:
    """The name under which a file is written before it takes its place."""
    return path.parent / f".{path.name}-{secrets.token_hex(4)}.tmp"


def _new(name: Path) -> BinaryIO:
    """A file that was not there, with the permissions that new files get."""
    return open(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666), "wb")


def _sync(files: dict[Path, BinaryIO]) -> None:
    """Wait until files are on their disk, for several at once."""

    def one(path: Path) -> None:
        with _saying(path):
            os.fsync(files[path].fileno())

    if len(files) == 1:  # without threads, of which Python starts none while it ends
        one(*files)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(files)) as pool:
        list(pool.map(one, files))


def _sync_folder(folder: Path) -> None:
    """Let moves outlast a power cut, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _saying(path: Path) -> Iterator[None]:
    """Errors name this file; some say none, and others a temporary one."""
    try:
        yield
    except OSError as error:
        if not error.errno:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from None


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
    words = {**words, HEAD: ZEROS, DATA: xxh3_128_hexdigest(data)}
    header["__metadata__"] = dict(sorted(words.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    seal = xxh3_128_hexdigest(head)
    place = f'"{HEAD}":"'.encode()
    return head.replace(place + ZEROS.encode(), place + seal.encode()) + data


def unsealed(path: Path, what: str, formats: tuple[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Words and arrays of a file that is as it was written.

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
        if xxh3_128_hexdigest(blank).encode() != seal[1]:
            raise CheckpointError(_damaged(path))
    words, arrays = _parsed(path, content, head)
    if words.get("format") not in formats:
        raise CheckpointError(f"`{path}` must be {what}, got format `{words.get('format')}`")
    if words["format"] == formats[1] and not seal:
        warnings.warn(
            f"`{path}` was written by an older version and has no checksum; saving it again adds one",
            stacklevel=3,
        )
    elif not seal or xxh3_128_hexdigest(data) != words.get(DATA):
        raise CheckpointError(_damaged(path))
    return words, arrays


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
