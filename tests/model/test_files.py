"""A network on disk: bit for bit what it was, or an error that says why not, and never half a file."""

import errno
import json
import os
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as safetensors

import fastbp as fb
from fastbp.errors import CheckpointError, ConfigTypeError
from fastbp.model.files import FORMATS
from fastbp.model.sealed import sealed
from fastbp.writing import whole
from tests.model.chains import CODES, DTYPES, build, data

ROOT = Path(__file__).parents[2]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
LAYERS = {"inputs": 2, "layers": [{"kind": "linear", "features": 1, "bias": True}]}
ARRAYS = {"0.bias": np.ones(1, np.float32), "0.weight": np.ones((2, 1), np.float32)}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "net.safetensors"


def write(file, layers=LAYERS, arrays=ARRAYS, **header):
    """A file as `Network.save` writes them, but for what is to be wrong with it."""
    described = layers if isinstance(layers, str) else json.dumps(layers)
    whole = {"format": FORMATS[0], "network": described, "dtype": "float32", "seed": "0", **header}
    file.write_bytes(sealed(arrays, {key: text for key, text in whole.items() if text is not None}))


@every_dtype
@pytest.mark.parametrize("code", CODES)
def test_a_network_is_loaded_bit_for_bit(code, dtype, file):
    net = build(code, 4, dtype)
    net.save(file)
    again = fb.load(file)
    assert again.layers == net.layers
    assert (again.inputs, again.seed, again.dtype) == (net.inputs, net.seed, net.dtype)
    assert list(again.parameters) == list(net.parameters)
    assert again.flat.tobytes() == net.flat.tobytes()
    X, _ = data(net, 65)
    assert again.predict(X).tobytes() == net.predict(X).tobytes()


@every_dtype
def test_the_smallest_numbers_and_the_signs_of_zeros_are_kept(dtype, file):
    net = fb.Network([fb.Linear(3)], inputs=1, dtype=dtype)
    kind = np.finfo(dtype)
    net.flat = [kind.smallest_subnormal, -0.0, kind.max, kind.tiny, -kind.smallest_subnormal, 0.0]
    net.save(file)
    assert fb.load(file).flat.tobytes() == net.flat.tobytes()


def test_a_trained_network_goes_on_from_its_file_as_in_memory(file):
    net = fb.mlp([5, 9, 3], dropout=0.3, seed=2**40 + 1)
    X, y = data(net, 30)
    fb.Trainer(net).fit(X, y)
    net.save(file)
    again = fb.load(str(file))
    for each in (net, again):
        fb.Trainer(each).fit(X, y, epochs=2)
    assert again.flat.tobytes() == net.flat.tobytes()


def test_other_programs_read_natural_arrays_under_their_names(file):
    from safetensors.numpy import load_file

    net = fb.mlp([5, 17, 3])
    net.save(file)
    arrays = load_file(file)
    assert set(arrays) == set(net.parameters)
    for name, array in arrays.items():
        assert np.array_equal(array, net.parameters[name])


def test_the_test_file_itself_is_a_good_one(file):
    write(file)
    assert fb.load(file).predict([[1.0, 2.0]]).tolist() == [[4.0]]


# Files that are none


def refused(file):
    with pytest.raises(CheckpointError) as info:
        fb.load(file)
    return str(info.value)


def test_a_file_that_is_not_there_is_not_found(file):
    with pytest.raises(FileNotFoundError) as info:
        fb.load(file)
    assert str(info.value) == f"`{file}` must be a file that `Network.save` wrote, but does not exist"


