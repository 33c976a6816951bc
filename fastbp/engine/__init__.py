"""Compiled code: where it comes from, what it runs on, and what the environment says of both."""

from __future__ import annotations

import os

from fastbp.errors import ConfigError

LANES = ("4", "8", "16")


def check_lanes() -> None:
    """Refuse a level that there is not, before a kernel is imported: kernels are built for one from then on."""
    wanted = os.environ.get("FASTBP_LANES", "")
    if wanted not in ("", *LANES):
        known = ", ".join(f"`{lanes}`" for lanes in LANES)
        raise ConfigError(f"`FASTBP_LANES` must be one of {known}, got `{wanted}`")
