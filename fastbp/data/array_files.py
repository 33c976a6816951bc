"""Array files: NPY, memory-mapped, NPZ and IDX (the MNIST family), with or without gzip; nothing is ever unpickled."""

from __future__ import annotations

import gzip
import math
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import DataError, visible

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
SHARE = 0.5  # of the free memory that one matrix may take
IDX_AXES = 32  # the limit of every NumPy version
UNREADABLE = (OSError, EOFError, MemoryError, zlib.error)
MAGIC = b"\x93NUMPY"


def memory() -> int:
    """Bytes of memory for arrays: free memory, or the container's limit if less."""
    free = 1 << 32
    try:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        with open("/proc/meminfo") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
        with open("/sys/fs/cgroup/memory.max") as file:
            free = min(free, int(file.read()))
    except (OSError, ValueError, AttributeError, StopIteration):  # no limit where the file is missing
        pass
    return free


def room_for_a_file() -> int:
    """Bytes that the contents of one file may take; the rest is for what is made from them."""
    return int(SHARE * memory())


def must_fit(name: str, size: int) -> None:
    """Refuse contents too large for memory, before they are read."""
    most = room_for_a_file()
    if size > most:
        raise DataError(f"{name}: must fit into the {most >> 20} MiB that a file may take, got `{size >> 20} MiB`")


def reason_of(error: BaseException) -> str:
    """A library's error message, shortened."""
    said = str(getattr(error, "strerror", None) or error).splitlines()
    return said[0][:120] if said else type(error).__name__


def read_npy(path: str | Path) -> NDArray[Any]:
    """A memory-mapped array."""
    name = str(path)
    try:
        with open(path, "rb") as file:
            begin = file.read(len(MAGIC))
        if begin != MAGIC:
            raise DataError(f"{name}: must be in NPY format, got a file that begins with `{begin.hex()}`")
        with _in_silence():
            array = np.lib.format.open_memmap(path, mode="r")
        more = os.path.getsize(path) > array.offset + array.nbytes
    except DataError:
        raise
    except Exception as error:  # NumPy evaluates the header, so a damaged one may raise any error
        raise DataError(f"{name}: must be an array of numbers in NPY format, got `{reason_of(error)}`") from None
    if more:
        raise DataError(f"{name}: must have {array.nbytes} bytes after its header, but has more")
    return array


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """All arrays of an archive, by name."""
    name = str(path)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            must_fit(name, sum(info.file_size for info in archive.infolist()))
            for info in archive.infolist():
                key = info.filename.removesuffix(".npy")
                if key in arrays:
                    raise DataError(f"{name}: names of arrays must be unique, got `{visible(key)}` twice")
                with archive.open(info) as member:
                    arrays[key] = _array(member, name, visible(key))
    except DataError:
        raise
    except Exception as error:  # as above; a damaged archive may raise any error, too
        raise DataError(f"{name}: must be arrays of numbers in NPZ format, got `{reason_of(error)}`") from None
    return arrays


def _array(member: Any, name: str, key: str) -> NDArray[Any]:
    """An array of an archive, read to its end so that its checksum is verified."""
    if member.peek(len(MAGIC))[: len(MAGIC)] != MAGIC:
        raise DataError(f"{name}: must hold arrays only, but `{key}` is none")
    with _in_silence():
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    if member.read(1):
        raise DataError(f"{name}: `{key}` must have {array.nbytes} bytes after its header, but has more")
    return array


@contextmanager
def _in_silence() -> Iterator[None]:
    """Silence NumPy's warnings about headers; damaged ones raise errors."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def read_idx(path: str | Path) -> NDArray[Any]:
    """An array in IDX format: two zero bytes, type, number of axes, lengths of the axes, data."""
    name = str(path)
    opened: Any = gzip.open if name.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not 0 < head[3] <= IDX_AXES:
                raise DataError(f"{name}: must be in IDX format, got a file that begins with `{head.hex()}`")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{name}: must be in IDX format, but ends inside its header")
            shape = struct.unpack(f">{head[3]}I", sizes)
            dtype = np.dtype(IDX_TYPES[head[2]])
            size = math.prod(shape) * dtype.itemsize
            must_fit(name, size)
            content = file.read(size + 1)
    except UNREADABLE as error:
        raise DataError(f"{name}: must be readable ({reason_of(error)})") from None
    if len(content) != size:
        found = "but has more" if len(content) > size else f"got {len(content)}"
        raise DataError(f"{name}: must have {size} bytes after its header, {found}")
    if not size:
        raise DataError(f"{name}: must hold numbers, got shape `{shape}`")
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))
