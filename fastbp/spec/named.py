"""What a file of classes offers: those that have a name."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def named(module: ModuleType) -> dict[str, Any]:
    """Classes that a module defines, by their `kind`, which files call them by, in the order of their definition."""
    own = [made for made in vars(module).values() if isinstance(made, type) and made.__module__ == module.__name__]
    kinds = [vars(made).get("kind", "") for made in own]
    return {kind: made for kind, made in zip(kinds, own, strict=True) if kind}
