"""The scripts: they parse, name no machine, install once, and answer a missing Python with one sentence.

A stand-in for Python writes down what it is asked to do, so nothing is installed and nothing is fetched.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are for bash")

ROOT = Path(__file__).parents[1]
COMMANDS = ["scripts/quickstart", "scripts/test", "scripts/check", ".ci/run"]
FILES = [*COMMANDS, "scripts/environment.sh", "scripts/quickstart.py", "pyproject.toml"]
MACHINE_PATH = re.compile(r"(?<![\w.*~])/(root|home|work|tmp|opt|usr/local|Users|mnt|var)\b")

# Keeps a log of its arguments; `-m venv` makes a .venv with a copy of it.
STAND_IN = r"""#!/usr/bin/env bash
printf '%s\n' "$*" >>"$LOG"
case "$*" in
    *version_info*) exit "${TOO_OLD:-0}" ;;
    *"import ensurepip"*) exit "${NO_ENSUREPIP:-0}" ;;
    "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip install "*--editable*) exit "${PIP_FAILS:-0}" ;;
    "-m ruff check "*) exit "${RUFF_FAILS:-0}" ;;
    "-m pytest"*) printf 'pytest %s\n' "$#"; exit "${TESTS_FAIL:-0}" ;;
esac
"""


class Checkout:
    """A copy of the scripts in a folder with a space in its name, and a Python that only writes down."""

    def __init__(self, folder):
        self.folder = folder / "a clone"
        for name in FILES:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        self.python = folder / "a python"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)
        self.log = folder / "log"

    def run(self, command, *arguments, cwd=None, **variables):
        self.log.write_text("")
        environment = {**os.environ, "PYTHON": str(self.python), "LOG": str(self.log), **variables}
        return subprocess.run(
            [str(self.folder / command), *arguments],
            cwd=cwd or self.folder,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def installs(self):
        return re.findall(r"--editable (.*)", self.log.read_text())


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.mark.parametrize("name", [*COMMANDS, "scripts/environment.sh"])
def test_bash_can_read(name):
    subprocess.run(["bash", "-n", ROOT / name], check=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_can_be_run_and_stops_at_the_first_error(name):
    assert os.access(ROOT / name, os.X_OK)
    lines = (ROOT / name).read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines


@pytest.mark.parametrize("name", FILES)
def test_no_path_of_one_machine_is_named_in(name):
    assert MACHINE_PATH.findall((ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", ["cd /mnt/x", "'/home/me'", "PATH=/opt/bin:$PATH", 'open("/tmp/x")'])
def test_a_path_of_one_machine_is_found(text):
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize(
    ("command", "wanted"), [("scripts/quickstart", "."), ("scripts/test", ".[dev]"), (".ci/run", ".[dev]")]
)
def test_a_fresh_clone_is_installed_once(checkout, command, wanted):
    first = checkout.run(command)
    assert (first.returncode, first.stderr) == (0, "fastbp: installing into .venv, once\n")
    assert checkout.installs() == [wanted]
    second = checkout.run(command)
    assert (second.returncode, second.stderr) == (0, "")
    assert checkout.installs() == []


def test_the_quick_tests_are_the_files_that_are_named(checkout):
    (checkout.folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "quick.txt", checkout.folder / "tests")
    checkout.run("scripts/test", "--quick", "-k", "a b")
    *_, asked = checkout.log.read_text().splitlines()
    named = [line for line in (ROOT / "tests" / "quick.txt").read_text().splitlines() if line.startswith("tests/")]
    assert len(named) > 10
    assert asked == " ".join(["-m pytest", *named, "-k a b"])
    checkout.run("scripts/test")
    assert checkout.log.read_text().splitlines()[-1] == "-m pytest"


def test_the_quickstart_is_content_with_what_the_tests_installed(checkout):
    checkout.run("scripts/test")
    checkout.run("scripts/quickstart")
    assert checkout.installs() == []


def test_the_tests_are_not_content_with_what_the_quickstart_installed(checkout):
    checkout.run("scripts/quickstart")
    checkout.run("scripts/test")
    assert checkout.installs() == [".[dev]"]


@pytest.mark.parametrize("command", ["scripts/quickstart", "scripts/test"])
def test_a_changed_pyproject_is_installed_again(checkout, command):
    checkout.run("scripts/test")
    with (checkout.folder / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    checkout.run(command)
    assert len(checkout.installs()) == 1


def test_a_clone_that_was_moved_is_installed_again(checkout):
    checkout.run("scripts/test")
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    checkout.run("scripts/test")
    assert checkout.installs() == [".[dev]"]


def test_a_failed_install_is_told_and_tried_again(checkout):
    failed = checkout.run("scripts/test", PIP_FAILS="1")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.endswith("fastbp: pip could not install fastbp, its message is above\n")
    assert checkout.run("scripts/test").returncode == 0
    assert checkout.installs() == [".[dev]"]


def test_arguments_reach_pytest_whole_from_any_folder(checkout, tmp_path):
    result = checkout.run("scripts/test", "-k", "one or two", cwd=tmp_path)
    assert result.stdout == "pytest 4\n"
    assert "-m pytest -k one or two\n" in checkout.log.read_text()


def test_the_exit_status_of_pytest_is_passed_on(checkout):
    assert checkout.run("scripts/test", TESTS_FAIL="5").returncode == 5


def test_the_check_runs_each_part_once(checkout):
    checkout.run(".ci/run")
    ran = re.findall(r"^-m (pytest|ruff check|ruff format --check|mypy)", checkout.log.read_text(), re.MULTILINE)
    assert ran == ["pytest", "ruff check", "ruff format --check", "mypy"]


@pytest.mark.parametrize(
    ("variables", "failed"),
    [
        ({"TESTS_FAIL": "1"}, "tests"),
        ({"RUFF_FAILS": "1"}, "lint"),
        ({"TESTS_FAIL": "1", "RUFF_FAILS": "1"}, "tests lint"),
    ],
)
def test_the_check_goes_on_after_a_failure_and_fails(checkout, variables, failed):
    result = checkout.run(".ci/run", **variables)
    assert result.returncode == 1
    assert result.stderr.endswith(f"fastbp: the check failed in: {failed}\n")
    assert "-m mypy" in checkout.log.read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_an_old_python_is_refused_in_one_sentence(checkout, command):
    result = checkout.run(command, TOO_OLD="1")
    message = f"fastbp: `PYTHON` must be Python 3.10 or newer, got `{checkout.python}`\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", message)


def test_no_python_at_all_is_told_in_one_sentence(checkout, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "env"):
        (tools / tool).symlink_to(shutil.which(tool))
    result = checkout.run("scripts/test", PYTHON="", PATH=str(tools))
    message = "fastbp: Python 3.10 or newer must be on the PATH or named by `PYTHON`, found none\n"
    assert (result.returncode, result.stderr) == (1, message)


def test_a_python_that_cannot_make_environments_is_refused_in_one_sentence(checkout):
    result = checkout.run("scripts/test", NO_ENSUREPIP="1")
    message = f"fastbp: `{checkout.python}` must have the modules venv and ensurepip"
    assert result.returncode == 1
    assert result.stderr == f"{message} (on Debian and Ubuntu: apt install python3-venv)\n"
    assert not (checkout.folder / ".venv").exists()


def test_hooks_run_what_the_check_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    checked = re.findall(r"^(\.venv/bin/python -m .*?) \|\|", (ROOT / "scripts" / "check").read_text(), re.MULTILINE)
    assert [hook["entry"] for hook in hooks] == checked
    assert len(checked) == 3


def test_what_runs_on_the_emulated_machine_needs_no_pytest():
    """Only what trains is there."""
    text = (ROOT / "scripts" / "verify_arm.py").read_text()
    imports = re.findall(r"^ +(from tests\S* import \w+)$", text, re.MULTILINE)
    assert len(imports) == 3
    code = "\n".join(["import sys", "sys.modules['pytest'] = None", *imports])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
