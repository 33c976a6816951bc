"""The cache of machine code: in the package, if installed from a wheel, and in the user's cache folder.

An object is identified by its name, its pipeline and a *key*: the hash of every source that is compiled, of the
versions of Numba and llvmlite, of the level and the platform. A SHA-256 of the object and all three precedes it, so a
truncated, damaged or outdated object is detected before it runs, and compiled again with one warning. Failures here
cost a compilation, never an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fastbp.engine import room
from fastbp.writing import whole

PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = PACKAGE / "engine" / "objects"
MAGIC = b"fastbp object 1\n"
# Sources of compiled functions and of the compiler, besides all of `kernels/`.
COMPILERS = ("engine/compiler.py", "engine/machine_code.py", "autodiff/fuse.py")
# Settings of Numba that affect its front end, such as bounds checks. Each combination has a folder of its own, so that
# experiments leave no code to others.
NUMBA_SETTINGS = (
    *("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_DEBUGINFO", "NUMBA_BOUNDSCHECK"),
    *("NUMBA_DEBUG_ARRAY_OPT_RUNTIME", "NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE"),
)

_warned: set[str] = set()
_made_room: list[bool] = []


def _warn(kind: str, message: str) -> None:
    """Warn once per process about a problem of the cache."""
    if kind not in _warned:
        _warned.add(kind)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _cannot_keep(problem: str) -> None:
    _warn("keep", f"fastbp cannot keep its compiled kernels: {problem}")


def _damaged(place: str, problem: str) -> None:
    _warn("damage", f"fastbp compiles a damaged object again: {place}: {problem}")


def user_folder() -> Path:
    """`FASTBP_CACHE_DIR`, or fastbp's place in the user's cache folder of this platform."""
    chosen = os.environ.get("FASTBP_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "fastbp"


def _hash_of(*facts: str) -> str:
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]


@cache
def sources() -> str:
    """Hash of every source file that is compiled or compiles."""
    digest = hashlib.sha256()
    compiled = [file for room in ("kernels", "sweeps") for file in sorted((PACKAGE / room).rglob("*.py"))]
    for source in [*compiled, *(PACKAGE / name for name in COMPILERS)]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def key() -> str:
    """The key of this process: hash of sources, versions, level and platform."""
    import llvmlite
    import numba

    from fastbp.kernels import levels

    return _hash_of(sources(), numba.__version__, llvmlite.__version__, levels.level().name, levels.triple())


@cache
def fingerprint() -> str:
    """The name of this process's folder: hash of the key and Numba's settings, in which empty and absent differ."""
    return _hash_of(key(), *(repr(os.environ.get(name)) for name in NUMBA_SETTINGS))


@cache
def folder() -> Path | None:
    """The folder of this fingerprint, made private; None if it cannot exist."""
    path = Path(fingerprint())
    try:
        path = user_folder() / path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            owner = path.stat()
            if owner.st_uid != os.getuid():
                _cannot_keep(f"{path} belongs to another user")
                return None
            if owner.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                _cannot_keep(f"{path} is writable by others, so its contents are not trusted; remove it")
                return None
            path.chmod(0o700)
    except OSError as error:
        _cannot_keep(f"{path}: {error.strerror or error}")
        return None
    except RuntimeError as error:  # there is no home
        _cannot_keep(str(error).rstrip("."))
        return None
    return path


# One file


def sealed(name: str, content: bytes) -> bytes:
    """Contents, with the header of a file."""
    body = json.dumps({"name": name, "key": key()}).encode() + b"\n" + content
    return MAGIC + hashlib.sha256(body).digest() + body


def opened(name: str, stored: bytes, place: str) -> bytes | None:
    """The contents of a file, or None if it is damaged, not ours, or not `name` for this key."""
    start = len(MAGIC) + 32
    body = stored[start:]
    if not stored.startswith(MAGIC) or hashlib.sha256(body).digest() != stored[len(MAGIC) : start]:
        _damaged(place, "its checksum is wrong")
        return None
    head, _, content = body.partition(b"\n")
    if json.loads(head) != {"name": name, "key": key()}:
        _damaged(place, f"it is not `{name}` of this level and these sources")
        return None
    return content


def read(name: str) -> bytes | None:
    """The contents under a name in the user's folder."""
    place = folder()
    if place is None:
        return None
    file = place / f"{name}.bin"
    try:
        content = opened(name, file.read_bytes(), str(file))
        room.used(file)
        return content
    except FileNotFoundError:
        return None
    except OSError as error:
        _cannot_keep(f"{file}: {error.strerror}")
        return None


