"""A stop at any moment forgets no message: it finishes what it works on and gives back the rest."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

import pytest

from conftest import skip_or_fail
from consumer.integration.support import QUICK, Journal
from support.children import CONSUMER, Finished, Process
from support.queues import QueueSet
from support.waiting import wait_for

pytestmark = pytest.mark.integration

GRACE = 10
TEN_LANES = {
    **QUICK,
    "CONCURRENCY": "10",
    "MAX_MESSAGES": "10",
    "COMMIT_BATCH": "10",
    "SLEEP_MIN_SECONDS": "0.05",
    "SLEEP_MAX_SECONDS": "0.15",
    "USE_TRANSACTIONAL_WRITES": "1",
    "SHUTDOWN_GRACE_SECONDS": str(GRACE),
    "IDLE_TIMEOUT_SECONDS": "0",
}
IN_HAND = 95
"""Nine lanes with a full batch, one with half of one; what is over waits in an open long poll."""
VISIBLE_WITHIN = 1.0
"""Seconds from the signal, or from the receive after it, to the release."""
CALLS_OF_A_STOP = 12
"""The answer of an open long poll, ten batches to give back, and one more."""
ONE_START_AT_A_TIME = Lock()
AS_PID_ONE = (CONSUMER[0], str(Path(__file__).with_name("as_pid_one.py")))


@dataclass
class Stop:
    """What one stop showed: seconds from the signal to the consumer's last word, since how fast an
    interpreter is taken down is the machine's affair; what it gave back and how late; and
    the slowest of the calls that a bystander made meanwhile."""

    ended: Finished
    seconds: float
    released: list[str]
    slowest: float
    bystander: float

    @property
    def allowed(self) -> float:
        """A second; more only where the stack took longer for as many calls of a bystander."""
        return max(VISIBLE_WITHIN, CALLS_OF_A_STOP * self.bystander)


class Bystander(Thread):
    """Calls the same queue, little by little, while something is measured: it feels the same load.

    `slowest` is in seconds.
    """

    def __init__(self, made: QueueSet) -> None:
        super().__init__(daemon=True)
        self._made = made
        self._over = Event()
        self.slowest = 0.0

    def run(self) -> None:
        while not self._over.wait(0.05):
            began = time.monotonic()
            visible(self._made)
            self.slowest = max(self.slowest, time.monotonic() - began)

    def __enter__(self) -> "Bystander":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def filled(made: QueueSet, child: Process, journal: Journal) -> list[str]:
    """Send until the lanes are full and one of them waits in a long poll."""
    received = journal.count("received")
    ids = made.send_many(max(0, IN_HAND - made.depth()))
    wait_for(
        lambda: journal.count("received") > received or not child.running(),
        what="a receive",
        seconds=30,  # five start side by side, each with the whole SDK to load
    )
    return ids


def stopped(made: QueueSet, child: Process, journal: Journal, moment: float, pid: int = 0) -> Stop:
    """SIGTERM after `moment` seconds, with three messages on their way into an open long poll."""
    seen = len(journal.events())
    time.sleep(moment)
    made.send_many(3)
    with Bystander(made) as bystander:
        asked = time.time()
        os.kill(pid or child.pid, signal.SIGTERM)
        made.send_many(3)
        ended = child.wait(GRACE + 10)
        exited = time.time()
    events = journal.events()
    over = [event["t"] for event in events[seen:] if event["event"] == "stop"]
    seconds = (over[-1] if over else exited) - asked
    received = {event["delivery"]: event["t"] for event in events if event["event"] == "received"}
    released = [event for event in events[seen:] if event["event"] == "released"]
    waits = [event["t"] - max(asked, received[event["delivery"]]) for event in released]
    ids = [event["id"] for event in released]
    return Stop(ended, seconds, ids, max(waits, default=0.0), bystander.slowest)


def visible(made: QueueSet) -> tuple[int, int]:
    """Messages that can be received now, and messages that cannot."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = made.sqs.get_queue_attributes(QueueUrl=made.queue_url, AttributeNames=names)
    ready, hidden = (int(answer["Attributes"][name]) for name in names)
    return ready, hidden


