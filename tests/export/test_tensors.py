"""Files of tensors, written and read by hand."""

import json

import numpy as np
import pytest

import fastbp as fb
from fastbp.export.in_torch import tensors

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.c": np.float64([0.1, -0.0]),
    "n": np.zeros((), np.int64),
    "none": np.zeros((0, 4), np.float32),
    "half": np.float16([1.5]),
    "on": np.bool_([True, False, True]),
}


def file_of(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


def one(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def refused(content):
    with pytest.raises(fb.CheckpointError) as info:
        tensors.parsed("x.safetensors", content)
    return str(info.value)


def test_what_is_written_is_what_the_package_of_the_format_reads_and_writes():
    from safetensors.numpy import load, save

    for found in (load(tensors.to_bytes(ARRAYS, {"format": "pt"})), tensors.parsed("", save(ARRAYS))):
        assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in found.items()} == {
            name: (a.dtype, a.shape, a.tobytes()) for name, a in ARRAYS.items()
        }


def test_tensors_are_aligned():
    content = tensors.to_bytes({"odd": np.zeros(3, np.float32), "n": np.zeros((), np.int64)}, {})
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["n"]["data_offsets"] == [0, 8]
    assert header["odd"]["data_offsets"] == [8, 20]
    assert int.from_bytes(content[:8], "little") % 8 == 0


def test_bfloat16_is_the_upper_half_of_a_float32():
    words = np.float32([1.0, -2.5, 3.0e38]).view(np.uint32) >> 16
    found = tensors.parsed("", file_of({"x": one("BF16", (3,), (0, 6))}, words.astype("<u2").tobytes()))
    assert found["x"].dtype == np.float32
    assert found["x"].tolist() == [1.0, -2.5, float(np.uint32(words[2] << 16).view(np.float32))]
    assert found.kinds == {"x": "BF16"}


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580, 0x10280])
def test_a_header_may_be_as_long_as_a_pickle_begins(length):
    header = json.dumps({"x": one()}).encode().ljust(length)
    assert tensors.parsed("", file_of(header, np.float32([1.0, 2.0]).tobytes()))["x"].tolist() == [1.0, 2.0]


