"""A fault strikes at its own boundary, before or after the real call, and nowhere else."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sqs_worker import faults
from sqs_worker.exits import Exit
from sqs_worker.faults import Crash, CrashBetweenWrites, CrashingInbox, CrashingLedger
from sqs_worker.http_service import Answer, Request
from sqs_worker.ports import Rejected
from sqs_worker.variables import CALLS, CRASH_POINTS
from support.fakes import FakeLedger, FakeQueue, Notes, a_message

CONSUMER = Path(__file__).resolve().parents[2] / "consumer"


class Died(BaseException):
    """The process would have ended here."""


@pytest.fixture(autouse=True)
def death(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(code: int) -> None:
        raise Died(code)

    monkeypatch.setattr("sqs_worker.faults.os._exit", die)


class Doomed:
    """Both ports and the work with a crash at one point; `did` is what really happened before."""

    def __init__(self, point: str) -> None:
        self.notes, self.box, self.book = Notes(), FakeQueue([a_message()]), FakeLedger()
        crash = Crash(point, self.notes)  # type: ignore[arg-type]
        self.inbox = CrashingInbox(self.box, crash)
        self.ledger = CrashingLedger(self.book, crash)
        self.worked: list[str] = []
        self.work = faults.crashing_work(lambda message: self.worked.append(message.id), crash)

    @property
    def did(self) -> list[str]:
        calls = [name for name, _ in self.book.calls]
        calls += ["receive"] * len(self.box.asked) + ["delete"] * len(self.box.deleted)
        calls += ["release"] * len(self.box.released) + ["extend"] * len(self.box.extended)
        return calls + ["work"] * len(self.worked)


STEPS = {
    "receive": lambda doomed: doomed.inbox.receive(1, 0),
    "claim": lambda doomed: doomed.ledger.claim([a_message()]),
    "work": lambda doomed: doomed.work(a_message()),
    "complete": lambda doomed: doomed.ledger.complete([a_message()]),
    "delete": lambda doomed: doomed.inbox.delete([a_message()]),
    "extend": lambda doomed: doomed.inbox.extend([a_message()], 5),
    "release": lambda doomed: doomed.inbox.release([a_message()]),
}
WHERE = [
    ("after-receive", "receive", True),
    ("after-claim", "claim", True),
    ("in-work", "work", False),
    ("after-work", "work", True),
    ("before-complete", "complete", False),
    ("after-complete", "complete", True),
    ("before-delete", "delete", False),
    ("after-delete", "delete", True),
    ("in-heartbeat", "extend", True),
    ("in-shutdown", "release", False),
]


@pytest.mark.parametrize(("point", "step", "happened"), WHERE)
def test_a_crash_is_at_its_boundary_and_at_no_other(
    point: str, step: str, *, happened: bool
) -> None:
    doomed = Doomed(point)
    for name, do in STEPS.items():
        if name != step:
            do(doomed)
    before = len(doomed.did)
    with pytest.raises(Died) as died:
        STEPS[step](doomed)
    assert died.value.args == (Exit.CRASHED,)
    assert doomed.did[before:].count(step) + doomed.did[:before].count(step) == happened
    ((event, about, fields),) = doomed.notes.lines
    assert (event, about) == ("crash", "m-1")
    assert fields == {"point": point, "code": 86, "receive_count": 1}


def test_every_crash_point_has_a_boundary() -> None:
    assert {point for point, _, _ in WHERE} | {"between-writes"} == set(CRASH_POINTS)


@pytest.mark.parametrize("action", CALLS)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_crash_at_a_call_is_at_its_side_and_at_no_other_call(action: str, side: str) -> None:
    notes, asked = Notes(), []

    def service(request: Request) -> Answer:
        asked.append(request.action)
        return Answer.DONE

    call = faults.crashing_calls(service, Crash(f"{side}-{action}", notes))  # type: ignore[arg-type]
    for other in CALLS:
        if other != action:
            assert call(Request(other, "m-1", 1)) is Answer.DONE
    with pytest.raises(Died):
        call(Request(action, "m-1", 1, receive_count=2))
    assert (action in asked) == (side == "after")
    ((event, _, fields),) = notes.lines
    assert event == "crash"
    assert (fields["point"], fields["receive_count"]) == (f"{side}-{action}", 2)


def test_what_was_received_more_often_than_said_is_left_alone() -> None:
    first, second = a_message("a"), replace(a_message("b"), receive_count=2)
    crash = Crash("in-work", Notes(), 1)  # type: ignore[arg-type]
    crash.at("in-work", [second])
    with pytest.raises(Died):
        crash.at("in-work", [second, first])
    with pytest.raises(Died):
        Crash("in-work", Notes()).at("in-work", [second])  # type: ignore[arg-type]


def test_without_a_message_nobody_is_at_a_boundary() -> None:
    for point in CRASH_POINTS:
        doomed = Doomed(point)
        doomed.box.receive(1, 0)
        assert doomed.inbox.receive(1, 0) == []
        doomed.inbox.delete([])
        doomed.ledger.claim([])
        doomed.ledger.complete([])
    assert doomed.inbox.facts() == doomed.box.facts()


def test_each_message_at_the_boundary_has_its_event() -> None:
    doomed = Doomed("before-delete")
    with pytest.raises(Died):
        doomed.inbox.delete([a_message("a"), a_message("b")])
    assert [about for _, about, _ in doomed.notes.lines] == ["a", "b"]


def test_probes_and_failures_never_crash() -> None:
    for point in CRASH_POINTS:
        doomed = Doomed(point)
        doomed.ledger.probe()
        doomed.book.unrecorded = {"b"}
        failed = [(a_message("a"), "it broke"), (a_message("b"), "it broke")]
        assert doomed.ledger.fail(failed) == [True, False]
        assert doomed.did == ["probe", "fail"]


def test_between_writes_the_gate_stands_and_the_effect_does_not() -> None:
    class Plain(FakeLedger):
        def record(self, messages: list) -> list[bool]:
            self._called("record", messages)
            return [True] * len(messages)

    notes, plain = Notes(), Plain()
    ledger = CrashBetweenWrites(plain, Crash("between-writes", notes))  # type: ignore[arg-type]
    ledger.claim([a_message()])
    with pytest.raises(Died):
        ledger.complete([a_message("a"), a_message("b")])
    assert plain.calls[1:] == [("record", ["a", "b"])]
    assert [about for _, about, _ in notes.lines] == ["a", "b"]


def test_a_crash_flushes_nothing_unwinds_nothing_and_leaves_its_journal(tmp_path: Path) -> None:
    code = (
        "import atexit, sys\n"
        "from sqs_worker.faults import Crash\n"
        "from sqs_worker.events import open_journal\n"
        "from sqs_worker.message import Message\n"
        "atexit.register(print, 'unwound')\n"
        "message = Message('m-1', 's', 'h', 'd', '', '', 2, 0.0, 0.0, 0.0)\n"
        "sys.stdout.write('not flushed')\n"
        "try:\n"
        "    Crash('after-work', open_journal(sys.argv[1])).at('after-work', [message])\n"
        "finally:\n"
        "    print('unwound')\n"
    )
    path = tmp_path / "journal"
    died = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=CONSUMER,
        env={},  # PYTHONUNBUFFERED would leave nothing to flush
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert died.returncode == 86
    assert died.stdout == ""
    line = json.loads(path.read_text())
    assert (line["event"], line["id"], line["point"]) == ("crash", "m-1", "after-work")


def test_simulated_work_takes_a_time_between_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("sqs_worker.faults.time.sleep", slept.append)
    work = faults.simulated(0.25, 0.75)
    for _ in range(200):
        work(a_message())
    assert 0.25 <= min(slept) < 0.35
    assert 0.65 < max(slept) <= 0.75


@pytest.mark.parametrize(("every", "long"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), (3, [3])])
def test_every_nth_message_is_slow(
    monkeypatch: pytest.MonkeyPatch, every: int, long: list[int]
) -> None:
    order: list[object] = []
    monkeypatch.setattr("sqs_worker.faults.time.sleep", order.append)
    work = faults.slow(lambda message: order.append(message.id), 9.0, every)
    for number in range(1, 6):
        work(a_message(str(number)))
    expected: list[object] = []
    for number in range(1, 6):
        expected += [9.0, str(number)] if number in long else [str(number)]
    assert order == expected


def test_a_body_with_the_marker_is_refused_before_its_work() -> None:
    worked: list[str] = []
    work = faults.rejecting(lambda message: worked.append(message.id), '"poison": true')
    work(a_message("good", body='{"id": "good", "poison": false}'))
    with pytest.raises(Rejected, match="poison"):
        work(a_message("bad", body='{"id": "bad", "poison": true}'))
    assert worked == ["good"]


@pytest.mark.parametrize(
    ("rate", "drawn", "dies"), [(0.2, 0.19, True), (0.2, 0.2, False), (1.0, 0.999, True)]
)
def test_a_crash_rate_is_a_probability_per_message(
    monkeypatch: pytest.MonkeyPatch, rate: float, drawn: float, *, dies: bool
) -> None:
    monkeypatch.setattr("sqs_worker.faults.random.random", lambda: drawn)
    notes, worked = Notes(), []
    crash = Crash("in-work", notes)  # type: ignore[arg-type]
    work = faults.crashing_sometimes(lambda message: worked.append(message.id), rate, crash)
    if dies:
        with pytest.raises(Died):
            work(a_message())
        assert notes.names == ["crash"]
    else:
        work(a_message())
    assert len(worked) == (not dies)