def assert_clean(made: QueueSet, stop: Stop) -> None:
    """Exit 0 within the grace; what was not finished can be received again at once."""
    assert stop.ended.code == 0, stop.ended.output
    assert stop.seconds < GRACE
    assert stop.slowest < stop.allowed
    assert visible(made)[1] == 0, "a message is hidden though nobody holds it"
    assert " abandoned 0," in stop.ended.output, stop.ended.output


def drain(run_consumer, made: QueueSet, journal: Journal) -> None:
    """What the stops left is done, and everything was done once."""
    settings = {**QUICK, "MAX_MESSAGES": "10", "CONCURRENCY": "10", "COMMIT_BATCH": "10"}
    ended = run_consumer({**made.env, **settings, **journal.env}, 60)
    assert ended.code == 0, ended.output
    rows = made.status_rows()
    sent = {event["id"] for event in journal.events("received")}
    assert {name: row.get("effects") for name, row in rows.items()} == dict.fromkeys(sent, 1)
    assert made.completed_rows().keys() == sent
    assert (made.depth(), made.dlq_messages()) == (0, [])


def stop_at(start, made: QueueSet, journal: Journal, moments: list[float]) -> list[Stop]:
    """A consumer after another on one queue, each stopped at its moment."""
    stops = []
    for moment in moments:
        with ONE_START_AT_A_TIME:
            child = start({**made.env, **TEN_LANES, **journal.env})
        filled(made, child, journal)
        stops.append(stopped(made, child, journal, moment))
        assert_clean(made, stops[-1])
    return stops


@pytest.mark.smoke
def test_a_stop_gives_back_what_no_lane_has_begun(
    start_consumer, run_consumer, queue_set, journal
) -> None:
    made = queue_set(visibility=30, max_receive_count=1000)
    stops = stop_at(start_consumer, made, journal, [0.05, 0.4])
    assert sum(len(stop.released) for stop in stops) > 0
    drain(run_consumer, made, journal)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fifty_random_moments(start_consumer, run_consumer, queue_set, tmp_path) -> None:
    """Five queues side by side, ten stops each."""
    chance = random.Random()
    sets = [queue_set(visibility=60, max_receive_count=1000) for _ in range(5)]
    journals = [Journal(tmp_path / f"{number}.jsonl") for number in range(5)]
    moments = [[chance.uniform(0, 1.5) for _ in range(10)] for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        runs = pool.map(
            lambda one: stop_at(start_consumer, *one), zip(sets, journals, moments, strict=True)
        )
        stops = [stop for run in runs for stop in run]
    assert len(stops) == 50
    assert sum(len(stop.released) for stop in stops) > 50
    for made, journal in zip(sets, journals, strict=True):
        drain(run_consumer, made, journal)


def test_what_its_own_long_poll_brings_back_is_not_driven_into_the_dlq(
    start_consumer, run_consumer, queue_set, journal
) -> None:
    """Two receives before the DLQ: one for the lane, one for the open long poll of the same
    consumer, which sees at once what the stop gives back. Given back again it would be dead."""
    made = queue_set(visibility=30, max_receive_count=2)
    slow = {**TEN_LANES, "SLEEP_MIN_SECONDS": "1", "SLEEP_MAX_SECONDS": "1"}
    made.send_many(10)
    child = start_consumer({**made.env, **slow, **journal.env, "WAIT_TIME_SECONDS": "5"})
    wait_for(lambda: journal.count("received") == 10, what="a batch in hand", seconds=20)
    wait_for(lambda: journal.count("work_started") == 2, what="its second message in work")
    child.signal()
    ended = child.wait(GRACE + 10)
    assert ended.code == 0, ended.output
    assert " abandoned 0," in ended.output, ended.output
    again = [event for event in journal.events("received") if event["receive_count"] == 2]
    assert again, "its own long poll brought nothing back, so nothing was tried"
    assert visible(made)[1] == 0
    drain(run_consumer, made, journal)


@pytest.mark.smoke
def test_a_second_signal_ends_it_at_once(start_consumer, queue_set, journal) -> None:
    made = queue_set(visibility=1)
    slow = {"SLEEP_MIN_SECONDS": "20", "SLEEP_MAX_SECONDS": "20"}
    child = start_consumer({**made.env, **TEN_LANES, **slow, **journal.env})
    made.send_many(20)
    wait_for(lambda: journal.count("work_started"), what="work")
    child.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in child.stderr, what="the first signal to be heard")
    child.signal_beside(signal.SIGTERM)
    assert child.wait(5).code == 128 + signal.SIGTERM


