"""The run: order, bound and end of what is in flight; what the report makes of it."""

import io
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sender.exits import Exit, Stop
from sender.journal import Journal
from sender.payloads import Message
from sender.report import GIVE_UP_AFTER, Lines, Report
from sender.run import Window, produce
from sender.send import Answer, Outcome
from sender.settings import Settings, read

URL = "http://127.0.0.1:4566/000000000000/q"


def settings_of(*arguments: str, journal: str = "") -> Settings:
    environ = {"QUEUE_URL": URL, "ENV_FILE": "", "JOURNAL_PATH": journal}
    return read(["--seed", "7", *arguments], environ)


class Bench:
    """A run with a sender made of a function; `ended` is what came of it."""

    def __init__(self, tmp_path: Path, *arguments: str) -> None:
        path = tmp_path / "journal"
        self.settings = settings_of(*arguments, journal=str(path))
        self.calls: Counter[str] = Counter()
        self.stream = io.StringIO()
        self.stop = Stop()
        shown = Lines(self.stream, self.settings.n)
        self.report = Report(self.settings, self.calls, Journal(str(path)), shown)
        self._path = path

    def run(self, send: Callable[[Sequence[Message]], Answer]) -> Exit:
        produce(self.settings, self._counted(send), self.report, self.stop)
        return self.report.exit(self.stop)

    def _counted(
        self, send: Callable[[Sequence[Message]], Answer]
    ) -> Callable[[Sequence[Message]], Answer]:
        lock = threading.Lock()

        def counted(batch: Sequence[Message]) -> Answer:
            with lock:
                self.calls["sqs.SendMessageBatch"] += 1
            return send(batch)

        return counted

    def events(self, name: str = "") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [line for line in lines if name in ("", line["event"])]


def accept(batch: Sequence[Message]) -> Answer:
    return Answer(tuple(Outcome(message, sqs_id=f"sqs-{message.index}") for message in batch))


def reject(batch: Sequence[Message], refusal: str = "") -> Answer:
    return Answer(tuple(Outcome(message, code="No", reason="never") for message in batch), refusal)


def test_a_journal_that_is_lost_ends_the_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, "--n", "1000", "--batch-size", "10", "--concurrency", "1")
    real = os.write

    def write(file: int, data: bytes) -> int:
        if b'"index":25,' in data:
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr("sender.journal.os.write", write)
    assert bench.run(accept) is Exit.JOURNAL
    assert len(bench.events("sent")) == 25
    assert bench.report.sent < 100
    said = f"cannot write the journal {tmp_path / 'journal'}; stopped after {bench.report.sent}"
    assert bench.stream.getvalue().count(said) == 1
    assert "No space left on device" in bench.stream.getvalue()


def test_a_journal_that_is_lost_at_the_start_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_file: int, data: bytes) -> int:
        if data:
            raise OSError(28, "No space left on device")
        return 0

    monkeypatch.setattr("sender.journal.os.write", write)
    bench = Bench(tmp_path, "--n", "1000")
    assert bench.run(accept) is Exit.SETTINGS
    assert bench.report.sent == 0


def test_journal_of_a_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "--n", "25", "--batch-size", "7", "--poison-every", "5")
    assert bench.run(accept) is Exit.OK
    assert [event["event"] for event in bench.events()] == [
        *["start", *["sent"] * 25, "stop", "summary"]
    ]
    assert all(event["who"] == f"producer-{os.getpid()}" for event in bench.events())
    assert all(abs(event["t"] - time.time()) < 60 for event in bench.events())
    start, stop, summary = (bench.events(name)[0] for name in ("start", "stop", "summary"))
    assert (start["queue"], start["n"], start["rate"]) == (URL, 25, 0)
    assert (start["batch_size"], start["seed"]) == (7, 7)
    assert bench.events("sent")[4].keys() == {
        *("t", "who", "event", "id", "index", "poison", "sqs_id")
    }
    assert [event["poison"] for event in bench.events("sent")] == [
        False,
        False,
        False,
        False,
        True,
    ] * 5
    assert (stop["reason"], stop["signal"]) == ("done", None)
    assert (summary["sent"], summary["failed"], summary["poison"]) == (25, 0, 5)
    assert (summary["calls"], summary["retries"]) == ({"sqs.SendMessageBatch": 4}, 0)
    assert summary["rate"] > 0
    assert summary["seconds"] >= 0


