"""Machine code, memory and threads, and the environment variables about them."""

from __future__ import annotations

import os

from fastbp.errors import ConfigError

LANES = ("4", "8", "16")


def check_lanes() -> None:
    """Refuse an unknown `FASTBP_LANES` before kernels are imported, which fixes the level."""
    wanted = os.environ.get("FASTBP_LANES", "")
    if wanted not in ("", *LANES):
        known = ", ".join(f"`{lanes}`" for lanes in LANES)
        raise ConfigError("FASTBP_LANES", f"must be one of {known}", f"`{wanted}`")