def write(name: str, content: bytes, lasting: bool = True) -> None:
    """Write atomically; with `lasting`, synchronised to disk."""
    place = folder()
    if place is None:
        return
    file = place / f"{name}.bin"
    try:
        with whole(file, lasting, mode=0o600) as out:
            out.write(sealed(name, content))
    except OSError as error:
        _cannot_keep(f"{file}: {error.strerror}")
        return
    if "custom_" in name or (lasting and not _made_room):
        _make_room(place)


def _make_room(own: Path) -> None:
    """Enforce `FASTBP_CACHE_SIZE`, once per process and with every formula."""
    text = os.environ.get("FASTBP_CACHE_SIZE", "")
    most = room.limit(text)
    if most is None:
        _warn("size", f"`FASTBP_CACHE_SIZE` must be a size such as `512M` or `2G`, got `{text}`")
        most = room.LIMIT
    if most:
        room.make(own.parent, own, most)
    _made_room.append(True)


def clean() -> tuple[int, int]:
    """Remove files of other versions, levels and settings; returns their number and bytes."""
    own = folder()
    return room.clean(own.parent, own) if own else (0, 0)


# Results of the self-test


@cache
def _proof_name() -> str:
    """The file of proofs for this kind of processor; several may share a folder."""
    import llvmlite.binding as llvm

    features = sorted(name for name, on in llvm.get_host_cpu_features().items() if on)
    return f"proofs-{_hash_of(llvm.get_host_cpu_name(), *features)}"


def proofs() -> dict[str, Any]:
    """Results of the self-test for this key on this kind of processor."""
    content = read(_proof_name())
    return dict(json.loads(content)) if content else {}


def keep_proofs(found: dict[str, Any]) -> None:
    """Merge them with those kept by other processes meanwhile."""
    before = proofs()
    found = {**before, **found}
    found["right"] = sorted({*map(tuple, before.get("right", ())), *map(tuple, found.get("right", ()))})
    write(_proof_name(), json.dumps(found).encode(), lasting=False)


# Objects in a wheel: one file per level


class Shipped(NamedTuple):
    """The objects of one level, with their offsets in the file."""

    file: Path
    places: dict[str, tuple[int, int]]
    made: dict[str, Any]

    def read(self, name: str) -> bytes | None:
        """One object, or None if it is missing or damaged."""
        if name not in self.places:
            return None
        start, size = self.places[name]
        try:
            with self.file.open("rb") as source:
                source.seek(start)
                return opened(name, source.read(size), f"{name} in {self.file}")
        except OSError:  # the package was upgraded or removed meanwhile
            return None


def pack(file: Path, objects: dict[str, bytes], made: dict[str, Any]) -> None:
    """Write the objects of this process's level, and how they were made."""
    blocks, places, end = [], {}, 0
    for name, content in sorted(objects.items()):
        blocks.append(sealed(name, content))
        places[name] = (end, len(blocks[-1]))
        end += len(blocks[-1])
    index = sealed("index", json.dumps({"made": made, "places": places}).encode())
    file.parent.mkdir(exist_ok=True)
    with whole(file) as out:
        out.write(len(index).to_bytes(8, "little") + index + b"".join(blocks))


def unpack(file: Path) -> Shipped | None:
    """The index of a file of objects; None if it is missing, damaged or outdated."""
    try:
        with file.open("rb") as source:
            size = int.from_bytes(source.read(8), "little")
            stored = source.read(min(size, 1 << 24))
    except OSError:
        return None
    if not _is_for(stored, key()):
        return None
    content = opened("index", stored, str(file))
    if content is None:
        return None
    index = json.loads(content)
    return Shipped(file, {name: (8 + size + at, long) for name, (at, long) in index["places"].items()}, index["made"])


def _is_for(stored: bytes, wanted: str) -> bool:
    """Whether an index is for this key; another key is no error."""
    head = stored[len(MAGIC) + 32 :].partition(b"\n")[0]
    return wanted.encode() in head or b'"key"' not in head


def brought() -> bool:
    """Whether the package ships objects for this level, valid or not."""
    return _brought().exists()


def _brought() -> Path:
    from fastbp.kernels import levels

    return SHIPPED / f"{levels.level().name}.objects"


@cache
def shipped() -> Shipped | None:
    """The valid objects shipped with the package for this level, if any."""
    return unpack(_brought())
