"""Where machine code is kept: in the package, if it came as a wheel, and in the user's cache folder.

An object is known by its name, its pipeline and a *key*: the hash of every source that is compiled, of the versions of
Numba and llvmlite, of the level and the platform. It stands behind a SHA-256 of itself and all three, so one that was
cut short, damaged, or made for another level or from other sources is seen before anything of it runs; it is made
again, with one warning. Whatever goes wrong here costs a compilation, never an error.
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
# What compiled functions are made from and by, beside all of `kernels/`.
COMPILERS = ("compiler.py", "machine_code.py")  # of the engine
# Settings of Numba's that reach its front end, such as checks of bounds, or what it compiles for the user. A folder
# belongs to one choice of them, so that nobody's experiment leaves code to others.
NUMBA_SETTINGS = (
    *("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_DEBUGINFO", "NUMBA_BOUNDSCHECK"),
    *("NUMBA_DEBUG_ARRAY_OPT_RUNTIME", "NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE"),
)

_warned: set[str] = set()
_made_room: list[bool] = []


def _warn(kind: str, message: str) -> None:
    """Say once per process what is wrong with the cache."""
    if kind not in _warned:
        _warned.add(kind)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _cannot_keep(problem: str) -> None:
    _warn("keep", f"fastbp cannot keep its compiled kernels: {problem}")


def _damaged(place: str, problem: str) -> None:
    _warn("damage", f"fastbp compiles what it finds damaged again: {place}: {problem}")


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
    for source in [*compiled, *(PACKAGE / "engine" / name for name in COMPILERS)]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def key() -> str:
    """What tells the machine code of this process from any other: sources, versions, level, platform."""
    import llvmlite
    import numba

    from fastbp.kernels import levels

    return _hash_of(sources(), numba.__version__, llvmlite.__version__, levels.level().name, levels.triple())


@cache
def fingerprint() -> str:
    """The name of this process's folder: the key and Numba's settings, of which an empty one is not an absent one."""
    return _hash_of(key(), *(repr(os.environ.get(name)) for name in NUMBA_SETTINGS))


@cache
def folder() -> Path | None:
    """The folder of this fingerprint, made private; None where there can be none."""
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
                _cannot_keep(f"{path} could be written by others, so what it holds is not to be run; remove it")
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
    """An object, or whatever else is kept, as it stands in a file."""
    body = json.dumps({"name": name, "key": key()}).encode() + b"\n" + content
    return MAGIC + hashlib.sha256(body).digest() + body


def opened(name: str, stored: bytes, place: str) -> bytes | None:
    """The content of a file, or None where it is not whole, not ours or not `name` for this key."""
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
    """What the user's folder holds under a name."""
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
    """Write beside the place and move there, so that no one sees half of it; on the disk itself where it is to last."""
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
    """Keep to `FASTBP_CACHE_SIZE`, once a process and with every formula."""
    text = os.environ.get("FASTBP_CACHE_SIZE", "")
    most = room.limit(text)
    if most is None:
        _warn("size", f"`FASTBP_CACHE_SIZE` must be a size such as `512M` or `2G`, got `{text}`")
        most = room.LIMIT
    if most:
        room.make(own.parent, own, most)
    _made_room.append(True)


def clean() -> tuple[int, int]:
    """Remove what is kept for other versions, levels and settings; how many files and bytes that were."""
    own = folder()
    return room.clean(own.parent, own) if own else (0, 0)


# What the self-test found


@cache
def _proof_name() -> str:
    """Proofs are kept for each kind of processor, since a folder may be shared by several."""
    import llvmlite.binding as llvm

    features = sorted(name for name, on in llvm.get_host_cpu_features().items() if on)
    return f"proofs-{_hash_of(llvm.get_host_cpu_name(), *features)}"


def proofs() -> dict[str, Any]:
    """What was found of this key's machine code on this kind of processor."""
    content = read(_proof_name())
    return dict(json.loads(content)) if content else {}


def keep_proofs(found: dict[str, Any]) -> None:
    """Keep them beside those that other processes have kept meanwhile."""
    before = proofs()
    found = {**before, **found}
    found["right"] = sorted({*map(tuple, before.get("right", ())), *map(tuple, found.get("right", ()))})
    write(_proof_name(), json.dumps(found).encode(), lasting=False)


# What a wheel brings: one file a level


class Shipped(NamedTuple):
    """The objects of one level: where each lies in the file."""

    file: Path
    places: dict[str, tuple[int, int]]
    made: dict[str, Any]

    def read(self, name: str) -> bytes | None:
        """One object, or None where there is none or it is damaged."""
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
    """Write the objects of this process's level, and what is to be known of how they were made."""
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
    """The index of a file of objects; None where it is not there, is damaged or is for other sources or versions."""
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
    """Whether an index names this key; of another one nothing is wrong, it is just not for us."""
    head = stored[len(MAGIC) + 32 :].partition(b"\n")[0]
    return wanted.encode() in head or b'"key"' not in head


def brought() -> bool:
    """Whether the package came as a wheel with objects for this level, whether or not they fit."""
    return _brought().exists()


def _brought() -> Path:
    from fastbp.kernels import levels

    return SHIPPED / f"{levels.level().name}.objects"


@cache
def shipped() -> Shipped | None:
    """The objects that came with the package for this level, if it came as a wheel and they fit."""
    return unpack(_brought())
