"""What the files of this folder share."""

import pytest

from tests.faults.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A process that runs jobs under whatever is done to it, one for each file."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server
