"""What a key of a configuration is described with: types of numbers, a text about it, and sections of keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Whole = Annotated[int, Meta(ge=1)]
FromZero = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=0)]
TargetTransform = Literal["none", "log", "log1p", "sqrt", "quantile"]
Named = Any  # a name, or a map with `name` and settings


def about(text: str, *examples: Any) -> Meta:
    """A key's description, and examples of maps that it takes."""
    return Meta(description=text, examples=list(examples) or None)


class Section(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=False):
    """A section; unknown keys are refused."""
