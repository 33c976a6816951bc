"""Sizes in memory and on disk, as they are written and read."""

from __future__ import annotations

from typing import Any

from fastbp.errors import ConfigError

UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}


def amount(size: int) -> str:
    """Bytes in few characters.

    Examples
    --------
    >>> amount(1_234), amount(56_000_000), amount(7_890_000_000)
    ('1.2 kB', '56 MB', '7.9 GB')
    """
    number, unit = size / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if number >= 1000:
            number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"


def limit_of(data: Any) -> int | None:
    """Bytes of `data.max_memory`."""
    said = data.max_memory
    if said is None:
        return None
    text = str(said).strip().replace(" ", "").lower().removesuffix("b")
    unit = next((u for u in sorted(UNITS, key=len, reverse=True) if text.endswith(u)), "")
    try:
        number = float(text.removesuffix(unit)) * UNITS.get(unit, 1)
        if not 1.0 <= number < 2.0**62:
            raise ValueError
    except ValueError:
        raise ConfigError("data.max_memory", "must be such as `1GB` or `512MiB`", f"`{said}`") from None
    return int(number)