@pytest.mark.parametrize("path", [3, None, b"net.safetensors"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ConfigTypeError) as info:
        fb.load(path)
    assert str(info.value) == f"`path` must be a path, got `{path!r}`"


@pytest.mark.parametrize("path", [3, None, b"net.safetensors", ""])
def test_nothing_is_saved_to_what_is_no_path(path):
    with pytest.raises(ConfigTypeError) as info:
        fb.mlp([2, 1]).save(path)
    assert str(info.value) == f"`path` must be a path, got `{path!r}`"


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"GIF89a" * 100, b"\0" * 64, b"\x80\x04K\x01."],
    ids=["empty", "short", "text", "zeros", "pickle"],
)
def test_a_file_of_something_else_is_refused(content, file):
    file.write_bytes(content)
    message = refused(file)
    assert message.startswith(f"`{file}` must be a valid safetensors file (")
    assert message.endswith(")")


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.999])
def test_a_file_that_was_cut_short_is_refused(kept, file):
    fb.mlp([9, 17, 3]).save(file)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    parts = "must be a valid safetensors file (", "is damaged: its checksum is wrong"
    assert refused(file).startswith(tuple(f"`{file}` {part}" for part in parts))


def test_safetensors_of_another_program_are_refused(file):
    hint = "hint: `fb.load_torch` reads files of PyTorch"
    file.write_bytes(safetensors(ARRAYS))
    assert refused(file) == f"`{file}` must be a network of fastbp, got format `None`\n{hint}"
    file.write_bytes(safetensors(ARRAYS, metadata={"format": "pt"}))
    assert refused(file) == f"`{file}` must be a network of fastbp, got format `pt`\n{hint}"


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"network": None}, "'network'"),
        ({"seed": None}, "'seed'"),
        ({"seed": "-1"}, "`seed` must be at least 0, got `-1`"),
        ({"dtype": "int8"}, "`dtype` must be one of `float32`, `float64`, got `int8`"),
        ({"layers": "{"}, "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ({"layers": {"inputs": 2, "layers": []}}, "`layers` must hold at least one layer, got `[]`"),
        ({"layers": {"inputs": 2}}, "'layers'"),
        (
            {"layers": {"inputs": 2, "layers": [{"kind": "conv"}]}},
            "`layers[0].kind` must be a layer of this version, got `conv`",
        ),
        (
            {"layers": {"inputs": 2, "layers": [{"kind": "linear", "features": 1.5}]}},
            "`Linear.features` must be a whole number, got `1.5`",
        ),
        ({"layers": "null"}, None),
        ({"layers": {"inputs": 2, "layers": [{"kind": ["linear"]}]}}, None),
        ({"layers": {"inputs": 2, "layers": [{"kind": "relu", "slope": 1}]}}, None),
        ({"layers": {"inputs": 2, "layers": "relu"}}, None),
        ({"layers": nested(100_000)}, None),
        ({"layers": {**LAYERS, "inputs": 10**12}}, None),
        ({"layers": {**LAYERS, "inputs": 10**30}}, None),
    ],
    ids=[
        "no-network", "no-seed", "seed", "dtype", "no-json", "no-layers", "layers-missing", "kind", "features", "null",
        "kind-list", "setting", "layers-text", "nested", "large", "larger",
    ],
)  # fmt: skip
def test_a_description_of_no_network_is_refused(wrong, why, file):
    write(file, **{key: value for key, value in wrong.items() if key == "layers"})
    if "layers" not in wrong:
        write(file, **wrong)
    message = refused(file)
    assert message.startswith(f"`{file}` ")
    if why is not None:
        assert message == f"`{file}` has a network unknown to this version ({why})"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"0.bias": ARRAYS["0.bias"]}, "must hold ['0.bias', '0.weight'], got ['0.bias']"),
        (
            {**ARRAYS, "2.bias": ARRAYS["0.bias"]},
            "must hold ['0.bias', '0.weight'], got ['0.bias', '0.weight', '2.bias']",
        ),
        (
            {**ARRAYS, "0.bias": np.ones((1, 1), np.float32)},
            "holds a damaged `0.bias`: shape `(1, 1)`, or not finite",
        ),
        (
            {**ARRAYS, "0.weight": np.array([[1.0], [np.nan]], np.float32)},
            "holds a damaged `0.weight`: shape `(2, 1)`, or not finite",
        ),
        (
            {**ARRAYS, "0.weight": np.array([[1], [2]], np.int32)},
            "holds a damaged `0.weight`: must be `float32`, got `int32`",
        ),
        (
            {**ARRAYS, "0.weight": np.array([[1.0], [2.0]])},
            "holds a damaged `0.weight`: must be `float32`, got `float64`",
        ),
    ],
    ids=["missing", "more", "shape", "nan", "whole numbers", "other precision"],
)
def test_arrays_that_do_not_fit_the_description_are_refused(arrays, message, file):
    write(file, arrays=arrays)
    assert refused(file) == f"`{file}` {message}"


