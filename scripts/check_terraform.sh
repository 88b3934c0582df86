#!/usr/bin/env bash
# Format, validity and tests of terraform/, in a copy: the user's .terraform and state stay untouched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

not_checked() {
  echo "check_terraform: $1; NOT CHECKED: $2" >&2
  if [ -n "${CI:-}" ]; then exit 1; fi
  exit 0
}

if ! command -v terraform >/dev/null; then
  not_checked "terraform is not installed (https://developer.hashicorp.com/terraform/install)" "terraform/"
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy" "$copy.rc"' EXIT
if [ ! -f "${TF_CLI_CONFIG_FILE:-}" ]; then
  unset TF_CLI_CONFIG_FILE # naming a file which is not there makes every command warn
  if scripts/provider_mirror.sh "$copy.rc"; then export TF_CLI_CONFIG_FILE="$copy.rc"; fi
fi
cp -R terraform/. "$copy"
rm -rf "$copy/.terraform" "$copy"/*.tfstate* "$copy"/*.tfvars

terraform fmt -check -diff -recursive terraform
if ! said=$(terraform -chdir="$copy" init -backend=false -input=false -no-color 2>&1); then
  echo "$said" >&2
  if [[ $said != *"provider package"* && $said != *"install provider"* ]]; then exit 1; fi
  not_checked "the AWS provider cannot be had; without a network, name a mirror in TF_CLI_CONFIG_FILE" "terraform/"
fi
terraform -chdir="$copy" validate -no-color
version=$(terraform version | sed -n '1s/^Terraform v//p')
if ! printf '%s\n' 1.7.0 "$version" | sort -VC; then
  not_checked "terraform $version has no mock providers (1.7 has)" "terraform/tests/"
fi
terraform -chdir="$copy" test -no-color
