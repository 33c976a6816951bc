"""One file a network: safetensors, natural arrays under their names, the layers as JSON in the header."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from fastbp.errors import CheckpointError, FastbpError
from fastbp.model.graph import from_data, to_data
from fastbp.model.network import Network

FORMAT = "fastbp-network-1"


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place in one move, so that nobody, not even a crash, ever sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def to_bytes(arrays: dict[str, Any], metadata: dict[str, str]) -> bytes:
    """A safetensors file; the same arrays and words give the same bytes, which the package's own order does not."""
    from safetensors.numpy import save

    content = save(arrays, metadata=metadata)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def save(net: Network, path: Any) -> None:
    """Write a network to `path`."""
    header = {
        "format": FORMAT,
        "network": json.dumps(to_data(net.graph)),
        "dtype": net.dtype.name,
        "seed": str(net.seed),
    }
    if net.about:
        header["about"] = json.dumps(net.about)
    write_whole(Path(path), to_bytes({**net.parameters, **net.states}, header))


def load(path: Any) -> Network:
    """Read a network that `Network.save` wrote.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    CheckpointError
        Where the file is no network of fastbp, or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"`{file}` must be a file that `Network.save` wrote, got a folder")
    if not file.is_file():
        raise FileNotFoundError(f"`{file}` must be a file that `Network.save` wrote, and is not there")
    try:
        with safe_open(str(file), framework="numpy") as content:
            header = content.metadata() or {}
            found = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"`{file}` must be a safetensors file, got one that cannot be read ({error})") from None
    if header.get("format") != FORMAT:
        raise CheckpointError(f"`{file}` must be a network of fastbp, got format `{header.get('format')}`")
    try:
        graph = from_data(json.loads(header["network"]))
        net = Network._from_graph(graph, int(header["seed"]), header["dtype"])
        net.about = json.loads(header.get("about", "{}"))
    except (KeyError, TypeError, ValueError, RecursionError, MemoryError, FastbpError) as error:
        raise CheckpointError(f"`{file}` describes no network that this version knows ({error})") from None
    wanted = {*net.parameters, *net.states}
    if set(found) != wanted:
        raise CheckpointError(f"`{file}` must hold {sorted(wanted)}, got {sorted(found)}")
    for name, array in found.items():
        try:
            (net.parameters if name in net.parameters else net.states)[name] = array
        except FastbpError:
            raise CheckpointError(f"`{file}` holds a damaged `{name}`: shape `{array.shape}`, or not finite") from None
    return net
