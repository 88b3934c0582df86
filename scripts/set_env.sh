# shellcheck shell=bash
# To be sourced, from bash or zsh: exports every variable of the repository's .env into the shell.
#
#     source scripts/set_env.sh
#
# fish and plain sh, which have no `declare`, can parse this file: the rest is in another one.
command -v declare >/dev/null 2>&1 || echo "set_env: only bash and zsh can do this; from fish: bash -c 'source scripts/set_env.sh && exec fish'" >&2
# shellcheck disable=SC2016
command -v declare >/dev/null 2>&1 && eval '. "$(dirname -- "${BASH_SOURCE[0]:-${(%):-%x}}")/export_env.sh"'