def test_indices_stay_in_order_whatever_call_ends_first(tmp_path: Path) -> None:
    def ragged(batch: Sequence[Message]) -> Answer:
        time.sleep(0.03 if batch[0].index // 10 % 3 == 0 else 0.0)
        return accept(batch)

    bench = Bench(tmp_path, "--n", "205", "--concurrency", "4")
    assert bench.run(ragged) is Exit.OK
    assert [event["index"] for event in bench.events("sent")] == list(range(205))


def test_what_is_in_flight_is_bounded_and_the_first_batch_goes_alone(tmp_path: Path) -> None:
    gate, lock = threading.Event(), threading.Lock()
    begun: list[int] = []

    def held(batch: Sequence[Message]) -> Answer:
        with lock:
            begun.append(batch[0].index)
        if batch[0].index == 0:
            time.sleep(0.1)
            assert begun == [0], "others left before the first one showed that the queue works"
        else:
            gate.wait(5)
        return accept(batch)

    bench = Bench(tmp_path, "--n", "0", "--concurrency", "3", "--poison-every", "2")
    thread = threading.Thread(target=bench.run, args=(held,))
    thread.start()
    deadline = time.monotonic() + 5
    while len(begun) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert sorted(begun) == [0, 10, 20, 30], "3 at a time, and no more while they are open"
    bench.stop.caught = signal.SIGINT
    gate.set()
    thread.join(5)
    assert bench.report.sent == 10 * (1 + 2 * 3 + 1)


def test_the_window_blocks_beyond_its_limit() -> None:
    gate = threading.Event()
    settled: list[int] = []

    def slow(batch: Sequence[Message]) -> Answer:
        if batch[0].index:
            gate.wait(5)
        return accept(batch)

    with Window(slow, lambda a: settled.append(a.outcomes[0].message.index), 2) as window:
        for index in range(5):
            window.add([Message(index, str(index), False, "")])
        assert settled == [0]
        blocked = threading.Thread(target=window.add, args=([Message(5, "5", False, "")],))
        blocked.start()
        blocked.join(0.1)
        assert blocked.is_alive()
        gate.set()
        blocked.join(5)
    assert settled == [0, 1, 2, 3, 4, 5]


def test_a_message_that_cannot_be_sent_is_named_and_the_rest_go_on(tmp_path: Path) -> None:
    def picky(batch: Sequence[Message]) -> Answer:
        return Answer(
            tuple(
                Outcome(m, code="Bad", reason="why") if m.index == 13 else Outcome(m, sqs_id="x")
                for m in batch
            )
        )

    bench = Bench(tmp_path, "--n", "30")
    assert bench.run(picky) is Exit.FAILED
    failed = bench.events("send_failed")
    assert [(e["index"], e["code"], e["reason"]) for e in failed] == [(13, "Bad", "why")]
    assert f"not sent: {failed[0]['id']} (index 13): Bad: why" in bench.stream.getvalue()
    assert (bench.report.sent, bench.report.failed) == (29, 1)
    assert "sent 29 (0 poison), failed 1" in bench.report.summary()


def test_poison_that_was_not_sent_is_not_counted(tmp_path: Path) -> None:
    def picky(batch: Sequence[Message]) -> Answer:
        return Answer(
            tuple(Outcome(m, code="Bad") if m.poison else Outcome(m, sqs_id="x") for m in batch)
        )

    bench = Bench(tmp_path, "--n", "10", "--poison-every", "2")
    bench.run(picky)
    assert bench.report.poison == 0


def test_a_refusal_of_the_first_batch_is_one_line_and_exit_3(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "--n", "1000")
    assert bench.run(lambda batch: reject(batch, "gone; go and look")) is Exit.AWS
    assert bench.stream.getvalue() == f"cannot send to {URL}; nothing was sent: gone; go and look\n"
    assert len(bench.events("send_failed")) == 10, "the journal names what may have been taken"
    assert bench.events("stop")[0]["reason"] == "error"


def test_a_refusal_midway_stops_names_what_failed_and_is_exit_1(tmp_path: Path) -> None:
    def vanishing(batch: Sequence[Message]) -> Answer:
        return accept(batch) if batch[0].index < 50 else reject(batch, "gone")

    bench = Bench(tmp_path, "--n", "100000", "--concurrency", "2")
    assert bench.run(vanishing) is Exit.FAILED
    assert bench.report.sent == 50
    named = bench.stream.getvalue().count("not sent: ")
    assert named == bench.report.failed == len(bench.events("send_failed"))
    assert named <= 10 * (2 * 2 + 1), "no more than what was in flight"
    assert "stopped after 50 messages: gone" in bench.stream.getvalue()


def test_batches_that_all_fail_end_the_run(tmp_path: Path) -> None:
    def dying(batch: Sequence[Message]) -> Answer:
        return accept(batch) if batch[0].index < 20 else reject(batch)

    bench = Bench(tmp_path, "--n", "100000", "--concurrency", "1")
    assert bench.run(dying) is Exit.FAILED
    assert GIVE_UP_AFTER <= bench.report.failed / 10 <= GIVE_UP_AFTER + 2
    assert "batches in a row" in bench.stream.getvalue()


def test_failures_with_successes_between_them_do_not_end_it(tmp_path: Path) -> None:
    def flaky(batch: Sequence[Message]) -> Answer:
        return accept(batch) if batch[0].index % 50 == 0 else reject(batch)

    bench = Bench(tmp_path, "--n", "500")
    assert bench.run(flaky) is Exit.FAILED
    assert (bench.report.sent, bench.report.failed) == (100, 400)


@pytest.mark.parametrize(
    ("caught", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)]
)
def test_a_signal_ends_the_run_and_is_recorded(
    tmp_path: Path, caught: signal.Signals, code: Exit
) -> None:
    bench = Bench(tmp_path, "--n", "0")

    def interrupted(batch: Sequence[Message]) -> Answer:
        if batch[0].index == 100:
            bench.stop.caught = caught
        return accept(batch)

    assert bench.run(interrupted) is code
    assert code == 128 + caught
    assert len(bench.events("sent")) == bench.report.sent >= 110
    stop = bench.events("stop")[0]
    assert (stop["reason"], stop["signal"]) == ("signal", caught.name)


