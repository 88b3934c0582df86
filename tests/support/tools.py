"""A PATH of chosen programs: real ones by link, others as scripts that say what they are told."""

from __future__ import annotations

import shutil
from pathlib import Path

NEEDED_BY_SCRIPTS = (
    "bash",
    "cat",
    "date",
    "dirname",
    "env",
    "grep",
    "head",
    "mv",
    "rm",
    "tail",
    "tr",
)

# The first line of terraform/env_file.sh's .env.
ENV_MARKER = (
    "# Written by terraform/env.tf; terraform destroy removes it. Without this line it is yours."
)


class Tools:
    """A folder to be used as PATH; whatever is not put into it is missing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        folder.mkdir()
        for name in NEEDED_BY_SCRIPTS:
            self.real(name)

    def real(self, name: str) -> None:
        """Link the program of this machine."""
        found = shutil.which(name)
        assert found, f"{name} is needed by the scripts"
        (self.path / name).symlink_to(found)

    def fake(self, name: str, script: str) -> None:
        """A bash script of this text; its arguments are also appended to ``<name>.calls``."""
        file = self.path / name
        file.unlink(missing_ok=True)
        file.write_text(f'#!{shutil.which("bash")}\necho "$*" >>"$0.calls"\n{script}\n')
        file.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """The argument lines with which a fake was called."""
        file = self.path / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []
