"""provider_mirror.sh: a folder with the locked provider is named to Terraform, any other is not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
LOCKED = re.search(
    r'^ *version *= "(.+)"$', (ROOT / "terraform/.terraform.lock.hcl").read_text(), re.M
).group(1)
PROVIDER = "registry.terraform.io/hashicorp/aws"


def look(root: Path) -> tuple[int, str | None]:
    file = root / "terraform.rc"
    done = subprocess.run(
        [ROOT / "scripts" / "provider_mirror.sh", file, root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout + done.stderr == ""
    return done.returncode, file.read_text() if file.exists() else None


@pytest.mark.parametrize(
    "held", [f"{LOCKED}/linux_amd64", f"terraform-provider-aws_{LOCKED}_linux_amd64.zip"]
)
def test_a_mirror_is_named(tmp_path: Path, held: str) -> None:
    (tmp_path / "my mirror" / PROVIDER / held).mkdir(parents=True)
    code, written = look(tmp_path)
    assert code == 0
    assert f'path = "{tmp_path}/my mirror"\n' in (written or "")


@pytest.mark.parametrize(
    "folder",
    [
        f"{PROVIDER}/4.0.0/linux_amd64",
        f"{PROVIDER}/terraform-provider-aws_4.0.0_linux_amd64.zip",
        f"module/.terraform/{PROVIDER}/{LOCKED}/linux_amd64",
        f"a/b/c/d/e/f/{PROVIDER}/{LOCKED}/linux_amd64",
    ],
)
def test_what_is_no_mirror_of_it_is_not(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    assert look(tmp_path) == (1, None)
