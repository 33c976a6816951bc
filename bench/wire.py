"""Messages between the bench and its workers: a JSON header and arrays in npz, each after its length.

Nothing is pickled, in either direction.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LENGTHS = struct.Struct("<QQ")


def send(stream: IO[bytes], header: dict[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Write one message and flush it."""
    text = json.dumps(header).encode()
    packed = io.BytesIO()
    np.savez(packed, *arrays)
    stream.write(LENGTHS.pack(len(text), packed.getbuffer().nbytes))
    stream.write(text)
    stream.write(packed.getbuffer())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[Array]]:
    """Read one message; raise EOFError when the other side has gone."""
    text, packed = LENGTHS.unpack(exactly(stream, LENGTHS.size))
    header: dict[str, Any] = json.loads(exactly(stream, text))
    with np.load(io.BytesIO(exactly(stream, packed)), allow_pickle=False) as file:
        return header, [file[f"arr_{k}"] for k in range(len(file.files))]


def exactly(stream: IO[bytes], count: int) -> bytes:
    """Read exactly `count` bytes."""
    chunk = stream.read(count)
    if len(chunk) < count:
        raise EOFError("the other side closed the pipe")
    return chunk
