"""Fields of protocol buffers, as the tests' own reader takes them apart."""

import struct

import pytest

from fastbp.export.in_onnx import protobuf
from tests.export.onnx_reader import fields, packed, varint

NUMBERS = [0, 1, 127, 128, 300, 2**31 - 1, 2**32, 2**63 - 1, -1, -128, -(2**63)]


@pytest.mark.parametrize("number", NUMBERS)
def test_whole_numbers_come_back_and_negative_ones_as_their_64_bits(number):
    data = protobuf.varint(number)
    assert varint(data, 0) == (number % 2**64, len(data))
    assert len(data) == max(1, -(-(number % 2**64).bit_length() // 7))
    assert fields(protobuf.whole(1000, number)) == {1000: [number % 2**64]}


def test_messages_hold_fields_in_any_number():
    inner = protobuf.text(1, "Ünïcode") + protobuf.real(2, 0.1)
    data = protobuf.framed(3, inner) + protobuf.framed(3, b"") + protobuf.wholes(4, NUMBERS)
    found = fields(data)
    assert fields(found[3][0]) == {1: ["Ünïcode".encode()], 2: list(struct.unpack("<f", struct.pack("<f", 0.1)))}
    assert found[3][1] == b""
    assert list(packed(found[4][0])) == NUMBERS
    assert protobuf.wholes(4, []) == b""
