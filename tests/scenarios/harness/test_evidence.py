"""What is saved is what is judged; what was not saved is a missing witness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import evidence
from harness.history import Child, Event, Held, History, Journal, Sample, Signalled, Tick, Witness

ABOUT = {"given": {"messages": 2}, "queue_arn": "arn:q", "quiet_seconds": 0.5}


def folder(tmp_path: Path) -> Path:
    evidence.save(tmp_path, "scenario.json", ABOUT)
    return tmp_path


def test_everything_saved_is_read_back(tmp_path: Path) -> None:
    saved = folder(tmp_path)
    held = {"id": "a", "sqs_id": "m", "receive_count": 3, "source_arn": "arn:q"}
    evidence.save(saved, "dlq.json", {"dead_lettered": [held], "left_in_queue": []})
    evidence.save(saved, "tables.json", {"status": {"a": {"attempts": 1}}, "completed": {}})
    child = {"name": "consumer-1", "code": -9, "allowed": [0], "tail": ["bye"]}
    evidence.save(saved, "children.json", [child])
    evidence.save(saved, "problems.json", ["waited in vain"])
    evidence.append(saved, "samples.jsonl", Sample(1.0, 2, 3, 4, 5))
    evidence.append(saved, "scaling.jsonl", Tick(1.0, 9, 1, 2, "flood"))
    line = {"t": 1.0, "who": "p", "event": "sent", "id": "a", "index": 0, "poison": True}
    for name in ("producer", "consumer-1"):
        (saved / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    history = evidence.load(saved)
    assert history.ids == ("a",)
    assert history.poison == {"a"}
    assert history.dlq == (Held("a", "m", 3, "arn:q"),)
    assert history.left == ()
    assert history.status == {"a": {"attempts": 1}}
    assert history.children == (Child("consumer-1", -9, (0,), ("bye",)),)
    assert history.problems == ("waited in vain",)
    assert history.samples[0].backlog == 9
    assert history.scaling[0].desired == 2
    assert [journal.name for journal in history.consumers] == ["consumer-1"]


def test_a_signal_is_read_back_and_a_kill_told_in_the_journal_that_it_ended(tmp_path: Path) -> None:
    saved = folder(tmp_path)
    kill = Signalled(5.0, "consumer-1", "SIGKILL")
    evidence.append(saved, "signals.jsonl", kill)
    names = {"id": "a", "sqs_id": "m", "delivery": "d"}
    line = {"t": 1.0, "who": "consumer-7", "event": "received", **names}
    (saved / "consumer-1.jsonl").write_text(json.dumps(line) + "\n")
    evidence.save(
        saved, "children.json", [{"name": "consumer-1", "code": -9, "allowed": [-9], "tail": []}]
    )
    history = evidence.load(saved)
    assert history.signals == (kill,)
    assert [event.name for event in history.consumers[0].events] == ["received", "killed"]
    assert history.missing(Witness.CONSUMERS) is None, "the kill was declared, and is on record"


@pytest.mark.parametrize("witness", list(Witness))
def test_an_empty_folder_has_no_witness(tmp_path: Path, witness: Witness) -> None:
    history = evidence.load(folder(tmp_path))
    assert history.missing(witness)
    assert history.problems is None


def test_arms_are_read_as_one_and_services_as_ledgers(tmp_path: Path) -> None:
    about = ABOUT | {"arms": ["one", "two"], "services": ["payments"]}
    evidence.save(tmp_path, "scenario.json", about)
    for arm, keys in {"one": "ab", "two": "cd"}.items():
        lines = [
            {"t": 1.0, "who": arm, "event": "sent", "id": key, "index": index}
            for index, key in enumerate(keys)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"producer.{arm}.jsonl").write_text(text)
    paid = {"t": 2.0, "who": "shop", "event": "done", "id": "a"}
    (tmp_path / "payments.jsonl").write_text(json.dumps(paid) + "\n")
    history = evidence.load(tmp_path)
    assert history.messages == 4
    assert [event.data["index"] for event in history.sent] == [0, 1, 2, 3]
    assert history.arms == {"a": "one", "b": "one", "c": "two", "d": "two"}
    assert [event.id for event in history.served("done")] == ["a"]
    assert history.missing(Witness.SERVICES) is None
    (tmp_path / "producer.two.jsonl").unlink()
    assert evidence.load(tmp_path).missing(Witness.PRODUCER)


def test_a_ledger_that_is_not_there_is_a_missing_witness(tmp_path: Path) -> None:
    evidence.save(tmp_path, "scenario.json", ABOUT | {"services": ["payments"]})
    assert evidence.load(tmp_path).missing(Witness.SERVICES) == "payments left no journal"


def test_a_file_cut_in_two_is_a_missing_witness(tmp_path: Path) -> None:
    saved = folder(tmp_path)
    (saved / "tables.json").write_text('{"status": {')
    (saved / "samples.jsonl").write_text('{"t": 1, "visible": 0, "in_fl')
    history = evidence.load(saved)
    assert history.missing(Witness.TABLES)
    assert history.missing(Witness.SAMPLES)


def test_no_evidence_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scenario\.json"):
        evidence.load(tmp_path)


def test_a_killed_consumer_is_no_witness() -> None:
    journal = Journal("consumer-1", (Event(1.0, "c", "start", 1),))
    child = Child("consumer-1", None, (0,))
    history = History(consumers=(journal,), children=(child,))
    assert "killed" in (history.missing(Witness.CONSUMERS) or "")
