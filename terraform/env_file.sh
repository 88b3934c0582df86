#!/usr/bin/env bash
# write, remove or check (current) .env at the repository root; env.tf calls it, write with ENV_TEXT.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077

marker='# Written by terraform/env.tf; terraform destroy removes it. Without this line it is yours.'
first_line() { if [ -f .env ]; then head -n 1 .env; fi; }

foreign() {
  [ -s .env ] && case $(first_line) in "$marker" | "# Written by make local-up"*) false ;; esac
}

# Where Terraform was led, the doors must go too; with the credentials, if they are no secret.
reach() {
  if [ -n "${AWS_ENDPOINT_URL:-}" ]; then
    echo "AWS_ENDPOINT_URL='$AWS_ENDPOINT_URL'"
    if [ "${AWS_ACCESS_KEY_ID:-}" = local ]; then
      printf "%s='local'\n" AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    fi
  fi
}

case ${1:-} in
write)
  if foreign; then
    backup=.env.backup-$(date +%Y%m%d%H%M%S)
    mv .env "$backup" && echo "your own .env is now $backup"
  fi
  { echo "$marker" && printf %s "$ENV_TEXT" && reach; } >.env.new
  mv .env.new .env
  ;;
remove) if [ "$(first_line)" = "$marker" ]; then rm .env; fi ;;
current) [ "$(first_line)" = "$marker" ] && [ "$(grep '^AWS_[EAS]' .env)" = "$(reach)" ] ;;
*) echo "usage: env_file.sh write|remove|current" >&2 && exit 2 ;;
esac
