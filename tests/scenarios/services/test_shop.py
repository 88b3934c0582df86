"""The outside service: an effect a call, one effect a key, and a late one that is overtaken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sqs_worker.http_service import Answer, Request, Service
from support.children import ROOT
from support.waiting import wait_for


class Shop:
    """The program as a child, and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self._ledger = folder / "shop.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, "shop.py", "--refuse-ship-every", "1"],
            cwd=ROOT / "scenarios" / "services",
            env={"PATH": os.environ["PATH"], "JOURNAL_PATH": str(self._ledger)},
        )
        wait_for(lambda: self._ledger.exists() and self.lines())
        self.url = self.lines()[0]["url"]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._ledger.read_text().splitlines()]

    def events(self, order: str) -> list[str]:
        return [line["event"] for line in self.lines() if line.get("id") == order]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("shop"))
    yield made
    made.process.send_signal(signal.SIGTERM)
    assert made.process.wait(10) == 0


def ask(shop: Shop, order: str, key: str = "", action: str = "charge", path: str = "") -> Answer:
    return Service(shop.url + path, 10).call(Request(action, order, 7, key))


def test_without_a_key_each_call_has_its_effect(shop: Shop) -> None:
    assert ask(shop, "plain") is ask(shop, "plain") is Answer.DONE
    assert shop.events("plain") == ["done", "done"]


def test_with_a_key_the_second_call_has_none(shop: Shop) -> None:
    assert ask(shop, "keyed", "k") is ask(shop, "keyed", "k") is Answer.DONE
    assert shop.events("keyed") == ["done", "repeated"]


def test_a_refusal_is_remembered_under_its_key(shop: Shop) -> None:
    assert ask(shop, "no", "n", "ship") is ask(shop, "no", "n", "ship") is Answer.REFUSED
    assert shop.events("no") == ["refused", "repeated"]


def test_a_look_sees_what_is_done(shop: Shop) -> None:
    service = Service(shop.url, 10)
    assert not service.has("charge", "looked/at é")
    ask(shop, "looked/at é")
    assert service.has("charge", "looked/at é")


def late(shop: Shop, order: str, key: str = "") -> threading.Thread:
    thread = threading.Thread(target=ask, args=(shop, order, key), kwargs={"path": "/late"})
    thread.start()
    wait_for(lambda: "held" in shop.events(order))
    return thread


def test_a_late_charge_is_not_seen_by_a_look_and_comes_after_it(shop: Shop) -> None:
    thread = late(shop, "overtaken")
    assert not Service(shop.url, 10).has("charge", "overtaken")
    thread.join(10)
    assert shop.events("overtaken") == ["held", "looked", "done"]


def test_a_late_charge_and_a_second_one_are_two(shop: Shop) -> None:
    thread = late(shop, "twice")
    ask(shop, "twice")
    thread.join(10)
    assert shop.events("twice") == ["held", "done", "done"]


def test_a_late_charge_and_a_second_one_under_its_key_are_one(shop: Shop) -> None:
    thread = late(shop, "once", "o")
    ask(shop, "once", "o")
    thread.join(10)
    assert shop.events("once") == ["held", "done", "repeated"]


def test_many_at_once_under_one_key_are_one(shop: Shop) -> None:
    threads = [threading.Thread(target=ask, args=(shop, "many", "m")) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(shop.events("many")) == ["done"] + ["repeated"] * 39
