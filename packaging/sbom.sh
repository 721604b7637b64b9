#!/bin/bash
# What is in a wheel and what it needs, at the releases of the lock: CycloneDX, beside the wheel.
#
#   packaging/sbom.sh WHEEL
#
# Needs a package index.
set -euo pipefail

readonly wheel=${1:?usage: sbom.sh WHEEL}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pip() { "$folder/$1/bin/python" -m pip --disable-pip-version-check -qq "${@:2}"; }

for name in installed tools; do "${PYTHON:-python3}" -m venv "$folder/$name"; done
pip installed install -c "$here/requirements-dev.lock" "$wheel"
pip installed uninstall -y setuptools pip
# where the wheel lay is no part of it, and would be another place each time
rm "$folder"/installed/lib/python3*/site-packages/pyconfd_etcd-*.dist-info/direct_url.json
pip tools install cyclonedx-bom
"$folder/tools/bin/cyclonedx-py" environment --output-reproducible --of JSON \
    -o "${wheel%.whl}.cdx.json" "$folder/installed/bin/python"
