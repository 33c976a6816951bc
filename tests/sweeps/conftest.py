"""What the files of this folder share."""

import pytest

from fastbp.engine import compiler


@pytest.fixture(autouse=True)
def whatever_known_answers_say(monkeypatch):
    """A sweep that is wrong is to be seen here, and not to be refused before because networks train wrongly."""
    monkeypatch.setattr(compiler, "computes", lambda name: False)
