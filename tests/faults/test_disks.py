"""Runs on disks that are too small: a sentence, and with room the same bits and nothing left over.

Here some sizes; all of them by `scripts/faults`.
"""

import pytest

from tests.faults import jobs
from tests.faults.server import CONFIG, FILES, WHOLE, can_run, told

pytestmark = pytest.mark.skipif(not can_run(), reason="the server wants a library that a compiler builds")
SIZES = [4096 * pages for pages in (1, 2, 3, 4, 6, 8, 11, 16, 22, 31, 44, 62, 80, 100, 130, 175)]  # 4 to 700 kB
SOME = SIZES if WHOLE else [SIZES[0], SIZES[4], SIZES[7], SIZES[15]]


@pytest.fixture(scope="module", autouse=True)
def may_mount(server, tmp_path_factory):
    if server.call(jobs.may_mount, tmp_path_factory.mktemp("disk"))[0] != 0:
        pytest.skip("this system lets nobody mount a small disk")


@pytest.fixture(scope="module")
def runs(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "config.yaml").write_text(CONFIG)
    status, said, _ = server.run("train", str(folder / "config.yaml"), "-q", "--run-dir", str(folder / "right"))
    assert (status, said) == (0, "")
    return folder


@pytest.mark.parametrize("size", SOME)
def test_a_run_on_a_small_disk(size, server, runs, tmp_path):
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    status, said, _ = server.call(jobs.fill_disk, disk, size, runs / "config.yaml", out)
    first, _, then = said.partition("then there is room\n")
    assert status in (0, 1), said
    assert status == 0 or first.startswith(f"fastbp: `{disk}/run/"), said
    assert status == 0 or "(No space left on device)\n" in first, said
    assert first.count("\n") <= 2 * first.count("fastbp: "), said
    assert "Traceback" not in first, said
    assert then == "" or then.startswith("fastbp: nothing was trained, "), said  # the disk had room for all of it
    assert told(out) == told(runs / "right"), said
    assert {path.name for path in out.iterdir()} == FILES, said
    if size in (SIZES[0], SIZES[-1]):  # these disks are really small, and large enough
        assert (status == 0) == (size == SIZES[-1]), said