def test_the_first_signal_sets_a_flag_and_nothing_else() -> None:
    stop = Stop()
    stop._catch(signal.SIGTERM, None)
    assert stop.caught is signal.SIGTERM


def test_a_rate_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    def slow(batch: Sequence[Message]) -> Answer:
        time.sleep(0.05)
        return accept(batch)

    arguments = ("--n", "60", "--batch-size", "2", "--concurrency", "1", "--rate", "200")
    bench = Bench(tmp_path, *arguments)
    assert bench.run(slow) is Exit.OK
    assert "of 200 messages/s reached" in bench.stream.getvalue()


def test_a_slow_first_call_is_no_reason_to_complain_of_the_rate(tmp_path: Path) -> None:
    def slow_at_first(batch: Sequence[Message]) -> Answer:
        time.sleep(0.1 if batch[0].index == 0 else 0)
        return accept(batch)

    bench = Bench(tmp_path, "--n", "2", "--batch-size", "1", "--rate", "100")
    assert bench.run(slow_at_first) is Exit.OK
    assert "reached" not in bench.stream.getvalue()


def test_a_slow_queue_does_not_delay_a_rate_that_more_calls_can_keep(tmp_path: Path) -> None:
    def slow(batch: Sequence[Message]) -> Answer:
        time.sleep(0.05)
        return accept(batch)

    bench = Bench(tmp_path, "--n", "100", "--batch-size", "2", "--rate", "100")
    assert bench.run(slow) is Exit.OK
    assert bench.events("summary")[0]["rate"] > 60, "one call at a time would make 40"


def test_batches_are_cut_by_bytes_as_well_as_by_count(tmp_path: Path) -> None:
    fields = json.dumps([{"note": "x" * 120_000}] * 10 + [{}] * 10)
    bench = Bench(tmp_path, "--n", "40", "--fields", fields)
    sizes: list[list[int]] = []

    def sized(batch: Sequence[Message]) -> Answer:
        sizes.append([len(message.body.encode()) for message in batch])
        return accept(batch)

    assert bench.run(sized) is Exit.OK
    assert bench.report.sent == 40
    assert max(sum(batch) for batch in sizes) <= 1_048_576
    assert sorted(map(len, sizes)) == [2, 2, 8, 8, 10, 10]
    assert bench.report.retries == 0
