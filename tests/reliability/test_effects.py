"""Orders at a service outside while the tables are away, some orders are bad, or nobody answers."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from consumer.integration.support import QUICK, Journal
from reliability.gate import Gate
from support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.integration]

OUTAGE = 8.0


class Shop(ThreadingHTTPServer):
    """Remembers what was done under which key; `status` has the orders that are answered badly.

    While it is `deaf` it takes requests and answers none.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.done: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.status: dict[str, int] = {}
        self.deaf = threading.Event()
        self.over = threading.Event()

    def answer(self, order: str, key: str) -> int:
        self.asked[order] += 1
        if self.deaf.is_set():
            self.over.wait(60)
        status = self.status.get(order, 200)
        if status == 200:
            self.done[key] = 1 if key else self.done[key] + 1
        return status


class Handler(BaseHTTPRequestHandler):
    server: Shop

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.answer(body["order"], self.headers.get("Idempotency-Key", ""))
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield shop
    shop.over.set()
    shop.shutdown()
    thread.join()
    shop.server_close()


@pytest.mark.timeout(120)
def test_an_outage_in_the_middle_of_sagas_spends_no_receive(
    stack: Any, queue_set: Any, start_consumer: Any, shop: Shop, tmp_path: Path
) -> None:
    made = queue_set(visibility=3, max_receive_count=2)
    gate, journal = Gate(stack.endpoint), Journal(tmp_path / "journal")
    ids = made.send_many(60)
    saga = {"EFFECT_MODE": "saga", "EFFECT_URL": shop.url}
    lanes = {"MAX_MESSAGES": "5", "CONCURRENCY": "4", "IDLE_TIMEOUT_SECONDS": "0"}
    ledger = {"AWS_ENDPOINT_URL_DYNAMODB": gate.endpoint}
    consumer = start_consumer({**made.env, **QUICK, **journal.env, **lanes, **saga, **ledger})
    wait_for(lambda: sum(shop.asked.values()) > 20, 30, "sagas under way")
    gate.shut()
    begin = time.monotonic()
    wait_for(lambda: time.monotonic() > begin + OUTAGE, OUTAGE + 5)
    gate.open()
    wait_for(lambda: len(made.completed_rows()) == len(ids), 60, "every order completed")
    wait_for(lambda: made.depth() == 0, 30, "an empty queue")
    consumer.signal()
    assert consumer.wait().code == 0
    assert made.dlq_messages() == []
    assert journal.count("received") == len(ids)
    assert journal.count("work_failed") == 0
    assert [event["state"] for event in journal.events("outage")] == ["down", "up"]
    steps = ("reserve", "charge", "ship")
    assert shop.done == {f"{one}/{step}": 1 for one in ids for step in steps}


@pytest.mark.timeout(120)
def test_bad_orders_are_parked_and_can_be_tried_again(
    queue_set: Any, start_consumer: Any, shop: Shop, tmp_path: Path
) -> None:
    """The bad ones come first, and some of them are refused for good."""
    made, journal = queue_set(visibility=20), Journal(tmp_path / "journal")
    shop.status = {"refused": 422, "no such order": 404, "bug": 500}
    names = [*shop.status, *(f"good-{number}" for number in range(20)), "注文", " A17", "A17"]
    made.send(*[{"id": name, "work": 5} for name in names])
    outbox = {"EFFECT_MODE": "outbox", "EFFECT_URL": shop.url, "USE_TRANSACTIONAL_WRITES": "1"}
    patience = {"IDLE_TIMEOUT_SECONDS": "0", "SHUTDOWN_GRACE_SECONDS": "3"}
    env = {**made.env, **QUICK, **journal.env, **outbox, **patience}
    consumer = start_consumer(env)
    wait_for(lambda: len(shop.done) == len(names) - 3, 30, "all others charged")
    wait_for(lambda: journal.count("parked") == 2, 30, "those parked that stay refused")
    assert {event["id"] for event in journal.events("parked")} == {"refused", "no such order"}

    shop.status = {}
    parked = [name for name, row in made.status_rows().items() if "parked" in row]
    assert parked
    for name in parked:
        made.dynamodb.update_item(
            TableName=made.status_table,
            Key={"message_id": {"S": name}},
            UpdateExpression="SET retry = parked REMOVE parked",
            ConditionExpression="attribute_exists(parked) AND attribute_not_exists(retry)",
        )
    wait_for(lambda: len(shop.done) == len(names), 60, "all charged")
    rows = [row for name, row in made.status_rows().items() if name.startswith("outbox#")]
    assert not any({"pending", "parked", "retry"} & set(row) for row in rows)
    assert {*shop.done.values()} == {1}

    shop.deaf.set()
    made.send({"id": "late", "work": 5})
    wait_for(lambda: shop.asked["late"] > 0, 30, "a call that is not answered")
    consumer.signal()
    assert consumer.wait(60).code == 0
    assert "stay in the outbox" in consumer.output
