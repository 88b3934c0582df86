#!/usr/bin/env bash
# Builds the consumer's image and pushes it to the registry in ECR_REPO, tagged with the git commit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "build_and_push: $*" >&2; exit 2; }

[ -n "${ECR_REPO:-}" ] ||
  fail "ECR_REPO is not set; such as ECR_REPO=123456789012.dkr.ecr.us-west-1.amazonaws.com/sqs-consumer"
case $ECR_REPO in
*://*) fail "ECR_REPO='$ECR_REPO': must be a repository without a scheme, HOST/NAME" ;;
*/*) ;;
*) fail "ECR_REPO='$ECR_REPO': must be a repository, HOST/NAME" ;;
esac
host=${ECR_REPO%%/*}
tools=(git docker)
if [[ $host =~ \.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com ]]; then
  region=${BASH_REMATCH[1]}
  tools+=(aws)
fi
missing=()
for tool in "${tools[@]}"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
[ "${#missing[@]}" = 0 ] || fail "not installed: ${missing[*]}"

tag=$(git rev-parse HEAD) || fail "no git commit to name the image after"
# Only what goes into the image counts.
if [ -n "$(git status --porcelain -- consumer constraints.txt .dockerignore)" ]; then
  tag=$tag-dirty
  echo "build_and_push: consumer/ has uncommitted changes, so the tag ends in -dirty" >&2
fi

docker build --file consumer/Dockerfile --tag "$ECR_REPO:$tag" .
if [ -n "${region:-}" ]; then
  aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$host"
fi
docker push "$ECR_REPO:$tag"
echo "pushed $ECR_REPO:$tag"