def test_numbers_that_are_too_large_for_the_dtype_are_refused(file):
    write(file, arrays={**ARRAYS, "0.weight": np.array([[1.0], [1e39]])})
    assert refused(file).startswith(f"`{file}` ")


@pytest.mark.parametrize(("dtype", "size"), [("BF16", 2), ("F8_E4M3", 1)])
def test_numbers_of_a_type_that_numpy_lacks_are_refused(dtype, size, file):
    header = {
        "__metadata__": {"format": "fastbp-network-1", "network": json.dumps(LAYERS), "dtype": "float32", "seed": "0"},
        "0.bias": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "0.weight": {"dtype": dtype, "shape": [2, 1], "data_offsets": [4, 4 + 2 * size]},
    }
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4 + 2 * size))
    assert refused(file).startswith(f"`{file}` ")


# Checksums


def test_a_flipped_bit_of_any_byte_and_any_missing_end_is_seen(file):
    """Of all bytes of a small file, header and data; nothing that changed is ever believed."""
    net = fb.Network([fb.Linear(3), fb.BatchNorm(), fb.Linear(2)], inputs=4, seed=1)
    net.about = {"more": "words"}
    net.save(file)
    content = file.read_bytes()
    for at in range(len(content)):
        wrong = bytearray(content)
        wrong[at] ^= 1 << 5 * at % 8
        file.write_bytes(wrong)
        refused(file)
        file.write_bytes(content[:at])
        refused(file)
    file.write_bytes(content + b"\0")
    refused(file)
    file.write_bytes(content)
    assert fb.load(file).flat.tobytes() == net.flat.tobytes()