def test_work_longer_than_the_grace_is_abandoned_and_said(
    start_consumer, queue_set, journal
) -> None:
    made = queue_set(visibility=30, max_receive_count=10)  # on no last receive, which stays
    slow = {"SLEEP_MIN_SECONDS": "20", "SLEEP_MAX_SECONDS": "20", "SHUTDOWN_GRACE_SECONDS": "2"}
    child = start_consumer({**made.env, **TEN_LANES, **slow, **journal.env})
    made.send_many(1)
    wait_for(lambda: journal.count("work_started"), what="work")
    stop = stopped(made, child, journal, 0)
    assert stop.ended.code == 0
    assert 2 <= stop.seconds < 2.5 + stop.allowed
    begun = journal.count("work_started")  # one of the six others may have beaten the stop
    assert journal.summary()["abandoned"] == begun >= 1
    assert visible(made) == (7 - begun, begun)


def test_a_signal_before_the_first_receive_ends_it_at_once(start_consumer, queue_set) -> None:
    """Also while the SDK is being loaded: as PID 1, a SIGTERM that nobody catches would be lost."""
    made = queue_set()
    for moment in (0, 0.1, 0.3):
        child = start_consumer({**made.env, **TEN_LANES})
        wait_for(lambda pid=child.pid: catches_sigterm(pid), what="Python itself to have started")
        time.sleep(moment)
        child.signal(signal.SIGTERM)
        ended = child.wait(5)
        assert ended.code == 0, ended.output
        assert moment or "consuming" not in ended.output, "only the loop asked for the signal"


def catches_sigterm(pid: int) -> bool:
    """Whether a process has asked for SIGTERM; taken for true where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    return bool(int(status.split("SigCgt:")[1].split()[0], 16) >> (signal.SIGTERM - 1) & 1)


def isolated(start, environment: dict[str, str]) -> tuple[Process, int]:
    """The consumer as PID 1 of a PID namespace; its pid as seen from here."""
    if not shutil.which("unshare"):
        skip_or_fail("PID 1 cannot be tried here: there is no unshare (Linux only)")
    tried = ["unshare", "--pid", "--fork", "--kill-child", "true"]
    if subprocess.run(tried, capture_output=True, check=False).returncode:
        skip_or_fail("PID 1 cannot be tried here: unshare --pid is not permitted to this user")
    child = start(environment)
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    pid = wait_for(lambda: children.exists() and children.read_text().split(), what="PID 1")
    return child, int(pid[0])


def test_as_pid_one_of_a_container(nursery, run_consumer, queue_set, journal) -> None:
    made = queue_set(visibility=30, max_receive_count=1000)
    for moment in (0.1, 0.6):
        child, pid = isolated(
            lambda env: nursery.start(AS_PID_ONE, [sys.executable, CONSUMER[1]], env),
            {**made.env, **TEN_LANES, **journal.env},
        )
        assert Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split()[1] == "1"
        filled(made, child, journal)
        assert_clean(made, stopped(made, child, journal, moment, pid))
    drain(run_consumer, made, journal)
