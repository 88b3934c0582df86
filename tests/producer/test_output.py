"""A reader that is gone is no error, and a result that is lost is one."""

import subprocess
import sys
from pathlib import Path

import pytest

PRODUCER = Path(__file__).resolve().parents[2] / "producer"
PRINTING = """
import sys
from sender.output import outlive_readers
outlive_readers()
sys.stdin.readline()
for stream in (sys.stdout, sys.stderr):
    print("x" * 100_000, file=stream)
    stream.flush()
"""


@pytest.mark.parametrize("gone", ["stdout", "stderr"])
def test_a_reader_that_is_gone_ends_nothing(gone: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", PRINTING],
        cwd=PRODUCER,
        stdin=subprocess.PIPE,
        **{**dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL), gone: subprocess.PIPE},
    )
    stream = getattr(child, gone)
    stream.close()
    assert child.stdin
    child.stdin.write(b"\n")
    child.stdin.close()
    assert child.wait(30) == 0


@pytest.mark.parametrize(("full", "code"), [("stdout", 1), ("stderr", 0)])
def test_a_full_disk_may_cost_log_lines_and_no_result(full: str, code: int) -> None:
    with Path("/dev/full").open("w") as disk:
        streams = {**dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL), full: disk}
        ended = subprocess.run(
            [sys.executable, "-c", PRINTING],
            cwd=PRODUCER,
            input=b"\n",
            check=False,
            timeout=30,
            **streams,
        )
    assert (ended.returncode != 0) == bool(code)