def test_a_changed_number_is_named_as_damage(file):
    fb.mlp([8, 8, 3]).save(file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert refused(file) == f"`{file}` is damaged: its checksum is wrong"


def test_words_of_the_header_are_part_of_its_checksum(file):
    fb.mlp([2, 3, 1], seed=123).save(file)
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"seed":"123"', b'"seed":"124"'))
    assert refused(file) == f"`{file}` is damaged: its checksum is wrong"
    file.write_bytes(content.replace(b'"xxh3"', b'"xxh4"'))
    assert refused(file) == f"`{file}` is damaged: its checksum is wrong"


def test_an_older_file_without_a_checksum_is_loaded_with_a_note(file):
    words = {"format": FORMATS[1], "network": json.dumps(LAYERS), "dtype": "float32", "seed": "0"}
    file.write_bytes(safetensors(ARRAYS, metadata=words))
    with pytest.warns(UserWarning, match="checksum") as seen:
        net = fb.load(file)
    assert net.predict([[1.0, 2.0]]).tolist() == [[4.0]]
    assert [str(note.message) for note in seen] == [
        f"`{file}` was written by an older version and has no checksum; saving it again adds one"
    ]
    assert seen[0].filename == __file__
    net.save(file)
    fb.load(file)


# Writing in one move


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_file_is_written_whole_or_not_at_all(step, file, monkeypatch):
    old, new = fb.mlp([2, 3, 1], seed=1), fb.mlp([2, 3, 1], seed=2)
    old.save(file)
    content = file.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space left on device"):
        new.save(file)
    monkeypatch.undo()
    assert file.read_bytes() == content
    assert os.listdir(file.parent) == [file.name]
    new.save(file)
    assert file.read_bytes() != content
    assert os.listdir(file.parent) == [file.name]


def test_the_content_is_on_disk_before_it_takes_the_place_of_the_old(file, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *a: (done.append("fsync"), fsync(*a)))
    monkeypatch.setattr(os, "replace", lambda *a: (done.append("replace"), replace(*a)))
    fb.mlp([2, 3, 1]).save(file)
    assert done[:2] == ["fsync", "replace"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_permissions_that_others_get(mask, file):
    before = os.umask(mask)
    try:
        fb.mlp([2, 3, 1]).save(file)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask


def test_saving_where_there_is_no_folder_is_refused(file):
    path = file.parent / "missing" / "net.safetensors"
    with pytest.raises(fb.FileError) as info:
        fb.mlp([2, 3, 1]).save(path)
    assert str(info.value) == f"`{path}` must be a file that can be written (No such file or directory)"
    assert (info.value.errno, info.value.filename) == (errno.ENOENT, str(path))


def test_loading_runs_no_code_of_the_file(file, monkeypatch):
    import pickle

    monkeypatch.setattr(pickle, "loads", lambda *a, **k: pytest.fail("something was unpickled"))
    monkeypatch.setattr(pickle, "load", lambda *a, **k: pytest.fail("something was unpickled"))
    fb.mlp([2, 3, 1]).save(file)
    assert fb.load(file).flat.size == 13


def test_equal_networks_are_equal_files(tmp_path):
    contents = set()
    for i in range(12):
        net = fb.Network([fb.Linear(3), fb.BatchNorm(), fb.Linear(2)], inputs=4, seed=1)
        net.about = {"recipe": {"names": ["é", "b"]}, "more": 1}
        net.save(tmp_path / f"{i}.safetensors")
        contents.add((tmp_path / f"{i}.safetensors").read_bytes())
    assert len(contents) == 1
    back = fb.load(tmp_path / "0.safetensors")
    assert back.about == net.about
    assert np.array_equal(back.flat, net.flat)


def test_nobody_is_given_other_permissions_meanwhile(tmp_path):
    """The mask of the process stays as it is, for other threads make files too."""
    before = os.umask(0o077)
    modes, done = set(), threading.Event()

    def other():
        for i in range(3000):
            path = tmp_path / f"{i}"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
            modes.add(stat.S_IMODE(path.stat().st_mode))
            path.unlink()
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread = threading.Thread(target=other)
        thread.start()
        while not done.is_set():
            with whole(tmp_path / "net") as out:
                out.write(b"content")
        thread.join()
    finally:
        sys.setswitchinterval(interval)
        os.umask(before)
    assert modes == {0o600}


def test_a_network_is_saved_while_python_ends(file):
    """Where no thread can be started any more."""
    code = f"import atexit, fastbp as fb; net = fb.mlp([2, 3, 1]); atexit.register(net.save, {str(file)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert fb.load(file).flat.size == 13
    assert os.listdir(file.parent) == [file.name]


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    net = fb.Network([fb.Linear(3), fb.BatchNorm()], inputs=2)
    net.save(tmp_path / "net.st")
    before = (tmp_path / "net.st").read_bytes()
    net.parameters.block.write("0.bias", np.full(3, np.nan, np.float32))
    with pytest.raises(fb.errors.DataError, match=r"`0.bias` must be finite to be saved"):
        net.save(tmp_path / "net.st")
    assert (tmp_path / "net.st").read_bytes() == before


def test_a_variance_below_0_is_refused():
    net = fb.Network([fb.Linear(3), fb.BatchNorm()], inputs=2)
    with pytest.raises(fb.errors.DataError, match=r"`states\['1.running_var'\]` must be at least 0, got `-1.0`"):
        net.states["1.running_var"] = [1.0, -1.0, 1.0]
    with pytest.raises(fb.errors.DataError, match="must be at least 0"):
        net.states.set_flat(np.array([0.0, 0.0, 0.0, 1.0, -2.0, 1.0]))
    assert (net.states["1.running_var"] == 1.0).all()
