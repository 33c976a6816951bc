# Sourced by the scripts beside it: makes ./.venv, installs fastbp there once, and goes to the repository root.
#
#   enter_environment base    the package and what it needs
#   enter_environment dev     the tools of the tests as well
#
# To change the Python of an existing .venv, remove the folder.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

fail() {
    printf 'fastbp: %s\n' "$1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

# Sets `base` to the Python that makes the environment.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "\`PYTHON\` must be Python 3.10 or newer, got \`$PYTHON\`"
        base=$PYTHON
        return
    fi
    for base in python3 python python3.14 python3.13 python3.12 python3.11 python3.10; do
        if is_new_enough "$base"; then return; fi
    done
    fail "Python 3.10 or newer must be on the PATH or named by \`PYTHON\`, found none"
}

make_venv() {
    find_python
    "$base" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "\`$base\` must have the modules venv and ensurepip (on Debian and Ubuntu: apt install python3-venv)"
    "$base" -m venv --clear .venv || fail "\`$base -m venv .venv\` failed, its message is above"
}

# The path is part of the stamp because an editable install holds it.
stamp_text() {
    printf '%s\n' "$root"
    cat pyproject.toml
}

is_installed() {
    stamp_text | cmp -s - ".venv/fastbp-$1.stamp"
}

pip_install() {
    PIP_USER=0 .venv/bin/python -m pip install -qq --disable-pip-version-check "$@" ||
        fail "pip could not install fastbp, its message is above"
}

install() {
    printf 'fastbp: installing into .venv, once\n' >&2
    rm -f .venv/fastbp-*.stamp
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null ||
        fail "\`.venv\` must have pip, remove the folder and run this again"
    # Older ones cannot install a pyproject.toml in editable mode; nothing is fetched where pip is new enough.
    pip_install 'pip>=21.3'
    pip_install --editable "$2"
    stamp_text >".venv/fastbp-$1.stamp"
}

enter_environment() {
    cd -- "$root" || exit
    .venv/bin/python -c '' >/dev/null 2>&1 || make_venv
    is_new_enough .venv/bin/python ||
        fail "\`.venv\` must hold Python 3.10 or newer, remove the folder and run this again"
    if is_installed dev; then return; fi
    if [ "$1" = dev ]; then
        install dev '.[dev]'
    elif ! is_installed base; then
        install base .
    fi
}
