"""An event is one whole line on disk when `event` returns, whoever writes beside it."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sqs_worker.events import Journal, NoJournal, open_journal
from support.fakes import a_message

CONSUMER = Path(__file__).resolve().parents[2] / "consumer"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_says_when_who_and_what(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    open_journal(str(path)).event("start", queue="q", max_receives=None)
    (line,) = lines(path)
    assert line.pop("t") > 1_600_000_000
    assert line == {
        "who": f"consumer-{os.getpid()}",
        "event": "start",
        "queue": "q",
        "max_receives": None,
    }


def test_an_event_about_a_message_carries_its_names_and_never_its_handle(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    message = a_message("order\n7 é \U0001f600", body="secret")
    Journal(path, "me").event("received", message, receive_count=2)
    (line,) = lines(path)
    assert line["id"] == "order\n7 é \U0001f600"
    assert line["sqs_id"] == message.sqs_id
    assert line["delivery"] == message.delivery
    assert line["receive_count"] == 2
    assert message.handle not in path.read_text()
    assert "secret" not in path.read_text()


def test_it_appends_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path, "first").event("start")
    Journal(path, "second").event("start")
    assert [line["who"] for line in lines(path)] == ["first", "second"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_event_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []

    def write(_: int, data: bytes) -> int:
        writes.append(data)
        return len(data)

    journal = Journal(tmp_path / "journal", "me")
    monkeypatch.setattr("sqs_worker.events.os.write", write)
    journal.event("start", text="x" * 100_000)
    (line,) = writes
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1


def test_lines_of_threads_and_descriptors_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journals = [Journal(path, f"writer-{n}") for n in range(4)]

    def write(number: int) -> None:
        journals[number % 4].event("worked", number=number, filler="x" * (number % 200))

    with ThreadPoolExecutor(8) as lanes:
        list(lanes.map(write, range(400)))
    assert sorted(line["number"] for line in lines(path)) == list(range(400))


def test_a_death_without_goodbye_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    code = (
        "import os, sys\n"
        "from sqs_worker.events import open_journal\n"
        "journal = open_journal(sys.argv[1])\n"
        "journal.event('one'); journal.event('two')\n"
        "os._exit(86)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=CONSUMER, check=False, timeout=30
    )
    assert died.returncode == 86
    assert [line["event"] for line in lines(path)] == ["one", "two"]


def test_no_path_means_no_journal() -> None:
    journal = open_journal("")
    assert isinstance(journal, NoJournal)
    journal.event("start", a_message(), anything=1)


def test_a_path_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "journal"):
        with pytest.raises(OSError, match=str(path)):
            open_journal(str(path))


def test_a_device_that_takes_no_data_is_an_error_at_once() -> None:
    with pytest.raises(OSError, match="No space left"):
        open_journal("/dev/full")


def test_a_short_write_is_completed_before_the_next_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    journal, real = Journal(path, "me"), os.write
    monkeypatch.setattr("sqs_worker.events.os.write", lambda file, data: real(file, data[:7]))

    def write(number: int) -> None:
        journal.event("worked", number=number)

    with ThreadPoolExecutor(8) as lanes:
        list(lanes.map(write, range(100)))
    assert sorted(line["number"] for line in lines(path)) == list(range(100))
    assert not journal.lost


FULL = """
import resource, signal, sys
from sqs_worker.events import open_journal
from sqs_worker.logs import set_up
set_up("INFO", "text")
journal = open_journal(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
for number in range(9):
    journal.event("worked", number=number)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.event("stop")
print(journal.lost)
"""


def test_a_full_disk_raises_nothing_is_said_once_and_ends_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        cwd=CONSUMER,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ended.stdout == "True\n"
    (said,) = ended.stderr.splitlines()
    assert f"cannot write the journal {path}" in said
    assert "exit code 4" in said
    *whole, torn = path.read_bytes().split(b"\n")
    assert [json.loads(line)["number"] for line in whole] == [0, 1]
    assert torn  # the disk took a part of the third
    open_journal(str(path)).event("start")
    assert json.loads(path.read_bytes().splitlines()[-1])["event"] == "start"
    assert path.read_bytes().count(b"\n") == 4
