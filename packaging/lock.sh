#!/bin/bash
# Writes requirements-dev.lock: the newest releases of what pyproject.toml allows.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" packaging/requirements.py >"$folder/wanted.txt"
"$folder/bin/python" -m pip install --quiet -r "$folder/wanted.txt"
{
    sed -n '/^#/p' requirements-dev.lock
    "$folder/bin/python" -m pip freeze
} >"$folder/lock"
cp "$folder/lock" requirements-dev.lock
