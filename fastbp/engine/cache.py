"""The compile cache: machine code that is found again, and never the wrong one.

One file a function, in a folder whose name is a hash of all that the code depends on: every source file of `kernels/`,
the sweeps, the versions of Python, Numba and llvmlite, the processor and the width of its registers. A file begins
with the SHA-256 of the rest, so one that was cut short or damaged is seen, dropped and made again. Whatever goes
wrong here costs a compilation and one warning, never an error.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

_warned: list[str] = []


def _warn(problem: str) -> None:
    """Say once per process why nothing is kept."""
    if not _warned:
        _warned.append(problem)
        warnings.warn(f"fastbp cannot keep its compiled kernels: {problem}", RuntimeWarning, stacklevel=2)


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


@cache
def fingerprint() -> str:
    """Hash of everything that the machine code depends on."""
    import llvmlite
    import llvmlite.binding as llvm
    import numba

    from fastbp.kernels.tile import LANES

    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    engine = [root / "engine" / name for name in ("cache.py", "compiler.py", "entries.py", "steps.py", "sweeps.py")]
    for source in [*sorted((root / "kernels").glob("*.py")), *engine]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    features = sorted(name for name, on in llvm.get_host_cpu_features().items() if on)
    facts = [
        sys.version,
        numba.__version__,
        llvmlite.__version__,
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        " ".join(features),
        os.environ.get("NUMBA_CPU_NAME", ""),
        os.environ.get("NUMBA_CPU_FEATURES", ""),
        os.environ.get("NUMBA_OPT", ""),
        str(LANES),
    ]
    digest.update("\0".join(facts).encode())
    return digest.hexdigest()[:32]


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
                _warn(f"{path} belongs to another user")
                return None
            if stat.S_IMODE(owner.st_mode) != 0o700:
                path.chmod(0o700)
    except OSError as error:
        _warn(f"{path}: {error.strerror or error}")
        return None
    except RuntimeError as error:  # there is no home
        _warn(str(error).rstrip("."))
        return None
    return path


class FunctionCache:
    """What Numba asks for one function's machine code, before it compiles and after.

    Parameters
    ----------
    name : str
        The function and its signature; the name of its file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.missed = False

    @property
    def cache_path(self) -> str:
        place = folder()
        return str(place) if place else ""

    def _file(self) -> Path | None:
        place = folder()
        return place / f"{self.name}.bin" if place else None

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the compiled function, or None where it must be compiled."""
        target_context.refresh()
        found = self._load(target_context)
        self.missed = found is None
        if self.missed:
            from fastbp.engine.compiler import announce

            announce()
        return found

    def _load(self, target_context: Any) -> Any:
        from numba.core.compiler import CompileResult

        file = self._file()
        if file is None:
            return None
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _warn(f"{file}: {error.strerror}")
            return None
        digest, payload = content[:32], content[32:]
        if hashlib.sha256(payload).digest() != digest:
            return None
        try:
            name, code = pickle.loads(payload)
            # A file of another function under this name is not believed.
            return CompileResult._rebuild(target_context, *code) if name == self.name else None
        except Exception:  # a file of another world: compile again and replace it
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Write the compiled function beside its place and move it there, so that no one sees half of it."""
        file = self._file()
        if file is None:
            return
        try:
            payload = pickle.dumps((self.name, compiled._reduce()), protocol=pickle.HIGHEST_PROTOCOL)
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{self.name}-")
            try:
                with os.fdopen(handle, "wb") as out:
                    out.write(hashlib.sha256(payload).digest() + payload)
                    out.flush()
                    os.fsync(out.fileno())
                os.replace(name, file)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            _warn(f"{file}: {error.strerror}")

    def enable(self) -> None:
        """Numba's interface; this cache is always on."""

    def disable(self) -> None:
        """Numba's interface; this cache is always on."""

    def flush(self) -> None:
        """Forget this function."""
        file = self._file()
        if file is not None:
            file.unlink(missing_ok=True)
