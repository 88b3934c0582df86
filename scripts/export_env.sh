# shellcheck shell=bash
# What scripts/set_env.sh does, in bash or zsh, where it sources this.
#
# It leaves no option, function or variable of its own behind. Where something is missing it says
# so and returns 1; it never ends your shell.

_sqs_set_env() {
  unset -f _sqs_set_env
  local _env="$1/../.env" _name _missing="" _exports="" _code=0
  if [ ! -r "$_env" ]; then
    echo "set_env: no .env in ${1%/*}; make infra-up (AWS) or make local-up (this machine) writes one" >&2
    return 1
  fi
  case $- in *a*) _exports=before ;; esac
  set -a
  # shellcheck disable=SC1090
  . "$_env" || _code=1
  [ -n "$_exports" ] || set +a
  if [ "$_code" != 0 ]; then
    echo "set_env: ${1%/*}/.env is not as a shell can read it; .env.example shows how it may look" >&2
    return 1
  fi
  for _name in QUEUE_URL AWS_REGION MESSAGE_STATUS_TABLE MESSAGE_COMPLETED_TABLE; do
    grep -Eq "^(export )?$_name=" "$_env" || _missing="$_missing $_name"
  done
  echo "set_env: exported $(sed -nE 's/^(export )?([A-Za-z_][A-Za-z0-9_]*)=.*/\2/p' "$_env" | paste -sd ' ' -)"
  if [ -n "$_missing" ]; then
    echo "set_env: .env does not set$_missing; make infra-up or make local-up writes all of them" >&2
    return 1
  fi
}

if [ -n "${ZSH_VERSION:-}" ]; then
  eval '_sqs_set_env "${${(%):-%x}:a:h}"' # zsh's way to name this file; bash cannot parse it
elif [ "${BASH_SOURCE[1]:-}" = "$0" ]; then
  echo "set_env: source it, or its variables end with it: source scripts/set_env.sh" >&2
  exit 2
else
  _sqs_set_env "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
fi
