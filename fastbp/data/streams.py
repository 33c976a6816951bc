"""The bytes of a table: a file, compressed or not, or stdin."""

from __future__ import annotations

import gzip
import importlib
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastbp.data.array_files import must_fit, room_for_a_file
from fastbp.errors import DataError, DependencyError, visible

STDIN = "-"
ZIPPED, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # how their files begin
PACKERS = {"gz": "gzip", "zst": "Zstandard"}


@contextmanager
def stream(path: str | Path, content: bytes | None = None) -> Iterator[Any]:
    """The decompressed bytes of a file, or of the content of stdin; what is wrong with it is one sentence."""
    name = str(path) if content is None else "stdin"
    try:
        raw: Any = open(name, "rb") if content is None else io.BufferedReader(io.BytesIO(content))  # noqa: SIM115
        with raw, _unpacked(raw, name) as file:
            yield file
    except EOFError:
        raise DataError(f"{name}: must be a complete compressed file, but ends early") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"{name}: must be readable ({getattr(error, 'strerror', None) or error})") from None
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise DataError(f"{name}: must be readable ({error})") from None


def from_stdin() -> bytes:
    """All that stdin has."""
    if sys.stdin is None:
        raise DataError("stdin: must be readable, but is closed")
    content = sys.stdin.buffer.read(room_for_a_file() + 1)
    must_fit("stdin", len(content))
    return content


def _unpacked(file: Any, name: str) -> Any:
    """The stream itself, or what is compressed in it, as its first bytes say, since no text begins like that."""
    begin = file.peek(4)[:4]
    if begin.startswith(ZIPPED):
        return io.BufferedReader(gzip.GzipFile(fileobj=file))
    if begin == ZSTANDARD:
        return io.BufferedReader(_zstandard(file, name))
    ending = name.lower().rpartition(".")[2]
    if ending in PACKERS:
        bare = Path(name).name[: -len(ending) - 1]
        raise DataError(
            f"{name}: must be compressed with {PACKERS[ending]}, as its name says, but is not",
            hint=f"if it is text, name it `{visible(bare)}`",
        )
    return file


def _zstandard(file: Any, name: str) -> Any:
    """The stream that Zstandard has in a file, by Python's own module from 3.14 on, or the package of the same."""
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(module).ZstdFile(file)
        except ImportError:
            continue
    raise DependencyError(
        f"{name}: Zstandard needs Python 3.14 or the package `backports.zstd`, which is not installed",
        hint='pip install "fastbp[tables]"',
    )
