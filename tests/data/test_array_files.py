"""Array files: every type is read, and nothing that is damaged or may run code."""

import contextlib
import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from fastbp.data import array_files
from fastbp.data.array_files import IDX_TYPES, memory, read_idx, read_npy, read_npz
from fastbp.errors import DataError


def message(read, path):
    with pytest.raises(DataError) as caught:
        read(path)
    return str(caught.value).replace(str(path), path.name)


def idx(array, code):
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(IDX_TYPES[code]).tobytes()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


class Bomb:
    """Unpickled, it raises."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int64", ">f4", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_stay_on_disk_and_hold_the_same_numbers(tmp_path, dtype, order):
    array = np.asarray(np.arange(35).reshape(5, 7) % 11, dtype, order=order)
    np.save(tmp_path / "x.npy", array)
    found = read_npy(tmp_path / "x.npy")
    assert isinstance(found, np.memmap)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    assert not found.flags.writeable


def test_objects_are_refused_and_not_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([Bomb()], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", X=np.ones((2, 2)), y=np.array([Bomb(), None], object))
    (tmp_path / "p.npy").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Bomb()))
    assert message(read_npy, tmp_path / "x.npy") == (
        "x.npy: must be an array of numbers in NPY format, got `Array can't be memory-mapped: Python objects in dtype.`"
    )
    assert message(read_npz, tmp_path / "x.npz") == (
        "x.npz: must be arrays of numbers in NPZ format, got `Object arrays cannot be loaded when allow_pickle=False`"
    )
    assert message(read_npy, tmp_path / "p.npy").startswith("p.npy: must be in NPY format, got a file that begins with")
    assert message(read_npz, tmp_path / "p.npz") == (
        "p.npz: must be arrays of numbers in NPZ format, got `File is not a zip file`"
    )


def test_damaged_npy_files_are_refused_wherever_the_damage_is(tmp_path):
    whole = npy(np.arange(200.0).reshape(20, 10))
    path = tmp_path / "x.npy"
    for content, reason in (
        (b"", "must be in NPY format, got a file that begins with ``"),
        (b"PK\x03\x04....", "must be in NPY format, got a file that begins with `504b03042e2e`"),
    ):
        path.write_bytes(content)
        assert message(read_npy, path) == f"x.npy: {reason}"
    for size in (6, 8, 9, 40, 128, 1000, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert message(read_npy, path).startswith("x.npy: must be an array of numbers in NPY format, got `")
    for at in range(128):  # a head of other bytes is another array or refused
        for byte in (0, 0x27, 0x39, 0xFF):
            path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            with contextlib.suppress(DataError):
                read_npy(path)


def test_a_head_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 10), }" % 10**14
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + head.ljust(117) + b"\n" + bytes(80)
    (tmp_path / "x.npy").write_bytes(content)
    assert message(read_npy, tmp_path / "x.npy").startswith("x.npy: must be an array of numbers in NPY format, got `")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("X.npy", content)
    assert message(read_npz, tmp_path / "x.npz").startswith("x.npz: must be arrays of numbers in NPZ format, got `")


def test_no_file_and_a_folder(tmp_path):
    assert message(read_npy, tmp_path / "no.npy") == (
        "no.npy: must be an array of numbers in NPY format, got `No such file or directory`"
    )
    assert message(read_npz, tmp_path) == (
        f"{tmp_path.name}: must be arrays of numbers in NPZ format, got `Is a directory`"
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])
def test_npz_files_give_their_arrays_by_name(tmp_path, save):
    X, y = np.arange(12.0).reshape(4, 3), np.array(["a", "b", "a", "b"])
    save(tmp_path / "x.npz", X=X, y=y)
    found = read_npz(tmp_path / "x.npz")
    assert list(found) == ["X", "y"]
    assert np.array_equal(found["X"], X)
    assert np.array_equal(found["y"], y)


def test_an_archive_that_unpacks_to_more_than_memory_is_refused_before(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", X=np.zeros((1 << 19, 8)))
    assert (tmp_path / "x.npz").stat().st_size < 1 << 18
    monkeypatch.setattr(array_files, "memory", lambda: 10 << 20)
    assert message(read_npz, tmp_path / "x.npz") == (
        "x.npz: must fit into the 5 MiB that a file may take, got `32 MiB`"
    )


def test_an_archive_with_a_huge_declared_size_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", npy(np.zeros((4, 4))))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24  # the size when unpacked, in the directory
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFFE)
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_files, "memory", lambda: 1 << 30)
        assert message(read_npz, path) == "x.npz: must fit into the 512 MiB that a file may take, got `4095 MiB`"


def test_an_archive_damaged_anywhere_is_read_or_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, X=np.random.default_rng(0).random((20, 3)), y=np.arange(20))
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        with contextlib.suppress(DataError):
            read_npz(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert message(read_npz, path) == "x.npz: must be arrays of numbers in NPZ format, got `File is not a zip file`"


def test_what_is_no_array_in_an_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("X.npy", npy(np.zeros((4, 4))))
        archive.writestr("notes.txt", "hello, hello")
    assert message(read_npz, tmp_path / "x.npz") == ("x.npz: must hold arrays only, but `notes.txt` is none")


@pytest.mark.parametrize("code", IDX_TYPES, ids=lambda code: IDX_TYPES[code])
@pytest.mark.parametrize("shape", [(7,), (1, 1), (5, 4, 3)], ids=str)
@pytest.mark.parametrize("name", ["x-idx-ubyte", "x-idx-ubyte.gz", "X.IDX.GZ"])
def test_idx_files_of_every_type(tmp_path, code, shape, name):
    array = (np.arange(np.prod(shape)) % 100).reshape(shape) - (0 if code == 8 else 50)
    content = idx(array, code)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    found = read_idx(tmp_path / name)
    assert found.dtype == np.dtype(IDX_TYPES[code]).newbyteorder("=")
    assert np.array_equal(found, array)


IDX_MISTAKES = {
    "empty": (b"", "must be in IDX format, got a file that begins with ``"),
    "short": (b"\0\0\x08", "must be in IDX format, got a file that begins with `000008`"),
    "magic": (b"\x01\0\x08\x01" + bytes(8), "must be in IDX format, got a file that begins with `01000801`"),
    "type": (b"\0\0\x0a\x01" + bytes(8), "must be in IDX format, got a file that begins with `00000a01`"),
    "no axes": (b"\0\0\x08\x00" + bytes(8), "must be in IDX format, got a file that begins with `00000800`"),
    "200 axes": (b"\0\0\x08\xc8" + bytes(800), "must be in IDX format, got a file that begins with `000008c8`"),
    "head": (b"\0\0\x08\x02" + bytes(7), "must be in IDX format, but ends inside its header"),
    "less": (idx(np.ones(6), 12)[:-1], "must have 24 bytes after its header, got 23"),
    "more": (idx(np.ones(6), 8) + b"\0", "must have 6 bytes after its header, but has more"),
    "no rows": (idx(np.ones((0, 3)), 8), "must hold numbers, got shape `(0, 3)`"),
}


@pytest.mark.parametrize(("content", "wanted"), IDX_MISTAKES.values(), ids=IDX_MISTAKES)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_damaged_idx_files_are_refused(tmp_path, content, wanted, zipped):
    path = tmp_path / ("x-idx1-ubyte.gz" if zipped else "x-idx1-ubyte")
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert message(read_idx, path) == f"{path.name}: {wanted}"


def test_an_idx_file_that_declares_more_than_memory_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "x.idx"
    path.write_bytes(b"\0\0\x0e\x03" + b"\xff" * 12 + bytes(10))
    assert message(read_idx, path).startswith("x.idx: must fit into the ")


def test_damaged_gzip_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    whole = gzip.compress(idx(rng.integers(0, 256, (50, 40)), 8))
    path = tmp_path / "x-idx2-ubyte.gz"
    path.write_bytes(whole[:500])
    assert message(read_idx, path) == (
        f"{path.name}: must be readable (Compressed file ended before the end-of-stream marker was reached)"
    )
    for at in range(10, len(whole), 101):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        assert message(read_idx, path).startswith(f"{path.name}: must ")


HEAD = "{'descr': '<f8', 'fortran_order': False, 'shape': (40, 3), }"
HEADS = {
    "fewer rows": (HEAD.replace("40", "10"), "must have 240 bytes after its header, but has more"),
    "half of each number": (HEAD.replace("f8", "f4"), "must have 480 bytes after its header, but has more"),
    "more rows": (HEAD.replace("40", "41"), "got `"),
    "keys that are not texts": (HEAD.replace("'descr'", "(40, 3)"), "got `'<' not supported between instances of "),
    "a type that is none": (HEAD.replace("'<f8'", "{'a': [3]}"), "got `"),
    "a shape that is none": (HEAD.replace("(40, 3)", "None"), "got `"),
    "brackets": ("(" * 3000, "got `"),
}


@pytest.mark.parametrize(("head", "wanted"), HEADS.values(), ids=HEADS)
def test_a_head_that_says_something_else_is_refused_with_a_right_checksum_too(tmp_path, head, wanted):
    content = b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + np.ones((40, 3)).tobytes()
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", content)
    for read, name in ((read_npy, "x.npy"), (read_npz, "x.npz")):
        said = message(read, tmp_path / name)
        assert said.startswith(f"{name}: ")
        assert wanted in said


def test_what_stands_behind_an_array_is_refused(tmp_path):
    with open(tmp_path / "x.npy", "wb") as file:
        for _ in range(2):
            np.save(file, np.ones(3))
    assert message(read_npy, tmp_path / "x.npy") == "x.npy: must have 24 bytes after its header, but has more"


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name in ("X", "X.npy"):
            archive.writestr(name, npy(np.ones(2)))
    assert message(read_npz, tmp_path / "x.npz") == "x.npz: names of arrays must be unique, got `X` twice"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_that_changed_is_never_another(tmp_path, save):
    """A bit of every 16th byte; the archive says the names twice, so those may change in one place."""
    path = tmp_path / "x.npz"
    save(path, X=np.arange(600.0).reshape(200, 3), y=np.arange(200) % 3)
    content, right = path.read_bytes(), read_npz(path)
    for at in range(0, len(content), 16):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at // 16 % 8]) + content[at + 1 :])
        with contextlib.suppress(DataError):
            found = read_npz(path)
            assert [a.tobytes() for a in found.values()] == [a.tobytes() for a in right.values()]


def test_free_memory_is_some_of_the_machines():
    assert 1 << 20 < memory() < 1 << 50
