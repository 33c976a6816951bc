"""Plans that are checked."""

import pytest

from fastbp.lowering import plans


@pytest.fixture
def checked(monkeypatch):
    """Every plan that is made runs beside its twins, in blocks that do not hang on how much there is to do."""
    monkeypatch.setenv("FASTBP_PLAN", "check")
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
