#!/usr/bin/env bash
# Everything that can be said about the code without running it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=.venv/bin

"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/mypy"
"$bin/lint-imports"
"$bin/python" scripts/reference.py --check
git ls-files -z '*.sh' .ci/run | xargs -0 "$bin/shellcheck"
scripts/check_terraform.sh
