"""Nothing sleeps between turns that are made up."""

import pytest

from bench import timing
from tests.bench.made_up import Local


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(Local, "turns", 0)
