#!/usr/bin/env bash
# Called by env.tf with ENV_PATH, ENV_MARKER and, to write, ENV_TEXT.
set -euo pipefail
umask 077

ours() { [ -f "$ENV_PATH" ] && [ "$(head -n 1 "$ENV_PATH")" = "$ENV_MARKER" ]; }

case "$1" in
write)
  if [ -f "$ENV_PATH" ] && ! ours && ! head -n 1 "$ENV_PATH" | grep -q '^# Written by make local-up'; then
    mv "$ENV_PATH" "$ENV_PATH.backup"
    echo "your own .env is now .env.backup"
  fi
  {
    printf '%s\n%s' "$ENV_MARKER" "$ENV_TEXT"
    # Where Terraform was led, the doors must go too.
    if [ -n "${AWS_ENDPOINT_URL:-}" ]; then printf "AWS_ENDPOINT_URL='%s'\n" "$AWS_ENDPOINT_URL"; fi
  } >"$ENV_PATH.new"
  mv "$ENV_PATH.new" "$ENV_PATH"
  ;;
remove)
  if ours; then rm -f "$ENV_PATH"; fi
  ;;
esac
