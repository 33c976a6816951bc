"""Messages of protocol buffers, as bytes: each field is its number and wire type, then its value.

wire type   values
0           whole numbers, seven bits a byte from the low end, the eighth says that more follow
2           texts, bytes, messages and packed lists, behind their length
5           float32
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

WHOLE, FRAMED, REAL = 0, 2, 5


def varint(number: int) -> bytes:
    """A whole number; negative ones as their 64 bits."""
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tag(field: int, wire: int) -> bytes:
    return varint(field << 3 | wire)


def whole(field: int, number: int) -> bytes:
    """A field with a whole number."""
    return _tag(field, WHOLE) + varint(number)


def real(field: int, number: float) -> bytes:
    """A field with a float32."""
    return _tag(field, REAL) + struct.pack("<f", number)


def framed(field: int, content: bytes) -> bytes:
    """A field with a message or bytes."""
    return _tag(field, FRAMED) + varint(len(content)) + content


def text(field: int, content: str) -> bytes:
    """A field with a text."""
    return framed(field, content.encode())


def wholes(field: int, numbers: Iterable[int]) -> bytes:
    """A field with a list of whole numbers, packed; nothing where it is empty."""
    content = b"".join(map(varint, numbers))
    return framed(field, content) if content else b""
