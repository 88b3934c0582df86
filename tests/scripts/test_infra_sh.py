"""make infra-plan, infra-up, infra-down: what they say first, what they refuse and pass on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import skip_or_fail
from support.terraform import cli_configuration
from support.tools import ENV_MARKER as MARKER
from support.tools import Tools

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = """
case $2 in
console)
  read -r asked
  case $asked in *queue_names*) echo '"d-a-queue d-a-queue-dlq"' ;; *) echo '"us-west-1"' ;; esac
  ;;
state) cat "$0.state" 2>/dev/null || : ;;
esac
case $1 in version) echo 'Terraform v1.9.0' ;; esac
"""
AWS = """
case $1 in
--version) echo 'aws-cli/2.15.0 Python/3.11' ;;
sts) echo 123456789012 ;;
sqs) cat "$0.queues" 2>/dev/null || echo null ;;
esac
"""


class Tree:
    """scripts/ and terraform/ in a folder of their own, with programs that touch nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root / "tree"
        for folder in ("scripts", "terraform"):
            ignore = shutil.ignore_patterns("__pycache__", ".terraform", "*.tfstate*", "*.tfvars")
            shutil.copytree(ROOT / folder, self.root / folder, ignore=ignore)
        self.tools = Tools(root / "bin")
        self.tools.fake("terraform", TERRAFORM)
        self.tools.fake("aws", AWS)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.root / "scripts" / "infra.sh"), *arguments],
            env={"PATH": str(self.tools.path), "PYTHON": sys.executable, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def refuses(self, *arguments: str, **environment: str) -> str:
        """stderr of a run that must fail before terraform changes anything."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert not [call for call in self.terraform_calls() if " apply" in call]
        return done.stderr

    def terraform_calls(self) -> list[str]:
        return [
            call.removeprefix("-chdir=terraform ")
            for call in self.tools.calls("terraform")
            if call not in ("version",)
        ]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize(
    ("verb", "command"), [("plan", "plan"), ("up", "apply"), ("down", "destroy")]
)
def test_account_and_region_first_then_terraform(tree: Tree, verb: str, command: str) -> None:
    (tree.root / ".env").write_text(f"{MARKER}\nQUEUE_URL='x'\n")
    done = tree.run(verb, "-auto-approve", "-no-color")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"terraform {command}: AWS, account 123456789012, region us-west-1\n"
    assert tree.terraform_calls()[-1] == f"{command} -auto-approve -no-color"


def test_variables_reach_console_too(tree: Tree) -> None:
    tree.run("up", "-var", "aws_region=eu-north-1", "-auto-approve", "-var=a=b", "-var-file=c")
    console = next(call for call in tree.terraform_calls() if call.startswith("console"))
    assert console == "console -no-color -var aws_region=eu-north-1 -var=a=b -var-file=c"


@pytest.mark.parametrize(
    ("env_file", "environment", "replaced"),
    [
        (None, {}, True),
        (f"{MARKER}\nQUEUE_URL='x'\n", {}, False),
        ("QUEUE_URL=mine\n", {}, True),
        ("# Written by make local-up, removed by\nQUEUE_URL='x'\n", {}, True),
        (f"{MARKER}\nAWS_ENDPOINT_URL='http://10.0.0.1:1'\n", {}, True),
        (f"{MARKER}\n", {"AWS_ENDPOINT_URL": "http://10.0.0.1:1"}, True),
        (
            f"{MARKER}\nAWS_REGION='x'\nAWS_ENDPOINT_URL='http://10.0.0.1:1'\n",
            {"AWS_ENDPOINT_URL": "http://10.0.0.1:1"},
            False,
        ),
    ],
)
def test_env_is_replaced_when_it_is_not_the_one_that_terraform_wrote(
    tree: Tree, env_file: str | None, environment: dict[str, str], replaced: bool
) -> None:
    if env_file is not None:
        (tree.root / ".env").write_text(env_file)
    tree.run("up", **environment)
    apply = tree.terraform_calls()[-1]
    assert apply == ("apply -replace=terraform_data.env_file" if replaced else "apply")


def test_the_local_stack_needs_no_credentials(tree: Tree) -> None:
    tree.tools.fake("aws", AWS + 'echo "$AWS_ACCESS_KEY_ID" >"$0.key"')
    tree.run("plan", AWS_ENDPOINT_URL="http://127.0.0.1:4566")
    assert (tree.tools.path / "aws.key").read_text() == "local\n"
    tree.run("plan", AWS_ENDPOINT_URL="http://127.0.0.1:4566", AWS_ACCESS_KEY_ID="mine")
    assert (tree.tools.path / "aws.key").read_text() == "mine\n"
    tree.run("plan", AWS_ENDPOINT_URL="http://10.0.0.1:4566")
    assert (tree.tools.path / "aws.key").read_text() == "\n"


def test_sets_of_local_up_are_not_created_twice(tree: Tree) -> None:
    (tree.root / ".local").mkdir()
    outputs = '{"queue_url": {"value": "http://127.0.0.1:4566/000000000000/q"}}'
    (tree.root / ".local" / "outputs.json").write_text(outputs)
    line = tree.refuses("up", AWS_ENDPOINT_URL="http://127.0.0.1:4566")
    assert line.startswith("make local-up has made the sets on http://127.0.0.1:4566 already; ")
    assert line.count("\n") == 1
    assert tree.run("up", AWS_ENDPOINT_URL="http://127.0.0.1:4567").returncode == 0
    assert tree.run("up").returncode == 0


def test_unknown_verb(tree: Tree) -> None:
    done = tree.run("destroy-everything")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: scripts/infra.sh plan|up|down")


@pytest.mark.parametrize("tool", ["terraform", "aws"])
def test_missing_tool(tree: Tree, tool: str) -> None:
    (tree.tools.path / tool).unlink()
    line = tree.refuses("up")
    assert line.startswith(f"{tool}: not found; needs ")
    assert "get it from https://" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("tool", "says", "needs"),
    [
        ("terraform", "Terraform v1.4.7", "1.5"),
        ("aws", "aws-cli/1.28.9 Python/3", "1.29 or 2.13"),
        ("aws", "aws-cli/2.12.1 Python/3", "1.29 or 2.13"),
    ],
)
def test_tool_too_old(tree: Tree, tool: str, says: str, needs: str) -> None:
    tree.tools.fake(tool, f"echo '{says}'")
    line = tree.refuses("up")
    assert f"is too old; needs {needs} or newer; get it from https://" in line
    assert line.count("\n") == 1


def test_broken_tool(tree: Tree) -> None:
    tree.tools.fake("terraform", "echo 'cannot execute' >&2; exit 126")
    assert tree.refuses("up") == (
        "terraform: no version, exit code 126; see what it says: terraform version\n"
    )


@pytest.mark.parametrize(
    ("says", "line"),
    [
        ("Unable to locate credentials. You can configure", "no credentials found: run `aws conf"),
        ("The config profile (nobody) could not be found", "profile (nobody) could not be found"),
        ("An error occurred (ExpiredToken) when calling", "(ExpiredToken)"),
        ('Could not connect to the endpoint URL: "x"', "is the region's name right"),
    ],
)
def test_who_we_are_cannot_be_told(tree: Tree, says: str, line: str) -> None:
    tree.tools.fake("aws", f"case $1 in sts) echo '\n{says}\n' >&2; exit 253 ;; esac {AWS}")
    said = tree.refuses("up")
    assert said.startswith("account: no answer for region us-west-1; ")
    assert line in said
    assert said.count("\n") == 1


def test_provider_that_cannot_be_had(tree: Tree) -> None:
    tree.tools.fake(
        "terraform", f"{TERRAFORM}\ncase $2 in init) echo 'no such host'; exit 1 ;; esac"
    )
    assert tree.refuses("up") == "terraform init failed:\nno such host\n"


OURS = "us-west-1:123456789012"


def state(*arns: str) -> str:
    """What `terraform state pull` prints; a data source of the same type owns nothing."""
    instances = [{"attributes": {"arn": f"arn:aws:sqs:{arn}"}} for arn in arns]
    looked_up = [{"attributes": {"arn": f"arn:aws:sqs:{OURS}:d-a-queue"}}]
    resources = [
        {"mode": "managed", "type": "aws_sqs_queue", "instances": instances},
        {"mode": "data", "type": "aws_sqs_queue", "instances": looked_up},
        {"mode": "managed", "type": "aws_dynamodb_table", "instances": [{"attributes": {}}]},
    ]
    return json.dumps({"version": 4, "resources": resources})


def prepare(tree: Tree, pulled: str, *names: str) -> None:
    """What the state has, and which queues exist."""
    urls = [f"https://sqs.us-west-1.amazonaws.com/123456789012/{name}" for name in names]
    (tree.tools.path / "terraform.state").write_text(pulled)
    (tree.tools.path / "aws.queues").write_text(json.dumps(urls))


BOTH = ("d-a-queue", "d-a-queue-dlq")


@pytest.mark.parametrize(
    ("pulled", "existing", "taken"),
    [
        ("", BOTH, "d-a-queue, d-a-queue-dlq"),
        (state(), BOTH, "d-a-queue, d-a-queue-dlq"),
        # An apply ended halfway: the other queue is somebody else's, or is to be imported.
        (state(f"{OURS}:d-a-queue"), BOTH, "d-a-queue-dlq"),
        (state(*(f"eu-north-1:123456789012:{name}" for name in BOTH)), BOTH, "d-a-queue, d-a-"),
        (state(*(f"us-west-1:210987654321:{name}" for name in BOTH)), BOTH, "d-a-queue, d-a-"),
    ],
)
def test_queues_of_somebody_else_are_not_adopted(
    tree: Tree, pulled: str, existing: tuple[str, ...], taken: str
) -> None:
    prepare(tree, pulled, *existing)
    said = tree.refuses("up", "-auto-approve")
    assert f"does not have them: {taken}" in said
    assert "us-west-1 of account 123456789012" in said
    assert "project_name=NAME" in said
    assert "terraform import" in said.replace("-chdir=terraform ", "")


@pytest.mark.parametrize(
    ("pulled", "existing", "looks"),
    [
        ("", (), 1),
        ("", ("d-a-queue-old", "d-a-queue-dlq-2"), 1),
        (state(f"{OURS}:d-a-queue"), ("d-a-queue",), 1),
        (state(*(f"{OURS}:{name}" for name in BOTH)), BOTH, 0),
    ],
)
def test_queues_of_its_own_and_new_ones_are_applied(
    tree: Tree, pulled: str, existing: tuple[str, ...], looks: int
) -> None:
    prepare(tree, pulled, *existing)
    done = tree.run("up", "-auto-approve")
    assert done.returncode == 0, done.stderr
    assert tree.terraform_calls()[-1].startswith("apply")
    assert len([call for call in tree.tools.calls("aws") if call.startswith("sqs")]) == looks


def test_the_look_goes_where_terraform_goes(tree: Tree) -> None:
    """Version 1 of the aws CLI does not read the variable for SQS."""
    tree.run("up", AWS_ENDPOINT_URL="http://127.0.0.1:4567")
    (listed,) = (call for call in tree.tools.calls("aws") if call.startswith("sqs"))
    assert listed.endswith("--endpoint-url http://127.0.0.1:4567")


@pytest.mark.parametrize("verb", ["plan", "down"])
def test_what_creates_nothing_needs_no_look(tree: Tree, verb: str) -> None:
    prepare(tree, "", *BOTH)
    assert tree.run(verb).returncode == 0
    assert not [call for call in tree.tools.calls("aws") if call.startswith("sqs")]


def test_who_may_not_list_queues_is_told_so(tree: Tree) -> None:
    tree.tools.fake("aws", f"case $1 in sqs) echo '(AccessDenied)' >&2; exit 254 ;; esac {AWS}")
    said = tree.refuses("up")
    assert said.startswith("infra: cannot list the queues of us-west-1")
    assert said.endswith("(AccessDenied)\n")


@pytest.fixture
def real(tree: Tree) -> Tree:
    """The same tree with the terraform of this machine."""
    if not shutil.which("terraform"):
        skip_or_fail("terraform is not installed; what it says to bad values was NOT seen")
    (tree.tools.path / "terraform").unlink()
    tree.tools.real("terraform")
    return tree


def test_bad_values_are_named_and_nothing_is_asked_of_aws(real: Tree) -> None:
    done = real.run(
        "up",
        "-var=project_name=my demo",
        "-var=queue_visibility_timeout=50000",
        "-var=queue_receive_wait=21",
        "-var=aws_region=nowhere",
        **cli_configuration(),
    )
    if "init failed" in done.stderr:
        skip_or_fail(f"{done.stderr}; what terraform says to bad values was NOT seen")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "project_name must be 1 to 57 characters" in said
    assert "queue_visibility_timeout must be a whole number from 1 to 43200 seconds" in said
    assert "queue_receive_wait must be a whole number from 0 to 20 seconds" in said
    assert "aws_region must be a region name such as us-west-1" in said
    assert "panic" not in said
    assert not [call for call in real.tools.calls("aws") if call.startswith("sts")]


@pytest.mark.parametrize("source", ["argument", "tfvars"])
def test_the_names_are_those_that_the_real_terraform_would_create(real: Tree, source: str) -> None:
    prepare(real, "", "sqs-demo-happy-queue", "theirs-happy-queue", "theirs-crash-queue-dlq")
    if source == "tfvars":
        (real.root / "terraform" / "terraform.tfvars").write_text('project_name = "theirs"\n')
    arguments = ["-var", "project_name=theirs"] if source == "argument" else []
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = real.run("up", *arguments, **nowhere, **cli_configuration())
    if "init failed" in done.stderr:
        skip_or_fail(f"{done.stderr}; names were NOT compared with the real terraform's")
    assert done.returncode == 1
    assert "does not have them: theirs-crash-queue-dlq, theirs-happy-queue\n" in done.stderr
    listed = [call for call in real.tools.calls("aws") if call.startswith("sqs")]
    assert len(listed) == 1
    assert "--queue-name-prefix theirs- --region us-west-1" in listed[0]


def test_the_real_aws_without_credentials(tree: Tree) -> None:
    if not shutil.which("aws"):
        skip_or_fail("aws is not installed; what it says without credentials was NOT seen")
    (tree.tools.path / "aws").unlink()
    tree.tools.real("aws")
    said = tree.refuses(
        "up",
        PATH=f"{tree.tools.path}:{Path(sys.executable).parent}:/usr/bin:/bin",
        AWS_CONFIG_FILE="/dev/null",
        AWS_SHARED_CREDENTIALS_FILE="/dev/null",
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert "no credentials found: run `aws configure`" in said