A = one()
DATA = b"\0" * 8
DAMAGED = {
    "nothing": (b"", "`x.safetensors` must be a safetensors file, with its header whole, got 0 bytes"),
    "short": (b"1234567", "`x.safetensors` must be a safetensors file, with its header whole, got 7 bytes"),
    "long header": (
        file_of({}, size=2**63),
        "`x.safetensors` must be a safetensors file, with its header whole, got 9223372036854775808 of 2 bytes",
    ),
    "no JSON": (file_of(b"{'a'}"), "`x.safetensors` must be a safetensors file, whose header is JSON"),
    "no text": (file_of(b"\xff\xfe"), "`x.safetensors` must be a safetensors file, whose header is JSON"),
    "deep": (file_of(b"[" * 100_000), "`x.safetensors` must be a safetensors file, whose header is JSON"),
    "list": (file_of([]), "`x.safetensors` must be a safetensors file, whose header is an object of JSON"),
    "twice": (
        file_of(b'{"a":%s,"a":%s}' % ((json.dumps(A).encode(),) * 2), DATA),
        "`x.safetensors` must have each name once in its header, got `a` twice",
    ),
    "twice inside": (
        file_of(b'{"a":{"dtype":"F32","dtype":"F64","shape":[2],"data_offsets":[0,8]}}', DATA),
        "`x.safetensors` must have each name once in its header, got `dtype` twice",
    ),
    "words": (
        file_of({"__metadata__": {"a": 1}}),
        "`x.safetensors` must have texts only in `__metadata__`, got `{'a': 1}`",
    ),
    "keys": (
        file_of({"a": {"dtype": "F32", "shape": [2]}}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have `dtype`, `shape` and `data_offsets`, "
        "got `{'dtype': 'F32', 'shape': [2]}`",
    ),
    "type": (
        file_of({"a": one("F31")}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have a known type, got `F31`",
    ),
    "type no text": (
        file_of({"a": one(["F32"])}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have a known type, got `['F32']`",
    ),
    "shape": (
        file_of({"a": one(shape=(-1, -2))}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have a shape, got `[-1, -2]`",
    ),
    "true": (
        file_of({"a": one(shape=(True, 2))}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have a shape, got `[True, 2]`",
    ),
    "real": (
        file_of({"a": one(shape=(2.0,))}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have a shape, got `[2.0]`",
    ),
    "axes": (
        file_of({"a": one(shape=(1,) * 40)}, DATA),
        f"`x.safetensors` holds a damaged `a`: it must have a shape, got `{[1] * 40}`",
    ),
    "offsets": (
        file_of({"a": one(offsets=(8,))}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have two offsets, got `[8]`",
    ),
    "backwards": (
        file_of({"a": one(offsets=(8, 0))}, DATA),
        "`x.safetensors` holds a damaged `a`: it must lie within 8 bytes, got `[8, 0]`",
    ),
    "outside": (
        file_of({"a": one(offsets=(0, 16))}, DATA),
        "`x.safetensors` holds a damaged `a`: it must lie within 8 bytes, got `[0, 16]`",
    ),
    "size": (
        file_of({"a": one(shape=(3,))}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have 8 bytes, as its offsets say, got `F32` of shape `[3]`",
    ),
    "size that overflows": (
        file_of({"a": one(shape=(2**62, 4, 2))}, DATA),
        "`x.safetensors` holds a damaged `a`: it must have 8 bytes, as its offsets say, "
        "got `F32` of shape `[4611686018427387904, 4, 2]`",
    ),
    "overlap": (
        file_of({"a": one(), "b": one(offsets=(4, 12))}, DATA + DATA),
        "`x.safetensors` holds a damaged `b`: it must begin at byte 8 of the data, where the others end, got `4`",
    ),
    "gap": (
        file_of({"a": one(), "b": one(offsets=(12, 20))}, b"\0" * 20),
        "`x.safetensors` holds a damaged `b`: it must begin at byte 8 of the data, where the others end, got `12`",
    ),
    "more data": (file_of({"a": one()}, DATA + b"1"), "`x.safetensors` must end with its data, 8 bytes, got 9 bytes"),
    "a name that a terminal acts on": (
        file_of({"\x1b[2J": one("F31")}, DATA),
        "`x.safetensors` holds a damaged `\\x1b[2J`: it must have a known type, got `F31`",
    ),
    "pickle": (
        b"\x80\x02}q\x00.",
        "`x.safetensors` is pickled, which could run any program and is never read\nhint: in PyTorch: "
        "`safetensors.torch.save_file(model.state_dict(), ...)`, with what `torch.load` reads",
    ),
    "zip": (
        b"PK\x03\x04...",
        "`x.safetensors` is pickled, which could run any program and is never read\nhint: in PyTorch: "
        "`safetensors.torch.save_file(model.state_dict(), ...)`, with what `torch.load` reads",
    ),
    "HDF5": (
        b"\x89HDF\r\n\x1a\n",
        "`x.safetensors` is HDF5, as Keras writes it, which is not read here\n"
        "hint: weights of Keras are (in, out) as ours are: `net.parameters[name] = array` takes each",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_wrong_is_said_in_one_sentence(kind):
    content, said = DAMAGED[kind]
    assert refused(content) == said


def test_every_cut_and_every_changed_byte_is_read_or_refused_in_one_sentence():
    content = tensors.to_bytes(ARRAYS, {"format": "pt"})
    rng = np.random.default_rng(0)
    mutants = [content[:kept] for kept in range(0, len(content), 3)]
    for _ in range(3000):
        changed = bytearray(content)
        for at in rng.integers(len(content), size=rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        mutants.append(bytes(changed))
    refusals = []
    for mutant in mutants:
        try:
            found = tensors.parsed("x", mutant)
        except fb.CheckpointError as error:
            refusals.append(str(error))
            continue
        assert len(mutant) == len(content)
        assert all(array.nbytes <= len(content) for array in found.values())
    assert len(mutants) / 3 < len(refusals) < len(mutants)
    assert [said for said in refusals if "\n" in said or len(said) > 400] == []
