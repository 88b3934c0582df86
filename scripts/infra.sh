#!/usr/bin/env bash
# plan, up or down: shows account and region, then runs terraform; further arguments go to it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

verb=${1:-}
case $verb in
plan) command=plan ;;
up) command=apply ;;
down) command=destroy ;;
*) echo "usage: scripts/infra.sh plan|up|down [arguments of terraform]" >&2 && exit 2 ;;
esac
shift

# A variable that names a file which is not there makes every command warn.
if [ ! -f "${TF_CLI_CONFIG_FILE:-}" ]; then unset TF_CLI_CONFIG_FILE; fi
# The local stack takes any credentials; the user's own need not go there.
case ${AWS_ENDPOINT_URL:-} in
http://127.0.0.1:* | http://localhost:*)
  if [ -z "${AWS_ACCESS_KEY_ID:-}${AWS_PROFILE:-}" ]; then
    export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
  fi
  ;;
esac

# The sets of make local-up are not Terraform's: creating them a second time fails halfway.
if [ "$command" = apply ] && grep -qs "\"${AWS_ENDPOINT_URL:-none}/" .local/outputs.json; then
  echo "make local-up has made the sets on $AWS_ENDPOINT_URL already; for Terraform start a stack without them:" \
    ".venv/bin/python scripts/local_aws.py empty --state .local/terraform --port 4567" >&2
  exit 1
fi

python=${PYTHON:-python3}
preflight() { "$python" scripts/preflight.py "$@"; }
tf() { terraform -chdir=terraform "$@"; }
console() { tf console -no-color ${variables[@]+"${variables[@]}"} <<<"$1" 2>&1; }

preflight --tools
if ! said=$(tf init -input=false -no-color 2>&1); then
  printf 'terraform init failed:\n%s\n' "$said" >&2
  exit 1
fi

# console takes only these of the arguments; with them it knows each variable as terraform will.
variables=()
value_follows=
for argument in "$@"; do
  case $argument in
  -var | -var-file) variables+=("$argument") && value_follows=yes ;;
  -var=* | -var-file=*) variables+=("$argument") ;;
  *) if [ -n "$value_follows" ]; then variables+=("$argument") && value_follows=; fi ;;
  esac
done
said=$(console var.aws_region)
if [[ $said == *Error:* ]]; then
  printf '%s\n' "${said%Warning: Due to*}" >&2 # console answers in spite of an error, and exits with 0
  exit 1
fi
region=$(tail -n 1 <<<"$said" | tr -d '"')
target=$(preflight --account "$region")
echo "terraform $command: $target"

if [ "$command" = apply ]; then
  account=${target#*account } account=${account%%,*}
  names=$(console 'join(" ", flatten([for name in values(local.queue_names) : [name, format("%s-dlq", name)]]))')
  state=$(tf state pull)
  read -ra names <<<"$(tail -n 1 <<<"$names" | tr -d '"')"
  "$python" scripts/check_names.py "$region" "$account" "${names[@]}" <<<"$state"
fi

replace=()
if [ "$command" != destroy ] && ! terraform/env_file.sh current; then
  replace=(-replace=terraform_data.env_file)
fi
tf "$command" ${replace[@]+"${replace[@]}"} "$@"
