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
# The builder's own CPU says nothing of the service's. Fargate, Lambda and EKS nodes are amd64 unless
# asked for otherwise; the variable is the one that docker itself reads.
platform=${DOCKER_DEFAULT_PLATFORM:-linux/amd64}
[[ $platform =~ ^linux/[a-z0-9]+(/v[0-9]+)?$ ]] ||
  fail "DOCKER_DEFAULT_PLATFORM='$platform': must be one platform of Linux, such as linux/amd64 or linux/arm64"
host=${ECR_REPO%%/*}
tools=(git docker)
# Private registries of ECR: IPv4 and dual-stack, FIPS, each partition. A password goes to no other host.
suffixes='amazonaws\.(com(\.cn)?|eu)|on\.(aws|amazonwebservices\.(com\.cn|eu))|c2s\.ic\.gov|sc2s\.sgov\.gov'
if [[ $host =~ ^[0-9]{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.($suffixes)$ ]]; then
  region=${BASH_REMATCH[2]}
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

docker build --platform "$platform" --file consumer/Dockerfile --tag "$ECR_REPO:$tag" .
if [ -n "${region:-}" ]; then
  aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$host"
fi
docker push "$ECR_REPO:$tag"
echo "pushed $ECR_REPO:$tag for $platform"
