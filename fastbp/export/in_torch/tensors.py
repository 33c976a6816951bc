"""Files of named tensors, safetensors, as other programs write them: read and written without a package.

    8 bytes     how long the header is, a little-endian number
    header      JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}, and words in "__metadata__"
    data        the tensors, one behind the other without gaps, little-endian, rows first

Such files come from anywhere, so nothing in one is believed: each thing that is wrong is said in one sentence before
any number is used, and no memory is taken for what is not there.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import CheckpointError, brief, visible

Array = NDArray[Any]
MOST = 100_000_000  # bytes of a header
WORD = 8

# What the format calls types, and how NumPy reads them; those that it has no type for are raw bytes.
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
    "F8_E4M3": "u1",
    "F8_E5M2": "u1",
}
NAMES = {np.dtype(code): name for name, code in reversed(DTYPES.items()) if name not in ("BF16", "F8_E4M3", "F8_E5M2")}
# How files of other kinds begin, and what they are.
OTHERS = {
    b"PK\x03\x04": "pickled",
    b"\x80\x02": "pickled",
    b"\x80\x03": "pickled",
    b"\x80\x04": "pickled",
    b"\x80\x05": "pickled",
    b"\x89HDF": "Keras",
}
HOW = {
    "pickled": (
        "is pickled, which could run any program and is never read",
        "in PyTorch: `safetensors.torch.save_file(model.state_dict(), ...)`, with what `torch.load` reads",
    ),
    "Keras": (
        "is HDF5, as Keras writes it, which is not read here",
        "weights of Keras are (in, out) as ours are: `net.parameters[name] = array` takes each",
    ),
}


class Tensors(dict[str, Array]):
    """Arrays by name, BF16 as float32, with the words of the file and what each type is called there."""

    words: dict[str, str]
    kinds: dict[str, str]


def to_bytes(arrays: dict[str, Array], words: dict[str, str]) -> bytes:
    """The file of these arrays; wide numbers stand first, so that all are aligned."""
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    header: dict[str, Any] = {"__metadata__": words}
    parts, at = [], 0
    for name in order:
        array = arrays[name]
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": NAMES[array.dtype], "shape": [*array.shape], "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % WORD)
    return len(text).to_bytes(WORD, "little") + text + b"".join(parts)


def read(path: Path) -> Tensors:
    """The tensors of a file."""
    if path.is_dir():
        raise CheckpointError(path, "must be a safetensors file", "a folder")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(path, "must be a safetensors file, but does not exist") from None
    except OSError as error:
        raise CheckpointError(path, f"must be readable ({error.strerror})") from None
    return parsed(str(path), content)


def parsed(where: str, content: bytes) -> Tensors:
    """The tensors of a file's bytes."""
    size = int.from_bytes(content[:WORD], "little")
    ours = size <= len(content) - WORD and content[WORD : WORD + 1] == b"{"  # a length may begin as a pickle does
    for magic, of in OTHERS.items():
        if content.startswith(magic) and not ours:
            said, hint = HOW[of]
            raise CheckpointError(where, said, hint=hint)
    if len(content) < WORD or size > min(len(content) - WORD, MOST):
        said = f"{len(content)} bytes" if len(content) < WORD else f"{size} of {len(content) - WORD} bytes"
        raise CheckpointError(where, "must be a safetensors file, with its header whole", said)
    header = _header(where, content[WORD : WORD + size])
    found = Tensors()
    found.words, found.kinds = _words(where, header.pop("__metadata__", None)), {}
    data = memoryview(content)[WORD + size :]
    places = {name: _place(where, name, entry, len(data)) for name, entry in header.items()}
    at = 0
    for name, (_, _, begin, end) in sorted(places.items(), key=lambda place: place[1][2:]):
        if begin != at:
            _fail(where, name, f"must begin at byte {at} of the data, where the others end", f"`{begin}`")
        at = end
    if at != len(data):
        raise CheckpointError(where, f"must end with its data, {at} bytes", f"{len(data)} bytes")
    for name, (kind, shape, begin, end) in places.items():
        array: Array = np.frombuffer(data[begin:end], DTYPES[kind]).reshape(shape)
        if kind == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        found[name], found.kinds[name] = array, kind
    return found


def _fail(where: str, name: str, must: str, got: str) -> NoReturn:
    raise CheckpointError(f"`{where}` holds a damaged `{visible(name)}`: it {must}, got {got}")


def _header(where: str, text: bytes) -> dict[str, Any]:
    """The header, in which each name stands once."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise CheckpointError(where, "must have each name once in its header", f"`{visible(twice)}` twice")
        return made

    try:
        found = json.loads(text.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(where, "must be a safetensors file, whose header is JSON") from None
    if not isinstance(found, dict):
        raise CheckpointError(where, "must be a safetensors file, whose header is an object of JSON")
    return found


def _words(where: str, given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
        raise CheckpointError(where, "must have texts only in `__metadata__`", f"`{brief(given)}`")
    return given


def _place(where: str, name: str, entry: Any, size: int) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, begin and end of a tensor."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _fail(where, name, "must have `dtype`, `shape` and `data_offsets`", f"`{brief(entry)}`")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        _fail(where, name, "must have a known type", f"`{brief(kind, str)}`")
    if not isinstance(shape, list) or len(shape) > 32 or not all(map(_is_count, shape)):
        _fail(where, name, "must have a shape", f"`{brief(shape)}`")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        _fail(where, name, "must have two offsets", f"`{brief(offsets)}`")
    begin, end = offsets
    if not begin <= end <= size:
        _fail(where, name, f"must lie within {size} bytes", f"`{brief(offsets)}`")
    if end - begin != prod(shape) * np.dtype(DTYPES[kind]).itemsize:
        _fail(where, name, f"must have {end - begin} bytes, as its offsets say", f"`{kind}` of shape `{brief(shape)}`")
    return kind, tuple(shape), begin, end


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63
