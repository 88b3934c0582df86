"""The proxy in front of DynamoDB: it forwards, loses first answers, throttles, and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.faulty_dynamodb import Faults, Server

PUT = {"TableName": "t", "Item": {"message_id": {"S": "m"}}}
PROBE = {"TableName": "t", "Item": {"message_id": {"S": "probe"}}}


class Store:
    """Stands for DynamoDB; remembers what reached it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def send(self, target: str, body: bytes) -> tuple[int, bytes]:
        self.calls.append(target.rpartition(".")[2])
        return 200, b'{"ConsumedCapacity": {}}'


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def server(store: Store, tmp_path: Path) -> Iterator[Server]:
    made = Server(store, Faults(str(tmp_path / "j.jsonl"), 60.0))  # type: ignore[arg-type]
    Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def post(url: str, operation: str, request: Any) -> tuple[int, Any]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    try:
        target = {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        connection.request("POST", parts.path, json.dumps(request).encode(), target)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def told(tmp_path: Path) -> list[tuple[str, str]]:
    lines = map(json.loads, (tmp_path / "j.jsonl").read_text().splitlines())
    return [(line["event"], line["operation"]) for line in lines]


def test_a_write_is_made_and_its_first_answer_is_lost(
    server: Server, store: Store, tmp_path: Path
) -> None:
    url = f"{server.url}/lost-answers/"
    with pytest.raises(RemoteDisconnected):
        post(url, "PutItem", PUT)
    assert post(url, "PutItem", PUT)[0] == 200
    assert post(url, "BatchGetItem", {})[0] == 200
    assert store.calls == ["PutItem", "PutItem", "BatchGetItem"]
    assert told(tmp_path) == [("answer_lost", "PutItem")]


@pytest.mark.parametrize(
    ("operation", "request_", "status", "said"),
    [
        ("PutItem", PUT, 400, "ProvisionedThroughputExceededException"),
        ("TransactWriteItems", {"TransactItems": [{"Put": PUT}] * 2}, 400, "[ThrottlingError, "),
        ("BatchExecuteStatement", {"Statements": [{}, {}]}, 200, '"Code": "ThrottlingError"'),
    ],
)
def test_every_write_is_throttled_from_the_first_one_to_a_row(
    server: Server, store: Store, operation: str, request_: Any, status: int, said: str
) -> None:
    url = f"{server.url}/throttled/a/"
    assert post(url, "PutItem", PROBE)[0] == 200
    found, answer = post(url, operation, request_)
    assert found == status
    assert said in json.dumps(answer)
    assert post(url, "PutItem", PROBE)[0] == 400
    assert post(f"{server.url}/throttled/b/", "PutItem", PROBE)[0] == 200
    assert post(url, "BatchGetItem", {})[0] == 200
    assert store.calls == ["PutItem", "PutItem", "BatchGetItem"]


def test_an_address_without_the_secret_reaches_nothing(server: Server, store: Store) -> None:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("POST", "/lost-answers/", b"{}", {"X-Amz-Target": "a.PutItem"})
    assert connection.getresponse().status == 404
    connection.close()
    assert store.calls == []
