#!/usr/bin/env bash
# Runs the producer from producer/.venv against the queue of QUEUE_URL, .env or Terraform's outputs.
set -euo pipefail
# No cd: relative paths in the arguments and in JOURNAL_PATH and ENV_FILE are the caller's.
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/producer/.venv"
stamp="$venv/.stamp"
fail() { echo "run_producer: $*" >&2; exit 2; }
output() { terraform -chdir="$root/terraform" output -no-color -raw "$1"; }

if [[ ! -x "$venv/bin/python" || ! -e "$stamp" ||
  "$root/producer/requirements.txt" -nt "$stamp" || "$root/constraints.txt" -nt "$stamp" ]]; then
  "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "needs Python 3.11 or later, and PYTHON may name it; make preflight says what is there"
  echo "run_producer: installing into $venv" >&2
  "${PYTHON:-python3}" -m venv --clear "$venv" # also over one of an older Python
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/producer/requirements.txt"
  touch "$stamp"
fi

# The producer reads .env itself, by the same rule as when it is run by hand.
if [[ -z "${QUEUE_URL:-}${ENV_FILE:-}" && ! -e "$root/.env" && "$*" != *--queue-url* && "$*" != *--help* ]]; then
  # Without outputs terraform prints a warning where the value should be, and exits 0.
  { QUEUE_URL="$(output queue_url)" && [[ "$QUEUE_URL" == http* ]] && region="$(output aws_region)"; } ||
    fail "no QUEUE_URL, .env or Terraform output; make infra-up (AWS) or make local-up supplies .env"
  export QUEUE_URL AWS_REGION="${AWS_REGION:-$region}"
fi
exec "$venv/bin/python" "$root/producer/produce.py" "$@"
