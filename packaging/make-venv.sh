#!/bin/bash
# Makes the virtual environment for development, or leaves a current one alone.
#
#   packaging/make-venv.sh FOLDER
#       PYTHON=...           the interpreter (3.11 or newer)
#       DEPENDENCIES=...     locked (default): the releases of requirements-dev.lock; newest: all
#                            that pyproject.toml allows; lowest: its lower bounds
#
# It holds pyconfd itself, editable, and what it needs. It is made again when pyproject.toml, the
# lock, the interpreter or the choice of dependencies changed since. Needs a package index (or what
# pip is configured to use instead) and nothing else.
set -euo pipefail

readonly venv=${1:?usage: make-venv.sh FOLDER}
readonly dependencies=${DEPENDENCIES:-locked}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# pip answers Ctrl-C like any failure, with status 1; bash would go on.
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$*" >&2; }

case $dependencies in
locked | newest | lowest) ;;
*) say "DEPENDENCIES is locked, newest or lowest, not $dependencies"; exit 2 ;;
esac

fit() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local each
    for each in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if fit "$each"; then
            "$each" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    say "no Python 3.11 or newer found (looked for: ${PYTHON:-python3 python3.13 python3.12 python3.11}); name one with PYTHON=..."
    return 1
}

python=$(find_python)
stamp=$({ echo "$python"; "$python" -V; cat pyproject.toml requirements-dev.lock; } | sha256sum)
[[ $dependencies == locked ]] || stamp+=" $dependencies"
if [[ -x $venv/bin/pyconfd && -f $venv/made-from && $(<"$venv/made-from") == "$stamp" ]]; then
    exit 0
fi

# Debian's python3 comes without what venv needs to put pip into the new environment.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    root=()
    if [[ $(id -u) -ne 0 ]]; then root=(sudo -n); fi
    if ! command -v apt-get >/dev/null || ! "${root[@]}" true 2>/dev/null; then
        say "missing: $package (may not install it: as root, run apt-get install $package)"
        exit 1
    fi
    say "installing $package"
    install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq
        --no-install-recommends -o DPkg::Lock::Timeout=120 "$package")
    "${install[@]}" >/dev/null 2>&1 || {
        "${root[@]}" apt-get update -qq && "${install[@]}" >/dev/null
    } || { say "missing: $package (apt-get could not install it, see above)"; exit 1; }
fi

say "making $venv with $("$python" -V)"
"$python" -m venv --clear "$venv"

# What pip says is of interest only when it fails.
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-input "$@" \
        >"$venv/pip.log" 2>&1 || { grep -v '^WARNING: Location' "$venv/pip.log" >&2; return 1; }
}

wanted() {
    "$venv/bin/python" packaging/requirements.py "$@" >"$venv/wanted.txt"
    pip --prefer-binary -r "$venv/wanted.txt"
}

case $dependencies in
locked)
    # An index that does not hold exactly these releases gets to choose its own.
    if ! pip -r requirements-dev.lock; then
        say "the releases of requirements-dev.lock cannot all be had: taking what pyproject.toml allows"
        wanted
    fi
    ;;
newest) wanted ;;
lowest) wanted --lowest ;;
esac
# hatchling is there already: nothing more has to be fetched to build.
pip --no-deps --no-build-isolation --editable .
printf '%s\n' "$stamp" >"$venv/made-from"
