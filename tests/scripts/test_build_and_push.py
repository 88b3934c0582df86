"""build_and_push.sh with tools that only write down how they were called."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.children import ROOT

pytestmark = pytest.mark.integration

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/sqs-consumer"
FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ "$(basename "$0") $1" = "docker login" ] && echo "password $(cat)" >>"$CALLS"
[ "$(basename "$0")" = aws ] && echo secret
exit 0
"""


@dataclass(frozen=True)
class Yard:
    """A repository with one commit, and a PATH that holds what the test put there."""

    root: Path
    tools: Path
    calls: Path

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.tools), "CALLS": str(self.calls), "HOME": str(self.root)}
        return subprocess.run(
            [str(self.root / "scripts" / "build_and_push.sh")],
            cwd="/",
            env={**environment, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    root = tmp_path / "a repo"
    shutil.copytree(
        ROOT / "consumer", root / "consumer", ignore=shutil.ignore_patterns(".venv", "__pycache__")
    )
    (root / "scripts").mkdir()
    for name in ("scripts/build_and_push.sh", "constraints.txt", ".dockerignore"):
        shutil.copy(ROOT / name, root / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "git", "env", "dirname", "basename", "cat", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for name in ("docker", "aws"):
        (tools / name).write_text(FAKE)
        (tools / name).chmod(0o755)
    made = Yard(root, tools, tmp_path / "calls")
    made.git("init", "-q")
    made.git("add", ".")
    made.git("commit", "-qm", "first")
    return made


def test_it_builds_logs_in_and_pushes_the_commit(yard: Yard) -> None:
    done = yard.run(ECR_REPO=ECR)
    assert done.returncode == 0, done.stderr
    image = f"{ECR}:{yard.git('rev-parse', 'HEAD')}"
    host = ECR.partition("/")[0]
    assert sorted(yard.called()[1:-1]) == sorted(
        [
            "aws ecr get-login-password --region eu-central-1",
            f"docker login --username AWS --password-stdin {host}",
            "password secret",
        ]
    )
    build = f"docker build --platform linux/amd64 --file consumer/Dockerfile --tag {image} ."
    assert yard.called()[0] == build
    assert yard.called()[-1] == f"docker push {image}"
    assert done.stdout.endswith(f"pushed {image} for linux/amd64\n")
    assert "secret" not in done.stdout + done.stderr


def test_another_registry_needs_no_aws(yard: Yard) -> None:
    (yard.tools / "aws").unlink()
    done = yard.run(ECR_REPO="localhost:5000/consumer")
    assert done.returncode == 0, done.stderr
    assert [call.split()[1] for call in yard.called()] == ["build", "push"]


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr-ecr.us-west-1.on.aws", "us-west-1"),
        ("123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1"),
        ("123456789012.dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn", "cn-northwest-1"),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
    ],
)
def test_every_kind_of_ecr_registry_is_logged_in_to(yard: Yard, host: str, region: str) -> None:
    done = yard.run(ECR_REPO=f"{host}/sqs-consumer")
    assert done.returncode == 0, done.stderr
    assert f"aws ecr get-login-password --region {region}" in yard.called()
    assert f"docker login --username AWS --password-stdin {host}" in yard.called()


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.us-west-1.amazonaws.com.example.org",
        "123456789012.dkr.ecr.us-west-1.amazonaws.com:5000",
        "mirror.dkr.ecr.us-west-1.amazonaws.com",
        "123456789012.dkr.ecr.us-west-1.on.aws.example.org",
    ],
)
def test_no_other_host_gets_a_password_of_aws(yard: Yard, host: str) -> None:
    assert yard.run(ECR_REPO=f"{host}/sqs-consumer").returncode == 0
    assert [call.split()[1] for call in yard.called()] == ["build", "push"]


def test_the_platform_is_that_of_the_service(yard: Yard) -> None:
    done = yard.run(ECR_REPO=ECR, DOCKER_DEFAULT_PLATFORM="linux/arm64/v8")
    assert done.returncode == 0, done.stderr
    assert yard.called()[0].startswith("docker build --platform linux/arm64/v8 --file ")
    assert done.stdout.endswith(" for linux/arm64/v8\n")


@pytest.mark.parametrize(
    "platform", ["arm64", "windows/amd64", "linux/amd64,linux/arm64", "linux/"]
)
def test_a_bad_platform_is_refused_before_anything_is_built(yard: Yard, platform: str) -> None:
    done = yard.run(ECR_REPO=ECR, DOCKER_DEFAULT_PLATFORM=platform)
    assert done.returncode == 2
    assert f"DOCKER_DEFAULT_PLATFORM='{platform}': must be one platform of Linux" in done.stderr
    assert not yard.called()


@pytest.mark.parametrize(
    ("repository", "said"),
    [
        ("", "ECR_REPO is not set"),
        ("name", "must be a repository"),
        ("https://h/n", "without a scheme"),
    ],
)
def test_a_bad_repository_is_refused_before_anything_is_built(
    yard: Yard, repository: str, said: str
) -> None:
    done = yard.run(ECR_REPO=repository)
    assert done.returncode == 2
    assert said in done.stderr
    assert not yard.called()


def test_missing_tools_are_named_all_at_once(yard: Yard) -> None:
    (yard.tools / "docker").unlink()
    (yard.tools / "aws").unlink()
    done = yard.run(ECR_REPO=ECR)
    assert done.returncode == 2
    assert done.stderr == "build_and_push: not installed: docker aws\n"


def test_uncommitted_changes_are_said_and_shown_in_the_tag(yard: Yard) -> None:
    (yard.root / "consumer" / "consume.py").write_text("changed\n")
    done = yard.run(ECR_REPO=ECR)
    assert "uncommitted changes" in done.stderr
    assert yard.called()[-1].endswith("-dirty")


def test_changes_that_do_not_go_into_the_image_do_not_count(yard: Yard) -> None:
    (yard.root / "notes.txt").write_text("x\n")
    done = yard.run(ECR_REPO=ECR)
    assert not done.stderr
    assert not yard.called()[-1].endswith("-dirty")


def test_a_build_that_fails_pushes_nothing(yard: Yard) -> None:
    (yard.tools / "docker").write_text(FAKE.replace("exit 0", "exit 7"))
    done = yard.run(ECR_REPO=ECR)
    assert done.returncode == 7
    assert not [call for call in yard.called() if "push" in call]
