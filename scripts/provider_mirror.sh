#!/usr/bin/env bash
# Writes to FILE a Terraform configuration that names a folder of this machine with the locked AWS
# provider, so that `init` needs no network. Exit 1 and no file where there is none: the registry
# serves then. Usage: provider_mirror.sh FILE [ROOT], which looks six folders deep, from / by default.
set -euo pipefail
file=$1 root=${2:-/}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^ *version *= *"\(.*\)"$/\1/p' terraform/.terraform.lock.hcl)
while IFS= read -r folder; do
  # a mirror is unpacked (VERSION/PLATFORM/) or packed (..._VERSION_PLATFORM.zip)
  if compgen -G "$folder/$version" >/dev/null || compgen -G "$folder/*_${version}_*.zip" >/dev/null; then
    printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' \
      "${folder%/registry.terraform.io/hashicorp/aws}" >"$file"
    exit 0
  fi
done < <(find "$root" -xdev -maxdepth 6 \( -name .terraform -o -name site-packages -o -name node_modules \) -prune \
  -o -type d -path '*/registry.terraform.io/hashicorp/aws' -print 2>/dev/null)
exit 1
