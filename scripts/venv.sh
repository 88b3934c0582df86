#!/usr/bin/env bash
# Installs requirements and the project itself (editable) into a virtual environment, which it makes
# first with PYTHON where it is missing, broken or too old: venv.sh FOLDER [REQUIREMENTS...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$1 python=${PYTHON:-python3}
shift

# An interrupted attempt leaves one without pip.
if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  if ! command -v "$python" >/dev/null; then
    echo "venv: PYTHON=$python is not there; name one of 3.11 or newer: make PYTHON=python3.12 ..." >&2
    exit 1
  fi
  "$python" scripts/preflight.py --python
  "$python" -m venv --clear "$venv"
fi
if [ $# -gt 0 ]; then
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "${@/#/--requirement=}" --editable .
fi
