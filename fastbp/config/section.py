"""What sections of a configuration are made of: the types of keys, and their descriptions."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

Whole = Annotated[int, Meta(ge=1)]
FromZero = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=0)]
Named = Any  # a name, or a map with `name` and settings


def about(text: str, *examples: Any) -> Meta:
    """A key's description, and examples of maps that it takes."""
    return Meta(description=text, examples=list(examples) or None)


class Section(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=False):
    """A section; unknown keys are refused."""
