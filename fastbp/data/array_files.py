"""Array files: NPY, memory-mapped, NPZ and IDX (the MNIST family), with or without gzip; nothing is ever unpickled."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import DataError

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def memory() -> int:
    """Bytes of memory that arrays may take: what the machine, or the process's container, has free."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 1 << 32


def _fits(name: str, size: int) -> None:
    free = memory()
    if size > free:
        raise DataError(f"{name}: must fit into memory, {free >> 20} MiB free, got {size >> 20} MiB")


def read_npy(path: str | Path) -> NDArray[Any]:
    """An array that stays in its file until it is read."""
    name = str(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        what = "one of Python objects" if "allow_pickle" in str(error) or "Object" in str(error) else "something else"
        raise DataError(f"{name}: must be an array of numbers in NPY format, got {what}") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{name}: must be a file that can be read, got `{_reason(error)}`") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name}: must be one array in NPY format, got an archive of several")
    return array


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or "it ends early")


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """All arrays of an archive, by name."""
    name = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _fits(name, sum(info.file_size for info in archive.infolist()))
        with np.load(path, allow_pickle=False) as found:
            return {key: found[key] for key in found.files}
    except ValueError as error:
        what = "Python objects" if "allow_pickle" in str(error) or "Object" in str(error) else "something broken"
        raise DataError(f"{name}: must be arrays of numbers in NPZ format, got {what}") from None
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, zipfile.error) as error:
        raise DataError(f"{name}: must be an archive in NPZ format, got `{_reason(error)}`") from None


def read_idx(path: str | Path) -> NDArray[Any]:
    """An array in IDX format, two bytes of zero, its type, its number of axes and their lengths first."""
    name = str(path)
    opened: Any = gzip.open if name.endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or head[3] == 0:
                raise DataError(f"{name}: must be in IDX format, got a file that begins with `{head.hex()}`")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{name}: must be in IDX format, got a file that ends inside its head")
            shape = struct.unpack(f">{head[3]}I", sizes)
            dtype = np.dtype(IDX_TYPES[head[2]])
            size = math.prod(shape) * dtype.itemsize
            _fits(name, size)
            content = file.read(size + 1)
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{name}: must be a file that can be read, got `{_reason(error)}`") from None
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content)}"
        raise DataError(f"{name}: must have {size} bytes behind its head, got {more}")
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("=")) if dtype.itemsize > 1 else array
