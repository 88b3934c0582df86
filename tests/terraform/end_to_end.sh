#!/usr/bin/env bash
# Terraform for real on the local stack, as a user does it, in a copy of the tree; takes two minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
python=$root/.venv/bin/python

copy=$(mktemp -d)
state=$copy/stack
finish() {
  code=$?
  "$python" "$root/scripts/local_aws.py" down --state "$state" || code=1
  rm -rf "$copy"
  [ "$code" -eq 0 ] && echo "end to end: PASS in $SECONDS s" || echo "end to end: FAIL" >&2
  exit "$code"
}
trap finish EXIT
fail() { echo "end to end: $1" >&2 && exit 1; }
step() { printf '\n== %s\n' "$1"; }

# Times are kept, so that make sees the linked .venv as up to date.
git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$copy"
ln -s "$root/.venv" "$copy/.venv"
cd "$copy"

# From here on nothing of the caller's decides where this goes.
for name in $(compgen -e | grep -E '^(AWS_|TF_VAR_|QUEUE_URL$|MESSAGE_)'); do unset "$name"; done
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
"$python" scripts/local_aws.py empty --state "$state" --port 0
AWS_ENDPOINT_URL=http://127.0.0.1:$(sed -n 's/.*"port": \([0-9]*\).*/\1/p' "$state/ministack.json")
export AWS_ENDPOINT_URL

step "make infra-up"
make --no-print-directory infra-up ARGS="-auto-approve -no-color" | tee up.txt | grep -E '^terraform apply|^Apply complete'
grep -q "^terraform apply: $AWS_ENDPOINT_URL, account 000000000000, region us-west-1" up.txt || fail "account and region were not shown"
grep -q 'Apply complete! Resources: 21 added' up.txt || fail "expected 21 resources"

step ".env has the keys of the specification, mode 600"
for key in QUEUE_URL DLQ_ARN AWS_REGION MESSAGE_STATUS_TABLE MESSAGE_COMPLETED_TABLE AWS_ENDPOINT_URL; do
  grep -q "^$key='" .env || fail ".env lacks $key"
done
[ "$("$python" -c 'import os; print(oct(os.stat(".env").st_mode & 0o777))')" = 0o600 ] || fail "mode of .env"

step "terraform output -raw queue_url is the queue of .env"
[ "$(terraform -chdir=terraform output -raw queue_url)" = "$(sed -n "s/^QUEUE_URL='\(.*\)'/\1/p" .env)" ] || fail "they differ"

step "make validate"
make --no-print-directory validate ARGS=--quiet

step "somebody else's make infra-up does not adopt these queues"
theirs=$(mktemp -d)
git -C "$root" ls-files -z scripts terraform | tar -C "$root" --null -T - -cf - | tar -xf - -C "$theirs"
PYTHON=$python "$theirs/scripts/infra.sh" up -auto-approve -no-color >theirs.txt 2>&1 && fail "it was applied"
grep '^infra: 10 queues of these names exist' theirs.txt || { cat theirs.txt && fail "another reason"; }
rm -rf "$theirs"

step "a second plan has no changes"
make --no-print-directory infra-plan ARGS="-detailed-exitcode -no-color" >plan.txt || { cat plan.txt && fail "there are changes"; }
grep '^No changes' plan.txt

step "a deleted .env comes back, and nothing else changes"
cp .env before.txt && rm .env
make --no-print-directory infra-up ARGS="-auto-approve -no-color" | grep '^Apply complete' | tee again.txt
grep -q '1 added, 0 changed, 1 destroyed' again.txt || fail "something else changed"
cmp .env before.txt || fail "another .env"

step "make scenario-happy"
make --no-print-directory scenario-happy

step "outputs are those of the local stack, value by value"
terraform -chdir=terraform output -json >outputs.json
"$python" tests/terraform/compare_outputs.py outputs.json

step "make infra-down leaves no queue, no table, no .env"
make --no-print-directory infra-down ARGS="-auto-approve -no-color" | grep -E '^terraform destroy|^Destroy complete'
[ ! -e .env ] || fail ".env is still there"
AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local "$python" - <<'PYTHON'
import boto3

queues = boto3.client("sqs", region_name="us-west-1").list_queues().get("QueueUrls", [])
tables = boto3.client("dynamodb", region_name="us-west-1").list_tables()["TableNames"]
assert not queues and not tables, (queues, tables)
PYTHON
